"""Strikes, pauses, quarantine and its end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from django_livesim import gateway
from django_livesim.models import Command, Run
from django_livesim.protocol.names import Kind, Status
from django_livesim.store import identity, leases, locks, striking
from django_livesim.store.striking import Harm
from tests.hosts import host_view

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def me() -> UUID:
    return leases.register(identity.this_process(), ["default"])


@pytest.fixture
def run(me) -> Run:
    return Run.objects.create(
        simulation="counter", worker_id=me, epoch=3, status=Status.RUNNING, tick=100, horizon=120
    )


def harm(run: Run, epoch: int = 3) -> Harm:
    return Harm(run=run.id, epoch=epoch, why="took longer than 2 s in one step", stack="File a.py, line 1")


def strike(run: Run, me: UUID, times: int = 1) -> list[Any]:
    """As often: each in a holding of its own."""
    told = []
    for _ in range(times):
        run.refresh_from_db()
        told.append(striking.strike(me, harm(run, run.epoch)))
        Run.objects.filter(id=run.id, worker=me).update(epoch=run.epoch + 1)
    run.refresh_from_db()
    return told


def test_a_struck_run_is_held_back_and_says_why(run, me):
    told = striking.strike(me, harm(run))
    assert told.reason == "its code took longer than 2 s in one step; it is tried again"
    run.refresh_from_db()
    assert (run.strikes, run.struck_tick, run.error) == (1, 120, "File a.py, line 1")
    assert (run.status, run.worker_id, run.reason) == ("running", me, told.reason)
    assert timedelta(0) <= timezone.now() - run.struck_at < timedelta(seconds=60)
    pause = run.held_back_until - run.struck_at
    assert abs(pause - timedelta(seconds=striking.PAUSES[0])) < timedelta(seconds=0.1)


def test_it_is_held_back_longer_each_time(run, me):
    strike(run, me, 2)
    assert run.held_back_until - run.struck_at > timedelta(seconds=striking.PAUSES[0] + 0.1)


def test_the_third_strike_puts_it_into_quarantine_where_it_stands_at_what_was_shown(run, me):
    waits = Command.objects.create(run=run, kind=Kind.COMMAND, name="add", sender="p:1", client_id="a")
    told = strike(run, me, 3)
    assert [each.status for each in told] == ["running", "running", "quarantined"]
    assert (told[2].previous, told[2].epoch) == ("running", 6)
    assert (run.status, run.worker_id, run.epoch, run.tick) == ("quarantined", None, 6, 120)
    assert run.reason == "3 strikes: its code took longer than 2 s in one step"
    assert run.error == "File a.py, line 1"
    waits.refresh_from_db()
    assert waits.outcome == ""


def test_a_holding_is_struck_once_also_where_a_person_has_released_the_run_since(run, me):
    assert striking.strike(me, harm(run)) is not None
    assert striking.strike(me, harm(run)) is None
    Run.objects.filter(id=run.id).update(**striking.RELEASED)
    assert striking.strike(me, harm(run)) is None
    assert striking.strike_whoever_holds(harm(run)) is None
    run.refresh_from_db()
    assert run.strikes == 0


def test_who_no_longer_holds_the_run_strikes_nobody(run, me):
    assert striking.strike(me, harm(run, epoch=2)) is None
    other = leases.register(identity.this_process(), ["default"])
    assert striking.strike(other, harm(run)) is None
    Run.objects.filter(id=run.id).update(status=Status.STOPPED)
    assert striking.strike(me, harm(run)) is None
    run.refresh_from_db()
    assert (run.strikes, run.error) == (0, "")


@pytest.mark.parametrize(("tick", "strikes"), [(120, 3), (121, 1)])
def test_who_has_come_further_than_the_last_strike_is_forgiven(run, me, tick, strikes):
    Run.objects.filter(id=run.id).update(strikes=2, struck_tick=120, tick=tick)
    striking.strike(me, harm(run))
    run.refresh_from_db()
    assert run.strikes == strikes


def test_resume_releases_it_without_its_strikes(run, me):
    strike(run, me, 3)
    Run.objects.filter(id=run.id).update(unproven=3)
    gateway.resume(run.id)
    run.refresh_from_db()
    assert (run.status, run.strikes, run.unproven, run.struck_tick) == ("waiting", 0, 0, None)
    assert (run.struck_at, run.held_back_until) == (None, None)


def test_a_run_whose_row_is_locked_is_struck_later(row_locks, run, me):
    with host_view(lambda: gateway.share(run, "public")), pytest.raises(locks.Locked):
        striking.strike(me, harm(run))
    run.refresh_from_db()
    assert run.strikes == 0
