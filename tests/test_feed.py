"""A feed: the newest frame of a role, the whole of it where somebody needs that, and what is missing."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from django_livesim.bus import feed as feeds
from django_livesim.bus.chain import Chain, View
from django_livesim.bus.feed import Feed, Frame


class Worker:
    """Its frames, one after the other, as hubs get them."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state
        self._chain = Chain()
        self._seq = 0

    def show(self, **changed: Any) -> Frame:
        self.state = {**self.state, **changed}
        self._seq += 1
        body = orjson.dumps(self.state)
        message = self._chain.message(View(role="all", epoch=1, seq=self._seq, tick=self._seq, body=body))
        return Frame(**{name: value for name, value in message.items() if name != "type"})


@pytest.fixture
def asked() -> list[int]:
    return []


@pytest.fixture
def feed(asked: list[int]) -> Feed:
    return Feed(lambda: asked.append(1))


@pytest.fixture
def worker() -> Worker:
    return Worker({"n": 0, "more": "x" * 5000})


def state(feed: Feed) -> Any:
    return orjson.loads(feed.whole())["state"]


def test_the_whole_is_put_together_where_it_is_asked_for(feed, worker):
    assert all(feed.take(worker.show(n=number)) for number in range(1, 9))
    assert not feed.newest.text
    assert state(feed) == worker.state
    assert not feed.misses


def test_a_lost_one_is_missed_until_the_whole_comes(feed, worker):
    feed.take(worker.show())
    worker.show(n=1)
    assert not feed.take(worker.show(n=2))
    assert feed.misses
    assert feed.newest.number == (1, 1)
    whole = Worker(worker.state)
    whole._seq = 3
    assert feed.take(whole.show())
    assert not feed.misses
    assert state(feed) == worker.state


def test_of_two_that_change_places_the_later_is_missed(feed, worker):
    first, second, third = worker.show(), worker.show(n=1), worker.show(n=2)
    assert [feed.take(frame) for frame in (first, third, second)] == [True, False, True]
    assert feed.newest.number == (1, 2)
    assert feed.misses


def test_what_does_not_fit_is_forgotten_and_nothing_older_takes_its_place(feed, worker):
    first, second = worker.show(), worker.show(n=1)
    assert second.check
    feed.take(first)
    spoiled = orjson.loads(second.delta) | {"patch": {"n": 17}}
    wrong = Frame(
        role="all", epoch=1, seq=2, tick=2, prev=1, delta=orjson.dumps(spoiled).decode(), check=True
    )
    assert not feed.take(wrong)
    assert feed.failed == 1
    assert feed.misses
    assert not feed.whole()
    assert not feed.take(first)
    assert not feed.take(Frame(role="all", epoch=1, seq=0, tick=1, text=first.text))


@pytest.mark.parametrize(
    "text", ["null", "[]", "{", '{"type": "delta"}', '{"type":"delta","epoch":"x","seq":[]}']
)
def test_what_is_no_frame_is_forgotten_too(feed, worker, text):
    feed.take(worker.show())
    feed.take(Frame(role="all", epoch=1, seq=2, tick=2, prev=1, delta=text))
    assert not feed.whole()
    assert feed.failed == 1
    assert feed.misses


def test_more_deltas_than_the_whole_is_worth_are_dropped_and_the_whole_is_asked_for_once(feed, asked):
    worker = Worker({"n": 0, "more": ["x" * 100] * 2000, "parts": {}})
    for number in range(40):
        assert feed.take(worker.show(parts={str(number): "y" * 30_000}))
    assert not asked
    assert [feed.whole() for _ in range(3)] == [""] * 3
    assert asked == [1]
    assert feed.misses
    whole = Worker(worker.state)
    whole._seq = 40
    assert feed.take(whole.show())
    assert not feed.misses
    assert state(feed) == worker.state


def test_a_small_view_is_kept_up_however_many_deltas_come(feed, worker, monkeypatch):
    monkeypatch.setattr(feeds, "LOT", 6000)
    for number in range(500):
        assert feed.take(worker.show(n=number))
        assert len(feed._waiting) < 100
    assert state(feed) == worker.state
