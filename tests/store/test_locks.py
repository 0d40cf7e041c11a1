"""Rows that a transaction of the host's own holds: the worker's writes pass them over, and do the rest."""

from __future__ import annotations

import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import DatabaseError, connections

from django_livesim import gateway
from django_livesim.models import Command, Run
from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Position, Write
from django_livesim.store import claiming, identity, journal, leases, locks
from tests.hosts import host_view
from tests.store.test_journal import verdict

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("row_locks")]


@pytest.fixture
def held() -> tuple[Any, Run, Run]:
    """A worker, and two runs that it holds."""
    me = leases.register(identity.this_process(), ["default"])
    runs = [gateway.start("counter", key=key) for key in ("one", "other")]
    assert len(claim(me)) == 2
    return me, *runs


def claim(me: Any, held: Any = ()) -> list[Any]:
    return claiming.claim(me, held, queues=["default"], simulations={"counter": 1})


def write(run: Run, **fields: Any) -> Write:
    return Write(run=run.id, epoch=1, number=1, **{"tick": 5, "next_seq": 2, "speed": 1.0} | fields)


def ticks() -> dict[str, int]:
    return dict(Run.objects.order_by("key").values_list("key", "tick"))


HOLDING = {
    "share": lambda run: gateway.share(run, "public"),
    "delete": gateway.delete,
    "save": lambda run: Run.objects.get(id=run.id).save(),
}


@pytest.mark.parametrize("act", HOLDING)
def test_the_write_of_a_run_that_a_view_holds_is_for_later_and_the_others_commit(held, act):
    me, mine, other = held
    with host_view(lambda: HOLDING[act](mine)):
        assert journal.write(me, [write(mine), write(other)]) == [Committed.LATER, Committed.YES]
        assert ticks() == {"one": 0, "other": 5}
    again = Committed.FENCED if act == "delete" else Committed.YES
    assert journal.write(me, [write(mine)]) == [again]


def test_a_command_under_way_holds_up_neither_a_write_nor_a_restart(held):
    me, mine, other = held
    restart = write(other, status=Status.STOPPED, ended=True, successor=uuid4())
    with host_view(lambda: [gateway.send(run, "add") for run in (mine, other)]):
        assert journal.write(me, [write(mine), restart]) == [Committed.YES, Committed.YES]


def test_a_run_that_is_another_workers_is_fenced_and_not_for_later(held):
    me, mine, other = held
    Run.objects.filter(id=mine.id).delete()
    Run.objects.filter(id=other.id).update(epoch=2)
    assert journal.write(me, [write(mine), write(other)]) == [Committed.FENCED, Committed.FENCED]


def test_a_lock_that_was_not_foreseen_is_not_waited_for_long(held):
    me, mine, other = held
    command = gateway.send(mine, "add")
    bad = write(mine, verdicts=(verdict(command),))
    with host_view(lambda: Command.objects.filter(id=command.pk).update(message="x")):
        assert journal.write(me, [bad, write(other)]) == [Committed.LATER, Committed.YES]
    assert journal.write(me, [bad]) == [Committed.YES]


def test_horizons_are_granted_to_what_is_free(held):
    me, mine, other = held
    asked = {mine.id: Position(1, 3, 10), other.id: Position(1, 4, 10)}
    with host_view(lambda: gateway.share(mine, "public")):
        assert journal.reserve(me, asked) == {other.id: 10}
        assert ticks() == {"one": 0, "other": 4}
    assert journal.reserve(me, asked) == {mine.id: 10, other.id: 10}
    assert ticks() == {"one": 3, "other": 4}


def test_what_is_free_is_claimed(held):
    me = leases.register(identity.this_process(), ["default"])
    third, fourth = gateway.start("counter"), gateway.start("counter")
    with host_view(lambda: gateway.share(third, "public")):
        assert claim(me) == [fourth.id]
    assert claim(me, [fourth.id]) == [third.id]


def test_commands_left_behind_by_an_ended_run_are_refused_when_it_is_free(held):
    _, mine, _ = held
    command = gateway.send(mine, "add")
    Run.objects.update(status=Status.STOPPED)
    with host_view(lambda: gateway.delete(mine)), pytest.raises(locks.Locked):
        journal.refuse_orphans()
    assert not Command.objects.filter(id=command.pk).exists()
    assert journal.refuse_orphans() == 0


def test_who_stands_still_in_a_transaction_loses_it_and_its_locks_after_a_lease(held, settings, wait):
    me, mine, _ = held
    settings.LIVESIM = {"LEASE_TTL": 0.5}
    holds, goes_on, told = threading.Event(), threading.Event(), []

    def stands_still() -> None:
        try:
            with locks.brief():
                assert locks.taken([mine.id]) == frozenset()
                holds.set()
                goes_on.wait(20)
                Run.objects.filter(id=mine.id).update(tick=99)
        except DatabaseError as exc:
            told.append(exc)
        finally:
            connections.close_all()

    thread = threading.Thread(target=stands_still)
    thread.start()
    assert holds.wait(20)
    assert journal.write(me, [write(mine, tick=7)]) == [Committed.LATER]
    wait(lambda: journal.write(me, [write(mine, tick=7)]) == [Committed.YES])
    goes_on.set()
    thread.join()
    assert "idle-in-transaction" in str(told[0])
    assert ticks()["one"] == 7
