"""Pauses of runs that nobody may take yet, and what a claim and a release see of what others do meanwhile."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from django_livesim import gateway
from django_livesim.jobs import JobLoop
from django_livesim.models import Checkpoint, Run, Worker
from django_livesim.protocol import packed, plain
from django_livesim.protocol.names import Kind, Role, Status
from django_livesim.protocol.records import Committed, Write
from django_livesim.store import burying, claiming, identity, intake, journal, leases, locks, striking

pytestmark = pytest.mark.django_db(transaction=True)


def worker() -> UUID:
    return leases.register(identity.this_process(), ["default"])


def claim(by: UUID, **options: Any) -> list[UUID]:
    return claiming.claim(by, [], queues=["default"], simulations={"counter": 1}, **options)


@pytest.fixture
def held() -> tuple[UUID, Run]:
    mine, run = worker(), Run.objects.create(simulation="counter")
    assert claim(mine) == [run.id]
    return mine, run


def write(run: Run, **facts: Any) -> Write:
    return Write(run=run.id, epoch=1, number=1, tick=5, next_seq=1, speed=1.0, **facts)


@pytest.mark.parametrize("seconds", [40.0, 80.0, 3600.0])
def test_nobody_takes_a_job_before_its_pause_is_over_however_long_that_is(held, seconds):
    mine, run = held
    one = write(run, status=Status.WAITING, release=True, retry_in=seconds, error="broken")
    assert journal.write(mine, [one]) == [Committed.YES]
    row = Run.objects.get()
    assert row.held_back_until > timezone.now() + timedelta(seconds=seconds - 20)
    assert (row.error, row.status) == ("broken", Status.WAITING)
    assert claim(worker()) == []


def test_a_release_that_had_committed_is_known_when_it_is_looked_for(held):
    mine, run = held
    one = write(run, release=True)
    assert journal.write(mine, [one]) == [Committed.YES]
    assert journal.write(mine, [one], again=[run.id]) == [Committed.YES]


def test_a_run_that_is_struck_between_a_look_and_its_claim_is_not_claimed(held, monkeypatch):
    dead, run = held
    Worker.objects.filter(id=dead).update(state=Worker.State.GONE)
    real, harm = locks.taken, striking.Harm(run=run.id, epoch=1, why="crashed")

    def taken(runs: Any) -> Any:
        monkeypatch.setattr(locks, "taken", real)
        burying.bury(dead, [harm], explained=True)
        return real(runs)

    monkeypatch.setattr(locks, "taken", taken)
    assert claim(worker(), struck=False) == []


def test_a_strike_for_a_holding_before_its_release_comes_too_late(held):
    mine, run = held
    harm = striking.Harm(run=run.id, epoch=1, why="crashed")
    striking.quarantine(Run.objects.get(), mine, 1, "taken over 3 times")
    run.refresh_from_db()
    asked = {"args": {}, "sender": "u", "client_id": "c", "body_hash": "h"}
    row = intake.insert_command(run.id, kind=Kind.CONTROL, name="resume", **asked)[0]
    intake.begin_carry_out(row, run, Status.WAITING)
    burying.strike(harm)
    run.refresh_from_db()
    assert (run.strikes, run.held_back_until) == (0, None)


def test_the_state_of_a_job_is_not_what_viewers_see(monkeypatch):
    run = Run.objects.create(simulation="secretive", visibility="public", status=Status.FAILED)
    monkeypatch.setattr("django_livesim.registry.get", lambda name: JobLoop(lambda job: None, name=name))
    body = plain.encode({"state": {"password": "hunter2"}, "random": None, "steps": 0})
    kept = {"tick": 1, "apply_seq": 0, "epoch": 0, "hash": plain.digest(body)}
    Checkpoint.objects.create(run=run, data=packed.pack(body), **kept)
    assert gateway.stored_view(run, Role.OWNER) is None
    Checkpoint.objects.update(views=packed.pack(b'{"all":{"progress":0.5}}'))
    assert gateway.stored_view(run, Role.VIEW) == (1, {"progress": 0.5})
