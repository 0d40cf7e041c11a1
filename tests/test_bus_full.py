"""A channel layer that is full, hung or gone, and views that are too large: said, counted, made up for."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any
from uuid import UUID, uuid4

import orjson
import pytest
from channels.layers import get_channel_layer

from django_livesim.bus import chain, hub, publisher, receiver
from django_livesim.bus.chain import View
from django_livesim.bus.large import Large
from django_livesim.bus.publisher import Publisher
from django_livesim.bus.receiver import LayerReceiver
from django_livesim.bus.rows import Facts
from django_livesim.bus.seldom import Seldom
from django_livesim.protocol.mirror import Mirror
from django_livesim.protocol.names import run_group, worker_channel
from tests.test_bus import (
    CORE,
    WORKER,
    Page,
    Redis,
    Table,
    bad_redis,
    flush,
    frame,
    lane,
    layer,
    layer_settings,
    nothing_is_left,
    until,
    watching,
)
from tests.test_bus import publisher as made_publisher

__all__ = ["bad_redis", "layer", "made_publisher", "nothing_is_left"]

CAPACITY = 5
THINGS = {f"thing{number}": {"x": number, "kind": "thing"} for number in range(100)}


def view(seq: int, *, whole: bool = False) -> View:
    """Large enough that a delta is worth it, and different each time."""
    state = {"n": seq, "things": THINGS}
    return View(role="all", epoch=1, seq=seq, tick=seq, body=orjson.dumps(state), whole=whole)


def warned(caplog: pytest.LogCaptureFixture, beginning: str) -> list[str]:
    messages = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    return [each for each in messages if each.startswith(beginning)]


@pytest.fixture(autouse=True)
def nothing_was_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (hub, publisher, receiver):
        monkeypatch.setattr(module, "seldom", Seldom(module.logger))


@pytest.fixture
def small(settings: Any, redis_url: str) -> str:
    """A layer that keeps few messages for each process."""
    flush(redis_url)
    settings.CHANNEL_LAYERS = layer_settings(CORE, redis_url)
    settings.CHANNEL_LAYERS["default"]["CONFIG"]["capacity"] = CAPACITY
    return redis_url


async def interests(heard: list[dict[str, Any]]) -> None:
    while True:
        heard.append(await get_channel_layer().receive(worker_channel(WORKER)))


def shown(page: Page) -> Any:
    """What the page makes of the frames it has been sent."""
    mirror = Mirror()
    for message in page.heard:
        if message["type"] in ("snapshot", "delta"):
            assert mirror.take(message), "a frame that the page cannot use"
    return mirror.picture.state if mirror.picture else None


def told(page: Page) -> str:
    """The reason that it was told last."""
    return str(["", *(each["reason"] for each in page.of("status"))][-1])


async def test_frames_that_a_full_layer_has_lost_are_made_up_for_and_that_is_said_once(
    small: str,
    made_publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(chain, "WHOLE_EVERY", 1000.0)
    made_publisher.start()
    run, page, table = uuid4(), Page(), Table()
    heard: list[dict[str, Any]] = []
    listening = asyncio.create_task(interests(heard))
    async with watching(page, run, table):
        seq = await first_frame(made_publisher, run, page)
        for _ in range(10 * CAPACITY):
            made_publisher.publish(run, "all", lane('{"type":"event","name":"e","data":null,"tick":1}'))
        made_publisher.show(run, view(seq))  # which is lost
        assert made_publisher.flush(60)  # and this loop stands still meanwhile
        await until(lambda: page.of("event"))
        heard.clear()
        for number in range(seq + 1, seq + 5):
            made_publisher.show(run, view(number))
            await asyncio.sleep(0.02)
        await until(lambda: [each for each in heard if each["keyframe"]])
        made_publisher.show(run, view(seq + 5, whole=True))
        await until(lambda: shown(page)["n"] == seq + 5)
        assert 0 < len(page.of("event")) < 10 * CAPACITY
        assert made_publisher.dropped == 0  # such a layer does not tell who sends
    assert len(warned(caplog, "A frame was lost on its way")) == 1
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def first_frame(publisher: Publisher, run: UUID, page: Page) -> int:
    """Show frames until one is seen, and it is the newest; the next number."""
    for seq in range(1, 500):
        publisher.show(run, view(seq, whole=not page.of("snapshot")))
        await asyncio.to_thread(publisher.flush, 60)
        await asyncio.sleep(0.02)
        if page.of("snapshot"):
            await until(lambda seq=seq: shown(page)["n"] == seq)
            return seq + 1
    raise AssertionError("no frame arrived")


async def test_a_stored_view_that_is_too_large_is_told_of_until_a_smaller_one_is_there(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LIVESIM = {"MAX_FRAME_BYTES": 2000}
    run, page, table = uuid4(), Page(), Table()
    table.facts = Facts(status="stopped", epoch=1, tick=7)
    table.views["all"] = 7, orjson.dumps({"filling": "x" * 3000})
    async with watching(page, run, table):
        reason = "not shown, since its view takes 3014 bytes, and 2000 bytes are sent at most"
        await until(lambda: told(page) == reason)
        assert not page.of("snapshot")
        table.facts = Facts(status="stopped", epoch=1, tick=8)
        table.views["all"] = 8, orjson.dumps({"filling": "x"})
        await until(lambda: page.of("snapshot"))
        await until(lambda: told(page) == "")
        assert page.of("snapshot")[0]["state"] == {"filling": "x"}


async def test_of_frames_that_come_late_none_is_shown_that_is_older_than_one_too_large() -> None:
    run, page, table = uuid4(), Page(), Table()
    large = Large(role="all", epoch=1, seq=5, tick=5, size=10 * 2**20, most=4 * 2**20)
    async with watching(page, run, table) as joined:
        joined.hear(large.encode())
        joined.hear(frame(4))
        await until(lambda: "takes 10.0 MiB, and 4.0 MiB" in told(page))
        joined.hear(frame(6))
        await until(lambda: page.of("snapshot"))
        joined.hear(large.encode())
        await until(lambda: told(page) == "")
        assert [each["seq"] for each in page.of("snapshot")] == [6]


async def test_a_process_whose_messages_are_more_than_the_layer_keeps_says_so_and_hears_again(
    small: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(receiver, "ECHO_EVERY", 0.02)
    heard: list[dict[str, Any]] = []
    joined = asyncio.Event()
    receiving = LayerReceiver(get_channel_layer())
    receiving.join("crowd", heard.append, joined.set)
    await joined.wait()
    flooding = Publisher()
    flooding.start()

    async def flood() -> None:
        while not warned(caplog, "The channel layer keeps as many"):
            for number in range(20):
                flooding.group_send("crowd", {"type": "noise", "group": "crowd", "n": number})
            flooding.flush(60)  # this loop stands still meanwhile, as one does that has too much to do
            await asyncio.sleep(0.001)

    await asyncio.wait_for(flood(), 60)
    heard.clear()
    await until(lambda: (flooding.group_send("crowd", {"type": "last", "group": "crowd"}), heard)[1])
    await until(receiving.hears)
    await receiving.close()
    await asyncio.to_thread(flooding.stop)
    assert len(warned(caplog, "The channel layer keeps as many")) == 1


async def test_a_channel_that_is_full_is_counted_and_said_once(
    small: str, made_publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    made_publisher.start()
    for number in range(4 * CAPACITY):
        made_publisher.channel_send("nobody-hears", {"type": "sold", "n": number})
    await asyncio.to_thread(made_publisher.flush, 60)
    assert made_publisher.dropped == 3 * CAPACITY
    [text] = warned(caplog, "The channel layer did not take a message")
    assert "nobody-hears" in text
    got = [(await get_channel_layer().receive("nobody-hears"))["n"] for _ in range(CAPACITY)]
    assert got == list(range(CAPACITY))
    made_publisher.channel_send("nobody-hears", {"type": "sold", "n": 100})
    received = await asyncio.wait_for(get_channel_layer().receive("nobody-hears"), 60)
    assert received["n"] == 100


async def test_after_a_message_that_was_not_taken_the_next_frame_is_whole(
    bad_redis: Redis,
    made_publisher: Publisher,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(chain, "WHOLE_EVERY", 1000.0)
    made_publisher.start()
    run, channel_layer = uuid4(), get_channel_layer()
    channel = await channel_layer.new_channel()
    await channel_layer.group_add(run_group(run, "all"), channel)

    async def taken(seq: int) -> dict[str, Any]:
        while (message := await asyncio.wait_for(channel_layer.receive(channel), 60))["seq"] < seq:
            pass
        return dict(message)

    for seq in (1, 2):
        made_publisher.show(run, view(seq))
        message = await taken(seq)
    assert "text" not in message
    os.kill(bad_redis.process.pid, signal.SIGSTOP)
    for seq in (3, 4, 5):
        made_publisher.show(run, view(seq))
        await until(lambda seq=seq: made_publisher.dropped >= seq - 2)
    assert len(warned(caplog, "The channel layer did not take a message")) == 1
    os.kill(bad_redis.process.pid, signal.SIGCONT)
    made_publisher.show(run, view(6))
    assert orjson.loads((await taken(6))["text"])["state"]["n"] == 6
    made_publisher.show(run, view(7))
    assert "text" not in await taken(7)
