"""A viewer that is told as HTML, by itself: nothing is lost or piles up, and nobody takes all of the time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings

from django_livesim.bus import turns as turns_of_sending
from django_livesim.bus.feed import Feed, Frame
from django_livesim.bus.seldom import Seldom
from django_livesim.bus.turns import AT_ONCE
from django_livesim.bus.viewer import LANE_LIMIT, ROOMY, Viewer
from django_livesim.consumers import brush as brush_module
from django_livesim.consumers import fragments, painter
from django_livesim.consumers.brush import Brush, brush
from django_livesim.consumers.fragments import Subject
from django_livesim.consumers.html import HtmlViewer
from django_livesim.protocol import frames
from django_livesim.protocol.names import CloseCode

DEADLINE = 60.0


class Rendering:
    """What is rendered, which a test may hold up."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def around(self, render: Callable[..., Any]) -> Callable[..., Any]:
        def rendered(*about: Any) -> Any:
            self.texts.append(about[-1])
            self.gate.wait(DEADLINE)
            return render(*about)

        return rendered


@pytest.fixture
def rendering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rendering]:
    made = Rendering()
    monkeypatch.setattr(painter, "of_frame", made.around(fragments.of_frame))
    monkeypatch.setattr(painter, "of_message", made.around(fragments.of_message))
    yield made
    made.gate.set()


@pytest.fixture
def subject() -> Subject:
    """Of a simulation that has a thread of its own."""
    return Subject(id=uuid4(), name="", key=None, label="", simulation=f"s{uuid4().hex}")


class Told:
    """A viewer that pumps, and what it was sent."""

    def __init__(self, subject: Subject, language: str = "en", slow: float = DEADLINE) -> None:
        self.sent: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.viewer = HtmlViewer(
            self._send, subject=subject, language=language, sender="u:1", role="viewer", slow=slow
        )
        self.pump = asyncio.create_task(self.viewer.pump())

    async def _send(self, text: str) -> None:
        await self.open.wait()
        self.sent.append(text)

    def holding(self, text: str) -> int:
        return sum(text in each for each in self.sent)

    async def leave(self) -> None:
        self.pump.cancel()
        await asyncio.wait({self.pump})


@asynccontextmanager
async def watching(subject: Subject, *about: Any, **options: Any) -> AsyncIterator[Told]:
    told = Told(subject, *about, **options)
    try:
        yield told
    finally:
        await told.leave()


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def status(tick: int, progress: float | None = None) -> str:
    return frames.status("running", tick, progress, 1.0, "")


def frame(seq: int) -> Frame:
    text = frames.snapshot(1, seq, seq, b'{"of":%d}' % seq)
    return Frame(role="all", epoch=1, seq=seq, tick=seq, text=text)


def end(viewer: Viewer) -> None:
    viewer.say(frames.status("finished", 9, 1.0, 1.0, ""))
    viewer.tell_end(frames.end("finished", {"answer": 42}), None)


async def test_the_status_of_a_produced_run_is_rendered_once_and_a_fast_one_is_heard(
    subject: Subject, rendering: Rendering
) -> None:
    async with watching(subject) as told:
        rendering.gate.clear()
        told.viewer.say_newest(status(1, 0.11))
        await until(lambda: rendering.texts)
        told.viewer.say_newest(status(2, 0.22))
        told.viewer.say_newest(status(3, 0.33))
        rendering.gate.set()
        await until(lambda: len(told.sent) >= 2)
        end(told.viewer)
        await until(lambda: told.holding("answer"))
        assert [told.holding(each) for each in ("11 %", "22 %", "33 %", "cannot be shown")] == [1, 0, 1, 0]


async def test_a_burst_of_what_has_no_template_hides_no_end(subject: Subject) -> None:
    async with watching(subject) as told:
        for count in range(1000):
            told.viewer.say(frames.applied(None, "add", count))
        for count in range(300):
            told.viewer.say(frames.event("e", count, count))
        end(told.viewer)
        await until(lambda: told.holding("answer"))
        assert told.holding("data-status") == len(told.sent) == 2
        assert told.viewer.close_code is None


async def test_what_has_no_template_takes_no_room(subject: Subject, rendering: Rendering) -> None:
    async with watching(subject) as told:
        told.viewer.say(frames.event("e", 0, 0))
        told.viewer.say(status(1))
        await until(lambda: told.sent)
        told.open.clear()
        for count in range(2 * LANE_LIMIT):
            told.viewer.say(frames.event("e", count, count))
        end(told.viewer)
        assert told.viewer.close_code is None
        told.open.set()
        await until(lambda: told.holding("answer"))
        assert sum('"event"' in text for text in rendering.texts) == 1


async def test_who_is_told_more_than_can_be_rendered_is_closed_and_misses_nothing_unawares(
    subject: Subject, rendering: Rendering
) -> None:
    async with watching(subject) as told:
        rendering.gate.clear()
        for tick in range(LANE_LIMIT + 1):
            told.viewer.say(status(tick))
        await asyncio.wait_for(told.pump, DEADLINE)
        assert told.viewer.close_code is CloseCode.TOO_SLOW


async def test_what_was_said_before_the_close_is_told(subject: Subject) -> None:
    async with watching(subject) as told:
        end(told.viewer)
        told.viewer.close(CloseCode.RESTARTING)
        told.viewer.say_newest(status(10, 0.99))  # after it nothing is
        await asyncio.wait_for(told.pump, DEADLINE)
        assert (told.holding("data-status"), told.holding("answer"), told.holding("99 %")) == (2, 1, 0)
        assert told.viewer.close_code is CloseCode.RESTARTING


async def test_a_template_that_hangs_holds_up_no_close(subject: Subject, rendering: Rendering) -> None:
    async with watching(subject, slow=0.2) as told:
        rendering.gate.clear()
        end(told.viewer)
        told.viewer.close(CloseCode.RESTARTING)
        await asyncio.wait_for(told.pump, DEADLINE)
        assert told.viewer.close_code is CloseCode.RESTARTING
        assert told.sent == []


async def test_who_asks_fast_is_answered_as_fast_as_answers_are_rendered(
    subject: Subject, rendering: Rendering
) -> None:
    async with watching(subject) as told:
        rendering.gate.clear()
        for tick in range(ROOMY + 10):
            told.viewer.say(status(tick))
        room = asyncio.create_task(told.viewer.room())
        await turns()
        assert not room.done()
        rendering.gate.set()
        await asyncio.wait_for(room, DEADLINE)


async def test_one_run_is_told_in_few_languages_at_once_and_in_others_when_these_have_gone(
    subject: Subject,
) -> None:
    codes = [code for code, _ in django_settings.LANGUAGES if code != "en"]
    several = [Told(subject, code) for code in codes]
    try:
        async with watching(subject, codes[-1]) as late, watching(subject, codes[0]) as early:
            spoken = [each.viewer._messages.language for each in several]
            assert spoken[: painter.LANGUAGES] == codes[: painter.LANGUAGES]
            assert set(spoken[painter.LANGUAGES :]) == {"en"}
            assert late.viewer._messages.language == "en"
            assert early.viewer._messages.language == codes[0]
    finally:
        for each in several:
            await each.leave()
    async with watching(subject, codes[-1]) as again:
        assert again.viewer._messages.language == codes[-1]


async def test_a_thread_computes_for_no_more_than_its_share() -> None:
    computed = 0.02  # seconds

    def compute() -> tuple[float, float]:
        began, until = time.monotonic(), time.thread_time() + computed
        while time.thread_time() < until:
            pass
        return began, time.monotonic()

    made: Brush[tuple[float, float]] = Brush("share")
    done = [each for each in await asyncio.gather(*(made.do(compute) for _ in range(6))) if each]
    rests = [later[0] - earlier[1] for earlier, later in pairwise(done)]
    assert len(rests) == 5
    assert min(rests) >= computed * (1 / brush_module.SHARE - 1)


async def test_what_those_who_left_were_to_be_shown_waits_for_no_template_that_hangs(
    subject: Subject, rendering: Rendering
) -> None:
    rendering.gate.clear()
    feed = Feed()
    for seq in range(1, 21):
        feed.take(frame(seq))
        async with watching(subject) as told:
            told.viewer.say(status(seq))
            await turns()
            told.viewer.show(feed)
            await turns()
    rendering.gate.set()
    for what in ("frames", "messages"):
        await brush(subject.simulation, what).do(lambda: None)
    assert sum('"snapshot"' in text for text in rendering.texts) <= 1
    assert sum('"status"' in text for text in rendering.texts) <= 1


async def test_many_who_wait_for_their_turn_are_shown_what_is_the_newest_then(
    subject: Subject, rendering: Rendering
) -> None:
    feed = Feed()
    feed.take(frame(1))
    rendering.gate.clear()
    async with watching(subject, "de") as german, watching(subject, "fr") as french:
        german.viewer.show(feed)
        await until(lambda: rendering.texts)
        french.viewer.show(feed)
        await turns()
        feed.take(frame(2))
        french.viewer.show(feed)
        rendering.gate.set()
        await until(lambda: french.sent and german.sent)
        assert french.holding("&quot;of&quot;: 1") == 0


async def test_nothing_is_rendered_for_who_wants_no_frames(subject: Subject, rendering: Rendering) -> None:
    feed = Feed()
    async with watching(subject) as told:
        told.viewer.rate(0)
        for seq in (1, 2):
            feed.take(frame(seq))
            told.viewer.show(feed)
            await turns()
            await brush(subject.simulation, "frames").do(lambda: None)
        assert rendering.texts == []
        told.viewer.rate(5)
        await until(lambda: told.sent)
        assert [text.count('"seq":2') for text in rendering.texts] == [1]


@pytest.mark.parametrize(
    "text", ["", "{", '{"type":"status"', '{"type":"snapshot","state":[],"tables":{"a":1}}']
)
def test_what_is_no_message_is_logged_seldom_and_comes_to_nothing(
    subject: Subject, text: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fragments, "seldom", Seldom(fragments.logger))
    for _ in range(3):
        assert fragments.of_frame(subject, "viewer", "en", text) is None
    assert [str(subject.id) in each.message for each in caplog.records] == [True]
    assert text.startswith('{"type":"snapshot"') or fragments.of_message(subject, "en", text) is None


async def test_nothing_is_rendered_for_one_that_has_left_while_others_were_shown_a_frame(subject, rendering):
    told = Told(subject)
    await asyncio.sleep(0.01)
    feed = Feed()
    feed.take(frame(1))
    others = [Viewer(lambda text: None, sender="u:2", role="view") for _ in range(3 * AT_ONCE)]
    turns_of_sending.turns().show([*others, told.viewer], feed)
    await told.leave()
    while turns_of_sending.turns()._rounds:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert not rendering.texts
