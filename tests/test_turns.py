"""Who is sent a frame when, and what counts as one that there was no time for."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from typing import Any
from unittest.mock import Mock

import pytest

from django_livesim.bus.feed import Feed, Frame
from django_livesim.bus.turns import AT_ONCE, Turns, turns
from django_livesim.bus.viewer import Viewer
from django_livesim.bus.wire import Send
from django_livesim.protocol.names import CloseCode


class Crowd:
    """Viewers who pump, and what each was sent; `come` has a new frame shown to all of them."""

    def __init__(self, count: int, send: Send | None = None, kind: type[Viewer] = Viewer) -> None:
        self.sent: list[list[str]] = [[] for _ in range(count)]
        self.viewers = [
            kind(send or each.append, sender=str(number), role="view")
            for number, each in enumerate(self.sent)
        ]
        self.feed, self.came = Feed(), 0

    async def __aenter__(self) -> Crowd:
        self.pumps = [asyncio.create_task(viewer.pump()) for viewer in self.viewers]
        await asyncio.sleep(0)
        await self.settle()
        return self

    async def __aexit__(self, *exc: object) -> None:
        for pump in self.pumps:
            pump.cancel()
        await asyncio.gather(*self.pumps, return_exceptions=True)

    def come(self, times: int = 1, role: str = "all", *, delta: bool = False) -> None:
        """`delta`: who has the one before it is sent what leads there."""
        for _ in range(times):
            self.came += 1
            number = {"epoch": 1, "seq": self.came, "tick": self.came}
            change = {"prev": self.came - 1, "delta": f"to {self.came}"} if delta else {}
            frame = Frame(role=role, text=str(self.came), **number, **change)
            self.feed.take(frame)
            turns().show(self.viewers, self.feed)

    async def settle(self) -> int:
        """Calls of the loop until nobody has anything to send."""
        calls = 0
        while turns()._waiting:
            await asyncio.sleep(0)
            calls += 1
        return calls


async def test_each_is_sent_the_newest_frame_in_few_calls_of_the_loop():
    async with Crowd(3 * AT_ONCE) as crowd:
        crowd.come()
        assert await crowd.settle() == 3
        assert crowd.sent == [["1"]] * len(crowd.viewers)
        crowd.come(64)
        assert await crowd.settle() <= 6  # those of the first of them, and of one more
        assert {each[-1] for each in crowd.sent} == {"65"}


async def test_frames_that_come_faster_than_they_are_sent_do_not_pile_up():
    async with Crowd(2 * AT_ONCE + 100) as crowd:
        for _ in range(300):
            crowd.come()
            assert len(turns()._waiting) == 1
            await asyncio.sleep(0)
        await crowd.settle()
        assert {each[-1] for each in crowd.sent} == {"300"}
        assert all(list(map(int, each)) == sorted(map(int, each)) for each in crowd.sent)
        assert not turns()._rounds


@pytest.mark.parametrize("seed", range(5))
async def test_what_was_sent_and_what_was_missed_is_no_more_than_what_came(seed):
    dice = random.Random(seed)
    async with Crowd(2 * AT_ONCE) as crowd:
        for _ in range(60):
            crowd.come(dice.choice([1, 1, 1, 4]))
            if dice.random() < 0.3:
                dice.choice(crowd.viewers).say("said")
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
        await crowd.settle()
        counts = [viewer.count() for viewer in crowd.viewers]
        frames = [sum(text != "said" for text in each) for each in crowd.sent]
        assert [sent for sent, _ in counts] == frames
        assert all(sent + missed <= crowd.came for sent, missed in counts)
        assert any(missed for _, missed in counts)


@pytest.mark.parametrize("wish", [None, 500.0])
@pytest.mark.parametrize("said", ["nothing", "before", "after"])
async def test_frames_of_a_burst_are_missed_whatever_else_is_said_and_wished(said, wish):
    async with Crowd(3) as crowd:
        if wish is not None:
            for viewer in crowd.viewers:
                viewer.rate(wish)
        crowd.come()  # from which on they are counted
        await crowd.settle()
        for _ in range(10):
            await asyncio.sleep(0.02)
            for _ in range(5):
                for viewer in crowd.viewers * (said == "before"):
                    viewer.say("said")
                crowd.come()
                for viewer in crowd.viewers * (said == "after"):
                    viewer.say("said")
            await crowd.settle()
        assert [viewer.count() for viewer in crowd.viewers] == [(11, 40)] * 3


async def test_frames_that_nobody_had_to_wait_for_are_not_missed():
    async with Crowd(300) as crowd:
        for _ in range(20):
            crowd.come()
            await crowd.settle()
        assert {viewer.count() for viewer in crowd.viewers} == {(20, 0)}


class Unready(Viewer):
    """Goes the long way with each frame."""

    __slots__ = ()
    _ready = property(lambda self: False, lambda self, ready: None)


@pytest.mark.parametrize("seed", range(30))
async def test_who_is_ready_is_sent_what_the_long_way_sends(seed):
    """Whatever is said, wished, acknowledged and asked for between frames, by the same dice for both."""

    def act(viewer: Viewer, dice: random.Random, seq: int) -> None:
        match dice.randrange(8):
            case 0:
                viewer.say(f"said {seq}")
            case 1:
                viewer.rate(dice.choice([0.0, 1e-3, 2000.0]))
            case 2 | 3:
                viewer.ack(1, max(0, seq - dice.randrange(3)))
            case 4:
                viewer.resync()
            case 5:
                viewer.change_role(dice.choice(["view", "owner"]))
            case 6 if dice.random() < 0.2:
                viewer.close(dice.choice([CloseCode.FORBIDDEN, CloseCode.RESTARTING]))

    async def seen(kind: type[Viewer]) -> tuple[list[list[str]], list[tuple[int, int]]]:
        dice = random.Random(seed)
        async with Crowd(4, kind=kind) as crowd:
            for _ in range(40):
                role = dice.choice(["all", "all", "view"])
                crowd.come(dice.choice([1, 1, 2]), role, delta=dice.random() < 0.5)
                for _ in range(dice.randrange(3)):
                    act(dice.choice(crowd.viewers), dice, crowd.came)
                if dice.random() < 0.7:
                    await crowd.settle()
            await crowd.settle()
            return crowd.sent, [viewer.count() for viewer in crowd.viewers]

    assert await seen(Viewer) == await seen(Unready)


@pytest.mark.parametrize("leaves", ["before", "after"])
async def test_no_frame_is_sent_to_one_that_is_leaving(leaves):
    async with Crowd(1) as crowd:
        crowd.come()
        await crowd.settle()
        if leaves == "before":
            crowd.pumps[0].cancel()
        crowd.come()
        crowd.pumps[0].cancel()
        await crowd.settle()
        assert crowd.sent == [["1"]]


async def test_a_frame_that_cannot_be_put_together_ends_who_needs_it_and_nobody_else():
    async with Crowd(2) as crowd:
        crowd.come()
        await crowd.settle()
        crowd.come()
        crowd.viewers[0].resync()
        crowd.feed.whole = broken = Mock(side_effect=MemoryError)
        crowd.feed.newest = Frame(role="all", epoch=1, seq=2, tick=2, prev=1, delta="to 2")
        await crowd.settle()
        await asyncio.sleep(0)
        assert broken.called
        assert [pump.done() for pump in crowd.pumps] == [True, False]
        assert crowd.sent[1] == ["1", "to 2"]


class Odd(BaseException):
    """What no server raises, and a host's own might."""


async def test_what_one_send_raises_is_that_viewers_alone():
    def send(text: str) -> Any:
        if broken:
            raise broken.pop()
        taken.append(text)

    broken: list[BaseException] = [Odd()]
    taken: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    async with Crowd(10, send) as crowd:
        crowd.come()
        await crowd.settle()
        await asyncio.sleep(0)
        assert taken == ["1"] * 9
        assert [type(pump.exception()) for pump in crowd.pumps if pump.done()] == [Odd]


async def test_an_empty_text_is_sent_and_holds_up_nobody():
    async with Crowd(1) as crowd:
        crowd.viewers[0].say("")
        crowd.viewers[0].close(CloseCode.RESTARTING)
        await asyncio.wait_for(crowd.pumps[0], 10)
        assert crowd.sent == [[""]]


async def test_nothing_is_sent_for_one_that_is_leaving():
    async with Crowd(1) as crowd:
        crowd.viewers[0].say("x")
        crowd.pumps[0].cancel()
        await asyncio.sleep(0.01)
        assert crowd.sent == [[]]


def test_a_loop_that_is_over_is_forgotten():
    seen: list[weakref.ref[object]] = []

    async def look_on() -> None:
        async with Crowd(3) as crowd:
            crowd.come()
            seen.append(weakref.ref(asyncio.get_running_loop()))
            assert isinstance(turns(), Turns)

    asyncio.run(look_on())
    gc.collect()
    assert [each() for each in seen] == [None]
