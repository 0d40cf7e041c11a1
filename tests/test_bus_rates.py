"""How many frames a hub asks for: what its viewers want, and can be sent."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any
from uuid import uuid4

import pytest

from django_livesim.bus import hub, interest, local, pressure
from django_livesim.protocol.names import worker_channel
from tests.test_bus import WORKER, Page, Table, frame, nothing_is_left, until, watching

__all__ = ["nothing_is_left"]


@pytest.fixture
def signs() -> Iterator[list[dict[str, Any]]]:
    """What the worker is told of who watches."""
    heard: list[dict[str, Any]] = []
    end = local.subscribe(worker_channel(WORKER), heard.append)
    yield heard
    end()


@pytest.fixture
def _seldom(monkeypatch: pytest.MonkeyPatch, nothing_is_left: None) -> None:
    """What is told soon is told for a reason, and not because it is time."""
    monkeypatch.setattr(interest, "INTERVAL", 3600.0)


@pytest.mark.usefixtures("_seldom")
async def test_the_worker_hears_what_the_viewers_of_each_role_want_at_most(
    signs: list[dict[str, Any]],
) -> None:
    run, table = uuid4(), Table()
    one, two, owner = Page(), Page(), Page(role="owner")
    async with watching(one, run, table) as joined, watching(owner, run, table):
        await until(lambda: signs and len(signs[-1]["roles"]) == 2)
        assert signs[-1]["rates"] == {}
        joined.rate(one.viewer, 2)
        await until(lambda: signs[-1]["rates"] == {"view": 2})
        async with watching(two, run, table):
            await until(lambda: signs[-1]["rates"] == {})
            joined.rate(two.viewer, 0)
            await until(lambda: signs[-1]["rates"] == {"view": 2})
            joined.rate(two.viewer, 5)
            await until(lambda: signs[-1]["rates"] == {"view": 5})
        await until(lambda: signs[-1]["rates"] == {"view": 2})
        joined.rate(owner.viewer, 0)
        await until(lambda: signs[-1]["rates"] == {"view": 2, "owner": 0})
        joined.rate(owner.viewer, 1000)
        joined.rate(one.viewer, 1000)
        await until(lambda: signs[-1]["rates"] == {})


@pytest.mark.usefixtures("_seldom")
async def test_a_wish_that_changes_nothing_is_not_told(signs: list[dict[str, Any]]) -> None:
    run, table, one, two = uuid4(), Table(), Page(), Page()
    async with watching(one, run, table) as joined, watching(two, run, table):
        joined.rate(one.viewer, 20)
        joined.rate(two.viewer, 10)
        await until(lambda: signs and signs[-1]["rates"] == {"view": 20})
        joined.hear(frame(1))  # nothing is in doubt any more
        await asyncio.sleep(2 * interest.GAP)
        count = len(signs)
        for fps in range(10):
            joined.rate(two.viewer, fps)
        await asyncio.sleep(3 * interest.GAP)
        assert len(signs) == count


class Busy(Page):
    """A viewer for whom the server works so many seconds for each message."""

    takes = 0.01

    async def _send(self, text: str) -> None:
        time.sleep(self.takes)  # nobody else in the loop has a turn meanwhile
        await super()._send(text)


class Slow(Page):
    """A viewer that takes five messages a second."""

    async def _send(self, text: str) -> None:
        await asyncio.sleep(0.2)
        await super()._send(text)


async def test_a_hub_whose_process_cannot_send_all_asks_for_fewer_and_says_so_until_it_can(
    signs: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pressure, "CALM", 0.3)
    monkeypatch.setattr(pressure, "LONGEST_CALM", 0.3)
    run, table, pages = uuid4(), Table(), [Busy() for _ in range(4)]
    async with AsyncExitStack() as stack:
        for page in pages:
            joined = await stack.enter_async_context(watching(page, run, table))
        with _shown(joined, signs):
            await until(lambda: signs and signs[-1]["rates"].get("view", 99) < 45)
            assert "More frames come than viewers can be sent" in caplog.text
            for page in pages:
                page.takes = 0.0
            lowest = signs[-1]["rates"]["view"]
            await until(lambda: signs[-1]["rates"].get("view", 99) > lowest)


async def test_viewers_that_take_little_slow_nobody(signs: list[dict[str, Any]]) -> None:
    run, table = uuid4(), Table()
    async with AsyncExitStack() as stack:
        for page in (Slow(), Slow(), Page()):
            joined = await stack.enter_async_context(watching(page, run, table))
        for seq in range(1, 31):  # each of which there is a turn to send, however late this loop is
            joined.hear(frame(seq))
            await asyncio.sleep(0.1 * pressure.WINDOW)
    assert all(sign["rates"] == {} for sign in signs)


RATE = 50.0  # frames a second


@contextmanager
def _shown(joined: hub.Hub, signs: list[dict[str, Any]]) -> Iterator[None]:
    """Frames as another thread would show them: so many a second, or as many as were asked for last."""
    loop, over = asyncio.get_running_loop(), threading.Event()

    def show() -> None:
        for seq in itertools.count(1):
            loop.call_soon_threadsafe(joined.hear, frame(seq))
            wanted = signs[-1]["rates"].get("view", RATE) if signs else RATE
            if over.wait(1 / min(RATE, wanted)):
                return

    thread = threading.Thread(target=show)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def test_who_acknowledges_slowly_or_reads_slowly_is_no_sign_of_a_server_that_has_no_time() -> None:
    run, table = uuid4(), Table()
    slow, stuck = Page(), Page()
    async with watching(slow, run, table) as joined, watching(stuck, run, table):
        await until(lambda: slow.of("status") and stuck.of("status"))
        slow.viewer.ack(0, 0)
        stuck.hold.clear()
        for seq in range(1, 30):
            joined.hear(frame(seq))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert [slow.viewer.count()[1], stuck.viewer.count()[1]] == [0, 0]
        stuck.hold.set()


async def test_frames_that_come_before_there_was_a_turn_to_send_are_a_sign_of_it() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        await until(lambda: page.of("presence") and page.viewer._sending is None)
        page.viewer.count()
        for seq in range(1, 11):
            joined.hear(frame(seq))
        await until(lambda: page.of("snapshot"))
        assert page.viewer.count() == (1, 9)
