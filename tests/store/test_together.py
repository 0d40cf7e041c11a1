"""Runs that are taken up together are read in a few queries, and as they are one by one."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_livesim.models import Checkpoint, Command, Run
from django_livesim.store import claiming, identity, leases, loading, together
from tests.store.test_loading import claim, register, store, stored

pytestmark = pytest.mark.django_db(transaction=True)


def note(run: Run, seq: int) -> None:
    facts: Any = {"kind": "command", "name": "add", "sender": "u:1", "body_hash": "", "outcome": "applied"}
    Command.objects.create(run=run, client_id=str(seq), apply_seq=seq, apply_tick=seq, **facts)


@pytest.fixture
def taken() -> tuple[UUID, list[Run]]:
    """A worker with three runs: a new one, one with two states and a journal, one whose newest is damaged."""
    me, runs = register(), [Run.objects.create(simulation="counter") for _ in range(3)]
    claim(me)
    for run in runs[1:]:
        store(me, run, stored(3, 1), stored(4, 2))
        for seq in (1, 2, 3):
            note(run, seq)
    Checkpoint.objects.filter(run=runs[2], tick=4).update(data=b"damaged")
    return me, runs


def read(me: UUID, runs: list[Run]) -> together.Together:
    return together.read([run.id for run in runs], me)


@pytest.mark.parametrize("small", [together.SMALL, 1])
def test_what_is_read_together_is_what_is_read_alone(taken, monkeypatch, small):
    monkeypatch.setattr(together, "SMALL", small)
    me, runs = taken
    rows = read(me, runs)
    held = [loading.load(run.id, me, (), rows) for run in runs]
    assert held == [loading.load(run.id, me) for run in runs]
    assert [[entry.apply_seq for entry in each.journal] for each in held] == [[], [3], [2, 3]]


def test_it_takes_as_many_queries_for_many_as_for_two(taken):
    me, runs = taken
    for _ in range(5):
        more = Run.objects.create(simulation="counter")
        claim(me, held=[run.id for run in runs])
        store(me, more, stored(2))
        runs.append(more)
    del runs[2]  # what is damaged is read by itself
    counts = []
    for some in (runs[:2], runs):
        with CaptureQueriesContext(connection) as captured:
            rows = read(me, some)
            assert all(loading.load(run.id, me, (), rows) for run in some)
        counts.append(len(captured))
    assert counts == [4, 4]


def test_a_row_that_cannot_be_read_has_each_read_alone(taken, monkeypatch, caplog):
    me, runs = taken

    def fails(*args: Any) -> Any:
        raise ValueError("bad row")

    monkeypatch.setattr(together, "_read", fails)
    assert read(me, runs) == together.Together()
    assert "3 runs cannot be read together" in caplog.text


def test_a_claim_of_many_is_one_update_and_gives_those_alone_that_nobody_else_took(monkeypatch):
    me, other = register(), leases.register(identity.this_process(), ["default"])
    runs = [Run.objects.create(simulation="counter", unproven=each % 2) for each in range(4)]
    apart = claiming._apart

    def quicker(held: Any, free: Any) -> Any:
        Run.objects.filter(id=runs[2].id).update(worker=other, epoch=1)
        return apart(held, free)

    monkeypatch.setattr(claiming, "_apart", quicker)
    with CaptureQueriesContext(connection) as captured:
        claimed = claim(me)
    assert set(claimed) == {run.id for run in runs} - {runs[2].id}
    assert (
        sum(
            query["sql"].startswith("UPDATE") and str(me.hex) in query["sql"].replace("-", "")
            for query in captured
        )
        == 1
    )
    facts = dict(Run.objects.values_list("id", "unproven"))
    assert [facts[run.id] for run in runs] == [0, 1, 0, 1]
    assert set(Run.objects.filter(worker=me).values_list("epoch", "adoptions")) == {(1, 0)}
