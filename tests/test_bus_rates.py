"""How many frames a hub asks for: what its viewers want, and can be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest

from django_livesim.bus import hub, local, pressure
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
    monkeypatch.setattr(hub, "INTERVAL", 3600.0)


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
        await asyncio.sleep(2 * hub.GAP)
        count = len(signs)
        for fps in range(10):
            joined.rate(two.viewer, fps)
        await asyncio.sleep(3 * hub.GAP)
        assert len(signs) == count


class Slow(Page):
    """A viewer that can be sent so many frames a second."""

    able = 5.0

    async def _send(self, text: str) -> None:
        await asyncio.sleep(1 / self.able)
        await super()._send(text)


async def test_a_hub_whose_viewers_cannot_be_sent_all_asks_for_fewer_and_says_so_until_they_can(
    signs: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pressure, "CALM", 0.3)
    monkeypatch.setattr(pressure, "LONGEST_CALM", 0.3)
    run, table, pages = uuid4(), Table(), [Slow() for _ in range(3)]
    async with AsyncExitStack() as stack:
        for page in pages:
            joined = await stack.enter_async_context(watching(page, run, table))
        quick = await stack.enter_async_context(watching(Page(), run, table))
        assert quick is joined
        worker = asyncio.create_task(_show(joined, signs))
        await until(lambda: signs and signs[-1]["rates"].get("view", 99) < 20)
        assert "More frames come than viewers can be sent" in caplog.text
        for page in pages:
            page.able = 10_000.0
        await until(lambda: signs[-1]["rates"] == {})
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def test_one_slow_viewer_among_many_slows_nobody(signs: list[dict[str, Any]]) -> None:
    run, table = uuid4(), Table()
    async with AsyncExitStack() as stack:
        for page in (Slow(), Page(), Page()):
            joined = await stack.enter_async_context(watching(page, run, table))
        worker = asyncio.create_task(_show(joined, signs))
        await asyncio.sleep(3 * pressure.WINDOW)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
    assert all(sign["rates"] == {} for sign in signs)


async def _show(joined: hub.Hub, signs: list[dict[str, Any]]) -> None:
    """Frames as a worker would show them: fifty a second, or as many as were asked for last."""
    seq = 0
    while True:
        seq += 1
        joined.hear(frame(seq))
        wanted = signs[-1]["rates"].get("view", 50.0) if signs else 50.0
        await asyncio.sleep(1 / min(50.0, wanted))
