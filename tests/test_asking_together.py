"""Questions that are asked together: who gets which answer, and what a failure of one does to the others."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Mapping
from uuid import uuid4

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from django_livesim.consumers import rows, together
from django_livesim.consumers.together import Together
from django_livesim.models import Run

COMMON = (OperationalError,)


class Oracle:
    """Answers with the number of the question; may be held up, and may raise for a key."""

    def __init__(self, bad: Mapping[str, Exception] | None = None) -> None:
        self.asked: list[list[str]] = []
        self.free = asyncio.Event()
        self._bad = bad or {}

    async def __call__(self, keys: list[str]) -> dict[str, int]:
        self.asked.append(keys)
        number = len(self.asked)
        await self.free.wait()
        for key in self._bad.keys() & set(keys):
            raise self._bad[key]
        return {key: number for key in keys if key != "nobody"}


async def _under_way(oracle: Oracle) -> None:
    while not oracle.asked:
        await asyncio.sleep(0)


async def test_what_comes_while_one_is_under_way_is_asked_together_and_anew() -> None:
    oracle = Oracle()
    ask: Together[str, int] = Together(oracle, COMMON)
    first = asyncio.create_task(ask("a"))
    await _under_way(oracle)
    others = [asyncio.create_task(ask(key)) for key in ("a", "b", "b", "nobody")]
    await asyncio.sleep(0)
    oracle.free.set()
    assert await first == 1
    assert await asyncio.gather(*others) == [2, 2, 2, None]  # the second "a" is of a later moment
    assert oracle.asked == [["a"], ["a", "b", "nobody"]]
    assert await ask("c") == 3


async def test_no_question_has_more_keys_than_a_database_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(together, "MOST", 3)
    oracle = Oracle()
    oracle.free.set()
    ask: Together[str, int] = Together(oracle, COMMON)
    await asyncio.gather(*(ask(f"key {number}") for number in range(8)))
    assert [len(keys) for keys in oracle.asked] == [3, 3, 2]


async def test_one_that_is_cancelled_leaves_the_answer_to_the_others() -> None:
    oracle = Oracle()
    ask: Together[str, int] = Together(oracle, COMMON)
    gone, other = asyncio.create_task(ask("a")), asyncio.create_task(ask("a"))
    await _under_way(oracle)
    gone.cancel()
    oracle.free.set()
    assert await other == 1
    with pytest.raises(asyncio.CancelledError):
        await gone


async def test_one_that_cannot_be_answered_fails_alone() -> None:
    oracle = Oracle({"bad": ValueError("not JSON")})
    oracle.free.set()
    ask: Together[str, int] = Together(oracle, COMMON)
    answers = await asyncio.gather(*map(ask, ("a", "bad", "b")), return_exceptions=True)
    assert [type(each) for each in answers] == [int, ValueError, int]


async def test_a_database_that_is_away_is_not_asked_for_each_alone() -> None:
    oracle = Oracle({"a": OperationalError("away")})
    oracle.free.set()
    ask: Together[str, int] = Together(oracle, COMMON)
    answers = await asyncio.gather(*map(ask, "abc"), return_exceptions=True)
    assert [type(each) for each in answers] == [OperationalError] * 3
    assert len(oracle.asked) == 1


def test_each_event_loop_asks_for_itself() -> None:
    numbers = itertools.count(1)

    async def count(keys: list[str]) -> dict[str, int]:
        await asyncio.sleep(0)
        return dict.fromkeys(keys, next(numbers))

    ask: Together[str, int] = Together(count, COMMON)

    async def twice() -> list[int | None]:
        return await asyncio.gather(ask("a"), ask("b"))

    assert asyncio.run(twice()) == [1, 1]
    assert asyncio.run(twice()) == [2, 2]


async def test_a_question_that_is_not_answered_is_given_up_and_the_next_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(together, "LIMIT", 0.05)
    oracle = Oracle()
    ask: Together[str, int] = Together(oracle, (TimeoutError,))
    first = asyncio.create_task(ask("a"))
    await _under_way(oracle)
    second = asyncio.create_task(ask("b"))
    with pytest.raises(TimeoutError):
        await first
    oracle.free.set()
    with contextlib.suppress(TimeoutError):
        await second
    assert await ask("c") == len(oracle.asked)


async def test_where_the_asking_is_cancelled_nobody_waits_for_ever() -> None:
    oracle = Oracle()
    ask: Together[str, int] = Together(oracle, COMMON)
    waiting = [asyncio.create_task(ask("a"))]
    await _under_way(oracle)
    waiting.append(asyncio.create_task(ask("b")))
    await asyncio.sleep(0)
    for task in asyncio.all_tasks():
        if task.get_name() == "livesim-together":
            task.cancel()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in ended] == [asyncio.CancelledError] * 2
    oracle.free.set()
    assert await ask("c") == 2


@pytest.mark.django_db
def test_the_rows_of_many_runs_are_one_statement_and_those_that_follow_them_another() -> None:
    runs = [Run.objects.create(simulation="counter", tick=number) for number in range(30)]
    ended = [Run.objects.create(simulation="counter", status="stopped") for _ in range(30)]
    for run in ended:
        Run.objects.create(simulation="counter", parent=run, parent_tick=7)  # a fork
    following = {run.id: Run.objects.create(simulation="counter", parent=run).id for run in ended[:20]}
    with CaptureQueriesContext(connection) as made:
        facts = rows.facts_of_all([*(run.id for run in runs + ended), uuid4()])
    assert len(made) == 2
    assert [facts[run.id].tick for run in runs] == list(range(30))
    assert {run: each.next for run, each in facts.items() if each.next} == following
    with CaptureQueriesContext(connection) as made:
        rows.facts_of_all([run.id for run in runs])
    assert len(made) == 1
