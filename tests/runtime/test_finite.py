"""Numbers that JSON has no word for: null at viewers, counted, and said with where they are."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson
import pytest

from django_livesim import Simulation, Table
from django_livesim.protocol.errors import BadState
from django_livesim.protocol.loads import unsent
from django_livesim.runtime import finite
from django_livesim.runtime.finite import ViewEncoder
from tests.runtime.test_effort import loads
from tests.runtime.world import World

RUN = UUID(int=7)


@pytest.fixture(autouse=True)
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(finite, "SHARE", math.inf)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of it."""
    caplog.set_level(logging.INFO, logger="django_livesim")

    class Said(list[str]):
        def __iter__(self) -> Iterator[str]:
            return (each.getMessage() for each in caplog.records if each.name == finite.__name__)

    return Said()


def encoded(encoder: ViewEncoder, view: Any) -> Any:
    return orjson.loads(encoder.encode(view, view)[0])


def test_they_are_null_and_counted_and_the_first_is_said_with_its_place(said: list[str]) -> None:
    encoder = ViewEncoder(RUN, 3)
    view = {"a": None, "bodies": [{"x": 1.0, "y": math.nan}, {"x": math.inf, "y": (2.0, -math.inf)}]}
    seen = {"a": None, "bodies": [{"x": 1.0, "y": None}, {"x": None, "y": [2.0, None]}]}
    assert encoded(encoder, view) == seen
    assert encoder.found == 3
    [text] = said
    assert text == (
        "viewers see null for 3 numbers of the view that JSON has no word for, the first being"
        f' view["bodies"][0]["y"] (nan); expected finite numbers run={RUN} epoch=3'
    )


def test_they_are_said_once_a_minute_and_counted_all_the_same(said: list[str]) -> None:
    encoder = ViewEncoder(RUN, 3)
    for _ in range(50):
        encoded(encoder, {"x": math.nan})
    assert encoder.found == 50
    assert len(list(said)) == 1


def test_what_is_null_by_itself_is_nothing_to_speak_of(said: list[str]) -> None:
    encoder = ViewEncoder(RUN, 3)
    for view in ({"x": None, "null": 1.0}, {"x": 1.0}, {}, {"text": "null"}):
        assert encoded(encoder, view) == view
    assert encoder.found == 0
    assert list(said) == []


def test_views_are_looked_through_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "LOOK_EVERY", 1000.0)
    encoder = ViewEncoder(RUN, 3)
    for _ in range(10):
        encoded(encoder, {"x": math.nan})
    assert encoder.found == 1


def test_a_view_that_takes_long_to_look_through_is_looked_through_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(finite, "SHARE", 1e-9)
    encoder = ViewEncoder(RUN, 3)
    for _ in range(10):
        encoded(encoder, {"x": math.nan})
    assert encoder.found == 1


def test_all_parts_of_a_view_are_looked_through_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finite, "LOOK_EVERY", 1000.0)
    encoder = ViewEncoder(RUN, 3)
    view = {"x": 1.0, "things": {"a": {"x": math.nan}}}
    encoder.encode(view, {"x": 1.0}, {"things": {"ids": ["a"], "columns": {"x": [None]}}})
    assert encoder.found == 1


def test_numbers_of_numpy_are_found() -> None:
    numpy = pytest.importorskip("numpy")
    encoder = ViewEncoder(RUN, 3)
    view = {"grid": numpy.array([[1.0, math.nan], [math.inf, 2.0]]), "one": numpy.float32(math.nan)}
    assert encoded(encoder, view) == {"grid": [[1.0, None], [None, 2.0]], "one": None}
    assert encoder.found == 3


def test_a_view_that_cannot_be_sent_says_where_and_why() -> None:
    with pytest.raises(BadState, match=r'view\["a"\] is of type object'):
        ViewEncoder(RUN, 3).encode({}, {"a": object()})


class Drunk(Simulation):
    name = "drunk"
    tick_rate = 10
    tables = [Table("things", x=0.1)]

    def setup(self) -> None:
        self.state = {"n": 0}

    def step(self, dt: float) -> None:
        self.state["n"] += 1

    def view(self, role: str) -> dict[str, Any]:
        return {"n": self.state["n"], "things": {"a": {"x": 1.0}, "b": {"x": math.nan}}}


def test_a_worker_tells_how_many_there_were_in_tables_too(said: list[str]) -> None:
    world = World(Drunk)
    run = world.start(Drunk)
    world.run_for(1.0, by=0.1)
    told = loads(world).tell()
    assert told["not_finite"] == {run.hex: world.runner(run).screen.encoder.found}
    assert unsent(told).not_finite >= 5
    assert ['view["things"]["b"]["x"] (nan)' in each for each in said] == [True]


def test_of_a_worker_that_tells_nothing_nothing_is_known() -> None:
    assert unsent({}) == unsent({"unsent": None, "not_finite": None})
