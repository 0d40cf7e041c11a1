"""The bus against a real Valkey, with both layers, and within one process."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import multiprocessing
import os
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import redis
from channels.layers import get_channel_layer

from django_livesim.bus import doorbells, hub, interest, local, outcomes, presence, receiver, viewer, watch
from django_livesim.bus.hub import Hub
from django_livesim.bus.hubs import hubs
from django_livesim.bus.publisher import Publisher
from django_livesim.bus.rows import Facts, Rows
from django_livesim.bus.viewer import Viewer
from django_livesim.protocol import frames
from django_livesim.protocol.frames import Verdict
from django_livesim.protocol.names import RUNS_CHANNEL, CloseCode, worker_channel
from scripts import services as private
from tests.services import missing

CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
LAYERS = (CORE, PUBSUB)
WORKER = UUID(int=7)


def flush(url: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.flushall()


def layer_settings(backend: str, url: str) -> dict[str, Any]:
    hosts = [{"address": url, "socket_timeout": None}]
    return {"default": {"BACKEND": backend, "CONFIG": {"hosts": hosts}}}


@pytest.fixture(params=LAYERS, ids=["core", "pubsub"])
def layer(request: pytest.FixtureRequest, settings: Any, redis_url: str) -> str:
    flush(redis_url)
    settings.CHANNEL_LAYERS = layer_settings(request.param, redis_url)
    return str(request.param)


@pytest.fixture(params=[*LAYERS, None], ids=["core", "pubsub", "local"])
def anywhere(request: pytest.FixtureRequest, settings: Any) -> str | None:
    if request.param:
        url = request.getfixturevalue("redis_url")
        flush(url)
        settings.CHANNEL_LAYERS = layer_settings(request.param, url)
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """Made after the layer: ask for it behind it."""
    made = Publisher()
    yield made
    made.stop()


async def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still {value!r} after {seconds} s"
        await asyncio.sleep(0.005)
    return value


class Table:
    """Rows that a test writes by hand."""

    def __init__(self) -> None:
        self.facts: Facts | None = Facts(status="running", epoch=1, worker=WORKER)
        self.views: dict[str, tuple[int, bytes]] = {}
        self.verdicts: list[Verdict] = []
        self.queries: list[list[tuple[str, str]]] = []
        self.reads = 0
        self.error: Exception | None = None

    def rows(self) -> Rows:
        return Rows(facts=self.read, stored_view=self.view, answers=self.answers)

    async def read(self, run: UUID) -> Facts | None:
        self.reads += 1
        if self.error:
            raise self.error
        return self.facts

    async def view(self, run: UUID, role: str) -> tuple[int, bytes] | None:
        return self.views.get(role)

    async def answers(self, run: UUID, asked: Any) -> list[Verdict]:
        self.queries.append(list(asked))
        return [verdict for verdict in self.verdicts if (verdict.sender, verdict.id) in asked]


class Page:
    """What one viewer has been sent."""

    def __init__(self, sender: str = "u:1", role: str = "view", **options: Any) -> None:
        self.heard: list[dict[str, Any]] = []
        self.hold = asyncio.Event()
        self.hold.set()
        self.viewer = Viewer(self._send, sender=sender, role=role, **options)

    async def _send(self, text: str) -> None:
        await self.hold.wait()
        self.heard.append(json.loads(text))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]

    def kinds(self) -> list[str]:
        return [message["type"] for message in self.heard if message["type"] != "presence"]


@asynccontextmanager
async def watching(page: Page, run: UUID, table: Table) -> AsyncIterator[Hub]:
    joined = hubs().join(run, page.viewer, table.facts or Facts(status="running"), table.rows())
    pump = asyncio.create_task(page.viewer.pump())
    try:
        yield joined
    finally:
        joined.leave(page.viewer)
        pump.cancel()
        await asyncio.gather(pump, return_exceptions=True)


@pytest.fixture(autouse=True)
async def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Every test ends with no hub and none of our tasks."""
    monkeypatch.setattr(hub, "LINGER", 0.05)
    monkeypatch.setattr(interest, "INTERVAL", 0.5)
    monkeypatch.setattr(watch, "INTERVAL", 0.5)
    monkeypatch.setattr(watch, "PATIENCE", 0.3)
    yield
    await until(lambda: not len(hubs()))
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name().startswith("livesim-")])


def frame(
    seq: int, tick: int | None = None, *, epoch: int = 1, role: str = "all", state: Any = None
) -> dict[str, Any]:
    tick = seq if tick is None else tick
    text = frames.snapshot(epoch, seq, tick, json.dumps({"n": seq} if state is None else state).encode())
    return {"type": "livesim.frame", "role": role, "epoch": epoch, "seq": seq, "tick": tick, "text": text}


def change(seq: int, *, role: str = "all") -> dict[str, Any]:
    """What leads from the frame before to this one."""
    text = frames.delta(1, seq - 1, seq, seq, {"n": seq}, [])
    return frame(seq, role=role) | {"text": "", "prev": seq - 1, "delta": text}


def lane(text: str, kind: str = "event") -> dict[str, Any]:
    return {"type": "livesim.lane", "kind": kind, "text": text}


async def heard_frame(publisher: Publisher, run: UUID, page: Page, start: int = 1) -> int:
    """Publish frames until one is seen; the seq after it. A subscription takes a moment."""
    for seq in range(start, start + 500):
        publisher.publish(run, "all", frame(seq))
        await asyncio.sleep(0.02)
        if page.of("snapshot"):
            return seq + 1
    raise AssertionError("no frame arrived")


# -- publisher and hub ---------------------------------------------------------------------------


async def test_frames_events_and_results_reach_a_viewer(anywhere: str | None, publisher: Publisher) -> None:
    publisher.start()
    run, page, table = uuid4(), Page(sender="u:1"), Table()
    stranger = Page(sender="u:2")
    async with watching(page, run, table), watching(stranger, run, table):
        seq = await heard_frame(publisher, run, page)
        page.viewer.outcomes.expect("a1")
        page.viewer.accept("a1", "add")
        for number in range(50):
            publisher.publish(run, "all", lane(frames.event("tick", number, number)))
        verdict = Verdict(sender="u:1", id="a1", command="add", outcome="applied", tick=4, result="[1]")
        publisher.publish(run, "all", verdict.encode())
        publisher.publish(run, "all", verdict.encode())
        publisher.publish(run, "all", frame(seq))
        await until(lambda: page.of("applied") and page.of("snapshot")[-1]["seq"] == seq)
        await until(lambda: stranger.of("applied"))
    assert [message["data"] for message in page.of("event")] == list(range(50))
    assert page.of("applied") == [{"type": "applied", "id": "a1", "command": "add", "tick": 4, "result": [1]}]
    assert stranger.of("applied") == [{"type": "applied", "id": None, "command": "add", "tick": 4}]
    assert page.kinds()[0] == "status"


async def test_what_waits_while_the_loop_stands_still_closes_nobody(
    anywhere: str | None, publisher: Publisher
) -> None:
    publisher.start()
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        await heard_frame(publisher, run, page)
        for start in range(0, 900, 90):  # fewer than the core layer's capacity at a time
            for number in range(start, start + 90):
                publisher.publish(run, "all", lane(frames.event("tick", number, number)))
            publisher.flush(30.0)
            if anywhere == "channels_redis.core.RedisChannelLayer":
                await until(lambda: len(page.of("event")) == start + 90)  # noqa: B023
        await until(lambda: len(page.of("event")) == 900 or page.viewer.close_code)
        assert page.viewer.close_code is None
    assert [each["tick"] for each in page.of("event")] == list(range(900))


async def test_the_worker_hears_who_watches(anywhere: str | None) -> None:
    run, page, table = uuid4(), Page(role="control"), Table()
    heard: list[dict[str, Any]] = []
    if anywhere:
        channel = get_channel_layer()

        async def listen() -> None:
            while True:
                heard.append(await channel.receive(worker_channel(WORKER)))

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.1)
        end: Callable[[], Any] = listening.cancel
    else:
        end = local.subscribe(worker_channel(WORKER), heard.append)
    async with watching(page, run, table):
        interest = (await until(lambda: heard))[0]
        assert interest["run"] == run.hex and interest["viewers"] == 1 and interest["roles"] == ["control"]
        assert interest["keyframe"] is True
        await until(lambda: len(heard) >= 3)
    end()
    if anywhere:
        await asyncio.gather(listening, return_exceptions=True)


async def test_a_worker_that_was_told_before_it_had_the_run_is_told_again_once_it_has_spoken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interest, "INTERVAL", 60.0)
    run, page, table = uuid4(), Page(), Table()
    heard: list[dict[str, Any]] = []
    end = local.subscribe(worker_channel(WORKER), heard.append)
    async with watching(page, run, table) as joined:
        await until(lambda: heard and table.reads)
        joined.hear(frame(1))
        table.facts = Facts(status="waiting", epoch=2, worker=WORKER)  # claimed, and not loaded yet
        joined.hear({"type": "livesim.look"})
        await until(lambda: joined.facts == table.facts)
        heard.clear()
        table.facts = Facts(status="running", epoch=2, worker=WORKER)
        joined.hear(lane(frames.status("running", 1, None, 1.0, ""), "status") | {"epoch": 2})
        assert (await until(lambda: heard))[0]["keyframe"] is True
    end()


async def test_older_doubled_and_fenced_frames_are_dropped(publisher: Publisher) -> None:
    publisher.start()
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        for message in (frame(2), frame(1), frame(2), frame(1, epoch=2), frame(9), frame(2, epoch=2)):
            joined.hear(message)
            await asyncio.sleep(0.02)
        joined.hear(lane(frames.event("late", 1, 1)) | {"epoch": 1})
        joined.hear(lane(frames.event("now", 1, 1)) | {"epoch": 2})
        await until(lambda: page.of("event"))
    assert [(each["epoch"], each["seq"]) for each in page.of("snapshot")] == [(1, 2), (2, 1), (2, 2)]
    assert [each["name"] for each in page.of("event")] == ["now"]


async def test_malformed_messages_harm_nobody(caplog: pytest.LogCaptureFixture) -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        for message in (
            {},
            {"type": "livesim.frame"},
            {"type": "livesim.lane", "kind": "status", "text": "{"},
            {"type": 3},
        ):
            joined.hear(message)
        joined.hear(frame(1))
        await until(lambda: page.of("snapshot"))
    assert caplog.text.count("malformed") == 1


async def test_a_late_joiner_gets_the_newest_frame_at_once() -> None:
    run, first, table = uuid4(), Page(), Table()
    async with watching(first, run, table) as joined:
        joined.hear(frame(3))
        second = Page()
        async with watching(second, run, table):
            await until(lambda: second.of("snapshot"))
            assert second.kinds() == ["status", "snapshot"]
            await until(lambda: first.of("presence") and first.of("presence")[-1]["viewers"] == 2)


async def test_a_last_frame_of_a_paused_run_is_asked_for_until_it_is_known_and_shown_once() -> None:
    run, page, table, asked = uuid4(), Page(), Table(), []
    table.facts = Facts(status="paused", epoch=1, worker=WORKER)
    async with watching(page, run, table) as joined:

        def answer(message: dict[str, Any]) -> None:
            asked.append(message["keyframe"])
            asyncio.get_running_loop().call_soon(joined.hear, frame(10 + len(asked), tick=5, state="last"))

        end = local.subscribe(worker_channel(WORKER), answer)
        await until(lambda: len(asked) >= 3)
        end()
    assert all(asked) and len(page.of("snapshot")) == 1


async def test_what_one_role_has_lost_is_asked_for_whatever_the_other_is_shown() -> None:
    run, table, asked = uuid4(), Table(), []
    table.facts = Facts(status="running", epoch=1, worker=WORKER)
    low, high = Page(role="view", by_role=True), Page(role="control", by_role=True)
    end = local.subscribe(worker_channel(WORKER), lambda message: asked.append(message["keyframe"]))
    async with watching(low, run, table) as joined, watching(high, run, table):
        await until(lambda: asked)  # it listens by now, and asks for what was said before
        for role in ("view", "control"):
            joined.hear(frame(1, role=role))
        await until(lambda: asked[-1] is False)
        for seq in range(3, 6):  # what led from 1 to 2 is lost
            joined.hear(change(seq, role="view"))
            joined.hear(frame(seq, role="control"))
        await until(lambda: asked[-1] is True)
        assert low.of("snapshot")[-1]["seq"] == 1
        joined.hear(frame(6, role="view"))
        count = len(asked)
        await until(lambda: len(asked) > count + 1)
        assert asked[-1] is False
        assert low.of("snapshot")[-1]["seq"] == 6
    end()


async def test_each_role_sees_its_own_view(anywhere: str | None, publisher: Publisher) -> None:
    publisher.start()
    run, table = uuid4(), Table()
    low, high = Page(role="view", by_role=True), Page(role="control", by_role=True)
    async with watching(low, run, table) as joined, watching(high, run, table):
        for seq in range(1, 500):
            for role in ("view", "control", "owner"):
                publisher.publish(run, role, frame(seq, role=role, state=role))
            await asyncio.sleep(0.02)
            if low.of("snapshot") and high.of("snapshot"):
                break
        assert {each["state"] for each in low.of("snapshot")} == {"view"}
        assert {each["state"] for each in high.of("snapshot")} == {"control"}
        low.heard.clear()
        joined.change_role(low.viewer, "control")  # type: ignore[arg-type]
        await until(lambda: low.of("snapshot"))
        assert {each["state"] for each in low.of("snapshot")} == {"control"}


async def test_a_run_that_nobody_holds_shows_its_stored_view() -> None:
    run, page, table = uuid4(), Page(), Table()
    table.facts = Facts(status="stopped", epoch=3, tick=40, result={"a": 1}, next=UUID(int=5))
    table.views["all"] = (40, b'{"x":1}')
    async with watching(page, run, table):
        await until(lambda: page.of("snapshot"))
    assert page.kinds() == ["status", "end", "snapshot"]
    assert page.of("snapshot")[0] == {"type": "snapshot", "epoch": 3, "seq": 0, "tick": 40, "state": {"x": 1}}
    assert page.of("end")[0] == {
        "type": "end",
        "status": "stopped",
        "result": {"a": 1},
        "next": str(UUID(int=5)),
    }


async def test_a_last_frame_that_was_lost_is_read_from_the_rows_and_no_older_state_is_shown() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        joined.hear(frame(5, tick=30))
        table.facts = Facts(status="stopped", epoch=1, tick=29)
        table.views["all"] = (29, b'"older"')
        joined.hear({"type": "livesim.look"})
        await until(lambda: page.of("end"))
        table.facts, table.views["all"] = Facts(status="stopped", epoch=1, tick=31), (31, b'"newer"')
        joined.hear({"type": "livesim.look"})
        await until(lambda: len(page.of("snapshot")) == 2)
    assert [(each["seq"], each["state"]) for each in page.of("snapshot")] == [(5, {"n": 5}), (6, "newer")]


async def test_a_worker_that_shows_nothing_is_made_up_for_by_the_stored_view() -> None:
    run, page, table = uuid4(), Page(), Table()
    table.views["all"] = (8, b"{}")
    async with watching(page, run, table):
        await until(lambda: page.of("snapshot"))
        assert page.of("snapshot")[0]["seq"] == 0


async def test_a_status_and_an_end_that_were_lost_are_told_from_the_row_once() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        await until(lambda: page.of("status"))
        table.facts = Facts(status="failed", epoch=1, reason="it raised")
        await until(lambda: page.of("end"))
        await asyncio.sleep(1.2)
    assert [each["status"] for each in page.of("status")] == ["running", "failed"]
    assert len(page.of("end")) == 1


async def test_a_status_that_was_heard_is_not_taken_back_by_an_older_reading() -> None:
    run, page, table = uuid4(), Page(), Table()
    reading, go = asyncio.Event(), asyncio.Event()
    read = table.read

    async def slow(run_id: UUID) -> Facts | None:
        found = await read(run_id)
        reading.set()
        await go.wait()
        return found

    table.read = slow  # type: ignore[method-assign]
    async with watching(page, run, table) as joined:
        await reading.wait()
        table.facts = Facts(status="paused", epoch=1, worker=WORKER)
        joined.hear(lane(frames.status("paused", 3, None, 1.0, ""), "status"))
        go.set()
        await asyncio.sleep(0.3)
    assert [each["status"] for each in page.of("status")] == ["running", "paused"]


async def test_an_end_is_told_again_after_the_run_went_on() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        for status in ("stopped", "running", "stopped"):
            table.facts = Facts(status=status, epoch=1, worker=WORKER)
            joined.hear(lane(frames.status(status, 1, None, 1, ""), "status"))
            if status == "stopped":
                joined.hear(lane(frames.end(status), "end"))
            await asyncio.sleep(0.3)
        await asyncio.sleep(0.5)
    told = ["status", "status", "end"]
    assert [each for each in page.kinds() if each != "snapshot"] == told * 2


async def test_an_end_is_told_again_once_another_run_follows() -> None:
    run, page, table = uuid4(), Page(), Table()
    following = UUID(int=5)
    table.facts = Facts(status="stopped", epoch=1)
    async with watching(page, run, table) as joined:
        await until(lambda: page.of("end"))
        table.facts = Facts(status="stopped", epoch=1, next=following)
        for _ in range(3):
            joined.hear({"type": "livesim.look"})
            await asyncio.sleep(0.15)
        joined.hear(lane(frames.end("stopped", None, following), "end"))
        await until(lambda: len(page.of("end")) >= 2)
        await asyncio.sleep(0.6)
    assert [each["next"] for each in page.of("end")] == [None, str(following)]


async def test_a_stored_view_that_is_older_than_what_was_shown_is_read_once() -> None:
    run, page, table = uuid4(), Page(), Table()
    reads: list[str] = []

    async def view(run: UUID, role: str) -> tuple[int, bytes]:
        reads.append(role)
        return 29, b'"older"'

    table.view = view  # type: ignore[method-assign]
    async with watching(page, run, table) as joined:
        joined.hear(frame(5, tick=30))
        table.facts = Facts(status="stopped", epoch=1, tick=29)
        for _ in range(5):
            joined.hear({"type": "livesim.look"})
            await asyncio.sleep(0.15)
        assert not joined.in_doubt
    assert reads == ["all"]


async def test_a_deleted_run_closes_its_viewers() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        table.facts = None
        await until(lambda: page.viewer.close_code)
    assert page.viewer.close_code == CloseCode.DELETED


async def test_a_database_that_goes_away_leaves_the_frames_going(caplog: pytest.LogCaptureFixture) -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        table.error = OSError("no database")
        joined.hear({"type": "livesim.look"})
        await until(lambda: "could not be read" in caplog.text)
        joined.hear(frame(1))
        await until(lambda: page.of("snapshot"))
        table.error, table.facts = None, Facts(status="paused", epoch=1)
        await until(lambda: page.of("status")[-1]["status"] == "paused")


# -- results -------------------------------------------------------------------------------------


async def test_a_result_never_comes_before_accepted() -> None:
    run, page, table = uuid4(), Page(), Table()
    verdict = Verdict(sender="u:1", id="x", command="add", outcome="applied")
    async with watching(page, run, table) as joined:
        page.viewer.outcomes.expect("x")
        joined.hear(verdict.encode())
        await asyncio.sleep(0.05)
        assert not page.of("applied")
        page.viewer.accept("x", "add")
        await until(lambda: page.of("applied"))
        joined.hear(verdict.encode())
        page.viewer.answer(verdict)
        await asyncio.sleep(0.05)
    assert [kind for kind in page.kinds() if kind != "status"] == ["accepted", "applied"]


async def test_results_that_do_not_come_are_read_from_the_rows_in_one_query(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "FIRST_QUERY", 0.2)
    run, page, other, table = uuid4(), Page(), Page(sender="u:2"), Table()
    table.verdicts = [
        Verdict(sender="u:1", id="a", command="add", outcome="applied", tick=2, result="3"),
        Verdict(sender="u:2", id="b", command="add", outcome="refused", tick=2, code="refused", message="no"),
    ]
    async with watching(page, run, table), watching(other, run, table):
        for each, client_id in ((page, "a"), (page, "waits"), (other, "b")):
            each.viewer.outcomes.expect(client_id)
            each.viewer.accept(client_id, "add")
        await until(lambda: page.of("applied") and other.of("refused"))
    assert table.queries[0] == [("u:1", "a"), ("u:1", "waits"), ("u:2", "b")]
    assert other.of("refused") == [
        {"type": "refused", "id": "b", "command": "add", "tick": 2, "code": "refused", "message": "no"}
    ]


async def test_visitors_without_a_session_do_not_get_each_others_results() -> None:
    run, page, other, table = uuid4(), Page(sender="v:1"), Page(sender="v:2"), Table()
    async with watching(page, run, table) as joined, watching(other, run, table):
        page.viewer.outcomes.expect("a")
        page.viewer.accept("a", "add")
        joined.hear(Verdict(sender="v:1", id="a", command="add", outcome="applied", result="5").encode())
        await until(lambda: page.of("applied") and other.of("applied"))
    assert page.of("applied")[0]["result"] == 5
    assert "result" not in other.of("applied")[0] and other.of("applied")[0]["id"] is None


async def test_outcomes_are_asked_for_two_hundred_at_a_time_and_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outcomes, "FIRST_QUERY", 0.2)
    run, page, table = uuid4(), Page(sender="u:2"), Table()
    table.verdicts = [Verdict(sender="u:2", id="last", command="add", outcome="applied")]
    crowds = [Page(sender=f"u:1{number}") for number in range(3)]
    async with watching(page, run, table) as joined:
        for crowd in crowds:
            joined.viewers.add(crowd.viewer)
            for number in range(250):
                crowd.viewer.outcomes.expect(f"c{number}")
                crowd.viewer.accept(f"c{number}", "add")
        page.viewer.outcomes.expect("last")
        page.viewer.accept("last", "add")
        await until(lambda: page.of("applied"))
        joined.viewers.intersection_update({page.viewer})
    assert max(len(query) for query in table.queries) == 200
    assert sum(len(query) for query in table.queries[:4]) == 3 * 250 + 1


# -- slow and choosy viewers ---------------------------------------------------------------------


async def test_a_viewer_that_does_not_read_keeps_one_frame_and_is_closed_when_its_lane_is_full() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        await until(lambda: page.of("status"))
        page.hold.clear()
        for seq in range(1, 100):
            joined.hear(frame(seq))
            await asyncio.sleep(0)
        page.hold.set()
        await until(lambda: page.of("snapshot") and page.of("snapshot")[-1]["seq"] == 99)
        assert len(page.of("snapshot")) <= 2
        page.hold.clear()
        for number in range(viewer.LANE_LIMIT + 2):
            joined.hear(lane(frames.event("e", number, 1)))
        assert page.viewer.close_code == CloseCode.TOO_SLOW


async def test_one_send_that_takes_too_long_closes() -> None:
    page = Page(slow=0.1)
    page.hold.clear()
    page.viewer.say("{}")
    await asyncio.wait_for(page.viewer.pump(), 60)
    assert page.viewer.close_code == CloseCode.TOO_SLOW


async def test_a_viewer_that_acknowledges_has_at_most_two_frames_under_way() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        page.viewer.ack(0, 0)
        for seq in (1, 2):
            joined.hear(frame(seq))
            await until(lambda: len(page.of("snapshot")) == seq)  # noqa: B023
        for seq in range(3, 10):
            joined.hear(frame(seq))
            await asyncio.sleep(0.01)
        assert [each["seq"] for each in page.of("snapshot")] == [1, 2]
        page.viewer.ack(1, 2)
        await until(lambda: len(page.of("snapshot")) == 3)
        assert page.of("snapshot")[-1]["seq"] == 9


async def test_a_viewer_chooses_its_rate() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        page.viewer.rate(10)
        began = time.monotonic()
        for seq in range(1, 41):
            joined.hear(frame(seq))
            await asyncio.sleep(0.01)
        await until(lambda: page.of("snapshot")[-1]["seq"] == 40)
        assert 2 <= len(page.of("snapshot")) <= 2 + 10 * (time.monotonic() - began)
        page.viewer.rate(0)
        joined.hear(frame(50))
        await asyncio.sleep(0.2)
        assert page.of("snapshot")[-1]["seq"] == 40
        page.viewer.rate(100)
        await until(lambda: page.of("snapshot")[-1]["seq"] == 50)


async def test_resync_shows_the_newest_frame_again() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        joined.hear(frame(4))
        await until(lambda: page.of("snapshot"))
        joined.resync(page.viewer)
        await until(lambda: len(page.of("snapshot")) == 2)
        assert page.of("snapshot")[-1]["seq"] == 4


async def test_no_frame_of_a_role_that_was_lost_is_sent_and_the_new_one_is_at_once() -> None:
    run, table = uuid4(), Table()
    page, other = Page(role="owner", by_role=True), Page(role="view", by_role=True)
    async with watching(page, run, table) as joined, watching(other, run, table):
        page.viewer.ack(0, 0)
        joined.hear(frame(1, role="view", state="public"))
        for seq in (1, 2, 3):
            joined.hear(frame(seq, role="owner", state="secret"))
            await until(lambda: len(page.of("snapshot")) == min(seq, 2))  # noqa: B023
        await asyncio.sleep(0.01)
        assert len(page.of("snapshot")) == 2  # the third waits for an acknowledgement
        page.heard.clear()
        joined.change_role(page.viewer, "view")  # type: ignore[arg-type]
        await until(lambda: page.of("snapshot"))
        joined.hear(frame(4, role="owner", state="secret"))
        await asyncio.sleep(0.05)
        assert {each["state"] for each in page.of("snapshot")} == {"public"}


async def test_resync_wakes_a_viewer_that_waits_for_its_acknowledgements() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        page.viewer.ack(0, 0)
        for seq in (1, 2, 3):
            joined.hear(frame(seq))
            await until(lambda: len(page.of("snapshot")) == min(seq, 2))  # noqa: B023
        joined.resync(page.viewer)
        await until(lambda: page.of("snapshot")[-1]["seq"] == 3)


async def test_a_viewer_gets_one_resync_a_second_and_the_last_one_it_asked_for() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        joined.hear(frame(4))
        await until(lambda: page.of("snapshot"))
        began = time.monotonic()
        for _ in range(100):
            joined.resync(page.viewer)
            await asyncio.sleep(0)
        assert len(page.of("snapshot")) == 2
        await until(lambda: len(page.of("snapshot")) == 3)
        assert time.monotonic() - began > 0.9
        await asyncio.sleep(0.1)
        assert len(page.of("snapshot")) == 3


async def test_a_hub_asks_for_whole_frames_at_most_twice_a_second() -> None:
    run, pages, table = uuid4(), [Page() for _ in range(5)], Table()
    asked: list[float] = []

    def note(message: dict[str, Any]) -> None:
        if message["keyframe"]:
            asked.append(time.monotonic())

    end = local.subscribe(worker_channel(WORKER), note)
    async with watching(pages[0], run, table) as joined:
        deadline = time.monotonic() + 60
        while len(asked) < 5 and time.monotonic() < deadline:
            for page in pages:
                joined.viewers.add(page.viewer)
                page.viewer.next_resync_at = 0.0
                joined.resync(page.viewer)
            await asyncio.sleep(0.02)
        joined.viewers.intersection_update({pages[0].viewer})
    end()
    assert len(asked) >= 5
    assert all(third - first > 0.95 for first, third in zip(asked, asked[2:], strict=False))


async def test_a_lane_is_bounded_in_bytes_but_takes_one_message_of_any_size() -> None:
    page = Page()
    page.viewer.say("x" * (3 * viewer.LANE_BYTES))
    assert page.viewer.close_code is None
    page.viewer.say("{}")
    assert page.viewer.close_code == CloseCode.TOO_SLOW
    page = Page()
    for _ in range(2):
        page.viewer.say('"' + "ä" * (viewer.LANE_BYTES // 4) + '"')
        assert page.viewer.close_code is None
    page.viewer.say("{}")
    assert page.viewer.close_code == CloseCode.TOO_SLOW


async def test_who_lost_the_right_hears_nothing_more_and_others_drain_in_the_time_of_one_send() -> None:
    for code in (CloseCode.FORBIDDEN, CloseCode.DELETED):
        page = Page()
        for number in range(200):
            page.viewer.say(frames.event("e", number, 1))
        page.viewer.close(code)
        await asyncio.wait_for(page.viewer.pump(), 60)
        assert page.heard == [] and page.viewer.close_code == code

    async def crawl(text: str) -> None:
        await asyncio.sleep(0.08)

    slow = Viewer(crawl, sender="u:1", role="view", slow=0.2)
    for _ in range(100):
        slow.say("{}")
    slow.close(CloseCode.RESTARTING)
    began = time.monotonic()
    await slow.pump()
    assert time.monotonic() - began < 5 and slow.close_code == CloseCode.RESTARTING


async def test_presence_is_told_at_most_once_a_second() -> None:
    run, page, table = uuid4(), Page(), Table()
    began = time.monotonic()
    async with watching(page, run, table) as joined:
        for _ in range(10):
            async with watching(Page(), run, table):
                await asyncio.sleep(0.01)
        assert len(joined.viewers) == 1
        await until(lambda: len(page.of("presence")) >= 2 and page.of("presence")[-1]["viewers"] == 1)
        assert len(page.of("presence")) <= 1.1 + (time.monotonic() - began) / presence.GAP


async def test_a_hub_lingers_for_a_reload_and_a_task_that_fails_closes_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as first:
        pass
    again = Page()
    async with watching(again, run, table) as second:
        assert first is second

        def explode() -> None:
            raise LookupError("no such thing")

        second._watch._sleep_until = lambda at: explode()  # type: ignore[assignment,return-value,method-assign]
        await until(lambda: again.viewer.close_code)
    assert again.viewer.close_code == CloseCode.RESTARTING
    assert "viewers connect again" in caplog.text


# -- Redis that restarts, is flushed, or hangs ---------------------------------------------------


class Redis:
    """A private server that a test may treat badly."""

    def __init__(self, folder: Path) -> None:
        self.port = private.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.folder = folder
        self.process: Any = None

    def start(self) -> None:
        command = [private.redis_binary(), "--port", str(self.port), "--save", "", "--appendonly", "no"]
        log = self.folder / "log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [*command, "--dir", str(self.folder)], stdout=output, stderr=output
            )
        private.wait_for(lambda: private.redis_answers(self.port), self.process, log)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(params=LAYERS, ids=["core", "pubsub"])
def bad_redis(request: pytest.FixtureRequest, settings: Any, tmp_path: Path) -> Iterator[Redis]:
    try:
        private.redis_binary()
    except private.Missing as exc:
        missing("redis", str(exc))
    server = Redis(tmp_path)
    server.start()
    settings.CHANNEL_LAYERS = layer_settings(request.param, server.url)
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.kill()


async def test_frames_come_again_after_redis_was_killed(
    bad_redis: Redis, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.start()
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        seq = await heard_frame(publisher, run, page)
        bad_redis.kill()
        publisher.publish(run, "all", frame(seq))
        await asyncio.sleep(0.5)
        bad_redis.start()
        page.heard.clear()
        await heard_frame(publisher, run, page, seq + 1)


async def test_frames_come_again_after_redis_was_flushed(
    bad_redis: Redis, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "REJOIN", 0.5)
    publisher.start()
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        seq = await heard_frame(publisher, run, page)
        flush(bad_redis.url)
        page.heard.clear()
        await heard_frame(publisher, run, page, seq)


async def test_a_hung_redis_holds_nobody_up_and_loses_no_result(
    bad_redis: Redis, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "FIRST_QUERY", 0.2)
    publisher.start()
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        seq = await heard_frame(publisher, run, page)
        os.kill(bad_redis.process.pid, signal.SIGSTOP)
        began = time.monotonic()
        for each in range(seq, seq + 50):
            publisher.publish(run, "all", frame(each))
        assert time.monotonic() - began < 5
        await asyncio.to_thread(doorbells.ring, run, WORKER)
        assert time.monotonic() - began < 10
        table.verdicts = [Verdict(sender="u:1", id="a", command="add", outcome="applied")]
        page.viewer.outcomes.expect("a")
        page.viewer.accept("a", "add")
        await until(lambda: page.of("applied"))
        os.kill(bad_redis.process.pid, signal.SIGCONT)
        page.heard.clear()
        await heard_frame(publisher, run, page, seq + 50)


async def test_viewers_are_told_that_no_messages_arrive_and_when_they_do_again(
    bad_redis: Redis, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "ECHO_EVERY", 0.2)
    monkeypatch.setattr(receiver, "DEAF_AFTER", 1.0)
    publisher.start()
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        seq = await heard_frame(publisher, run, page)
        assert [each["reason"] for each in page.of("status")] == [""]
        os.kill(bad_redis.process.pid, signal.SIGSTOP)
        await until(lambda: page.of("status")[-1]["reason"] == watch.DEAF)
        table.facts = Facts(status="running", epoch=1, worker=WORKER, tick=1234)
        await until(lambda: page.of("status")[-1]["tick"] == 1234)
        os.kill(bad_redis.process.pid, signal.SIGCONT)
        await until(lambda: page.of("status")[-1]["reason"] == "")
        page.heard.clear()
        await heard_frame(publisher, run, page, seq)


async def test_the_worker_is_told_who_watches_as_soon_as_messages_arrive_again(
    bad_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interest, "INTERVAL", 1000.0)
    monkeypatch.setattr(receiver, "REJOIN", 1000.0)
    monkeypatch.setattr(receiver, "ECHO_EVERY", 0.2)
    monkeypatch.setattr(receiver, "DEAF_AFTER", 1.0)
    run, page, table = uuid4(), Page(), Table()
    heard: list[dict[str, Any]] = []

    async def listen() -> None:
        while True:
            try:
                heard.append(await get_channel_layer().receive(worker_channel(WORKER)))
            except Exception:
                await asyncio.sleep(0.1)

    listening = asyncio.create_task(listen())
    async with watching(page, run, table):
        await until(lambda: heard)
        os.kill(bad_redis.process.pid, signal.SIGSTOP)
        await until(lambda: page.of("status")[-1]["reason"] == watch.DEAF)
        heard.clear()
        os.kill(bad_redis.process.pid, signal.SIGCONT)
        assert (await until(lambda: heard))[0]["keyframe"] is True
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_nobody_is_told_so_where_nothing_is_said_and_messages_would_arrive(
    layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver, "ECHO_EVERY", 0.1)
    monkeypatch.setattr(receiver, "DEAF_AFTER", 2.5)
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        reads = table.reads
        await until(lambda: table.reads > reads + 7)  # three and a half seconds
        assert [each["reason"] for each in page.of("status")] == [""]


async def test_the_hub_leaves_a_hung_redis(bad_redis: Redis, publisher: Publisher) -> None:
    publisher.start()
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        await heard_frame(publisher, run, page)
        os.kill(bad_redis.process.pid, signal.SIGSTOP)
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name().startswith("livesim-")])


async def test_a_run_joined_while_another_is_left_is_heard(layer: str, publisher: Publisher) -> None:
    publisher.start()
    table, runs = Table(), [uuid4() for _ in range(5)]
    stays = Page()
    async with watching(stays, runs[0], table):
        seq = await heard_frame(publisher, runs[0], stays)
        for run in runs[1:]:
            page = Page()
            async with watching(page, run, table):
                await heard_frame(publisher, run, page)
        stays.heard.clear()
        await heard_frame(publisher, runs[0], stays, seq)
    await asyncio.sleep(0.2)  # the hub and its receiver are gone; the same run is heard by a new one
    back = Page()
    async with watching(back, runs[0], table):
        await heard_frame(publisher, runs[0], back, seq + 500)


async def test_a_flushed_layer_is_joined_again(
    settings: Any, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`flush()`, by some code of the host's own, takes the channel itself from the pubsub layer."""
    monkeypatch.setattr(receiver, "REJOIN", 0.5)
    settings.CHANNEL_LAYERS = layer_settings(PUBSUB, redis_url)
    publisher = Publisher()
    publisher.start()
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        seq = await heard_frame(publisher, run, page)
        await get_channel_layer().flush()
        page.heard.clear()
        await heard_frame(publisher, run, page, seq)
    await asyncio.to_thread(publisher.stop)


# -- publisher -----------------------------------------------------------------------------------


async def test_authors_messages_reach_their_group_and_channel(layer: str, publisher: Publisher) -> None:
    publisher.start()
    channel_layer = get_channel_layer()
    name = await channel_layer.new_channel()
    await channel_layer.group_add("shop", name)
    publisher.group_send("shop", {"type": "sold", "n": 1})
    assert await asyncio.wait_for(channel_layer.receive(name), 60) == {"type": "sold", "n": 1}
    publisher.channel_send(name, {"type": "sold", "n": 2})
    assert await asyncio.wait_for(channel_layer.receive(name), 60) == {"type": "sold", "n": 2}


async def test_authors_messages_reach_the_in_memory_layer_of_the_server(
    settings: Any, publisher: Publisher
) -> None:
    from django_livesim.bus import layers

    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    layers.set_home()
    publisher.start()
    channel_layer = get_channel_layer()
    await channel_layer.group_add("shop", "till")
    receiving = asyncio.create_task(channel_layer.receive("till"))
    await asyncio.sleep(0.05)
    publisher.group_send("shop", {"type": "sold"})
    assert await asyncio.wait_for(receiving, 60) == {"type": "sold"}


def test_a_publisher_that_is_stopped_or_has_no_layer_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    publisher = Publisher()
    publisher.publish(uuid4(), "all", frame(1))
    publisher.start()
    publisher.start()
    publisher.group_send("shop", {"type": "sold"})
    publisher.stop()
    publisher.stop()
    publisher.group_send("shop", {"type": "sold"})
    assert publisher.dropped == 3


async def test_what_waits_is_sent_before_the_publisher_stops(layer: str, publisher: Publisher) -> None:
    channel_layer = get_channel_layer()
    name = await channel_layer.new_channel()
    await channel_layer.group_add("shop", name)
    publisher.start()
    for number in range(20):
        publisher.group_send("shop", {"type": "sold", "n": number})
    await asyncio.to_thread(publisher.stop)
    got = [(await asyncio.wait_for(channel_layer.receive(name), 60))["n"] for _ in range(20)]
    assert got == list(range(20))


# -- doorbells -----------------------------------------------------------------------------------


async def rung(channel: str) -> dict[str, Any]:
    return await asyncio.wait_for(get_channel_layer().receive(channel), 60)  # type: ignore[no-any-return]


async def rung_by(channel: str, ring: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """Ring until it is heard: a subscription takes a moment, and a ring may be lost; what was heard."""
    hearing = asyncio.create_task(rung(channel))
    await asyncio.sleep(0.1)
    while not hearing.done():
        await ring()
        await asyncio.wait({hearing}, timeout=0.5)
    return await hearing


@pytest.mark.parametrize("how", ["thread", "loop", "coroutine"])
async def test_a_doorbell_is_heard(layer: str, how: str) -> None:
    run = uuid4()
    for worker, channel in ((None, RUNS_CHANNEL), (WORKER, worker_channel(WORKER))):

        async def ring(worker: UUID | None = worker) -> None:
            if how == "thread":
                await asyncio.to_thread(doorbells.ring, run, worker)
            elif how == "loop":
                doorbells.ring(run, worker)
            else:
                await doorbells.aring(run, worker)

        assert await rung_by(channel, ring) == {"type": "livesim.ring"}


async def test_a_doorbell_has_viewers_look(anywhere: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "INTERVAL", 1000.0)
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        await until(lambda: table.reads)
        await asyncio.sleep(0.3)
        reads = table.reads
        async with asyncio.timeout(60):
            while table.reads == reads:  # a ring may be lost on its way
                await doorbells.aring(run, WORKER, look=True)
                await asyncio.sleep(0.45)


async def test_without_a_layer_whoever_may_claim_hears_the_bell_of_a_worker_that_is_gone() -> None:
    heard: list[dict[str, Any]] = []
    end = local.subscribe(RUNS_CHANNEL, heard.append)
    doorbells.ring(uuid4(), WORKER)
    end()
    doorbells.ring(uuid4(), WORKER)
    assert heard == [{"type": "livesim.ring"}]


def test_ringing_with_no_redis_at_all_raises_nothing_and_is_quick(
    settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CHANNEL_LAYERS = layer_settings(CORE, f"redis://127.0.0.1:{private.free_port()}/0")
    began = time.monotonic()
    for _ in range(100):
        doorbells.ring(uuid4(), look=True)
    assert time.monotonic() - began < 20.0  # and not a quarter of a second for each
    assert len([record for record in caplog.records if record.levelno >= logging.WARNING]) <= 2


async def test_nobody_waits_for_a_ring_but_a_process_that_ends(
    layer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, rung = threading.Event(), list[float]()

    async def slow(*args: Any) -> None:
        while not go.is_set():
            await asyncio.sleep(0.01)
        rung.append(time.monotonic())

    monkeypatch.setattr(doorbells._Ringer, "_send", slow)
    monkeypatch.setattr(doorbells, "LIMIT", 60.0)
    await asyncio.to_thread(doorbells.ring, uuid4(), WORKER)
    assert rung == []
    ending = asyncio.create_task(asyncio.to_thread(doorbells._finish))
    await asyncio.sleep(0.1)
    assert not ending.done()
    go.set()
    await ending
    assert len(rung) == 1


def _ring_in_child(run: UUID) -> None:
    doorbells.ring(run)
    doorbells._finish()  # what the end of a process does, unless it ends by `_exit`
    os._exit(0)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # forking with threads, which is the point
async def test_a_forked_child_rings(layer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a Celery worker does: the parent has rung, and its thread is not in the child."""
    monkeypatch.setattr(doorbells, "LIMIT", 60.0)
    await doorbells.aring(uuid4())
    await rung(RUNS_CHANNEL) if layer == CORE else None

    async def ring() -> None:
        child = multiprocessing.get_context("fork").Process(target=_ring_in_child, args=(uuid4(),))
        child.start()
        await asyncio.to_thread(child.join, 60)

    assert await rung_by(RUNS_CHANNEL, ring) == {"type": "livesim.ring"}


@pytest.mark.parametrize("ring", ["submit", "submit_tasks"])
def test_a_ring_for_which_the_loop_has_ended_leaves_nothing_that_is_never_awaited(ring: str) -> None:
    ringer = doorbells._Ringer()
    ringer.thread.stop(10)
    arguments = (uuid4(), None, False) if ring == "submit" else ()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(RuntimeError):
            getattr(ringer, ring)(*arguments)
        gc.collect()
    assert [str(each.message) for each in warned if "never awaited" in str(each.message)] == []


def test_local_listeners_hear_copies_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[dict[str, Any]] = []

    def spoil(message: dict[str, Any]) -> None:
        message.clear()
        raise ValueError("a bad listener")

    ends = [local.subscribe("here", spoil), local.subscribe("here", heard.append)]
    thread = threading.Thread(target=local.send, args=("here", {"type": "x"}))
    thread.start()
    thread.join()
    for end in ends:
        end()
        end()
    assert heard == [{"type": "x"}]
    assert local.send("here", {"type": "x"}) == 0
    assert "a bad listener" in caplog.text


def test_frames_of_one_role_are_newest_wins_and_keep_their_place_behind_the_lane() -> None:
    from django_livesim.bus.publisher import LANE_LIMIT, _Outbox

    outbox = _Outbox()
    outbox.put("g", True, frame(1))
    outbox.put("g", True, lane("status"))
    outbox.put("g", True, frame(2))
    taken = [outbox.take()[2].get("seq") for _ in range(2)]
    assert taken == [None, 2]
    assert all(outbox.put("g", True, lane("x")) for _ in range(LANE_LIMIT))
    assert not outbox.put("g", True, lane("x"))
    assert outbox.put("g", True, frame(3))
