"""Which runs of blocking loops a parent is told of, and what those hear that it has no room for."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_livesim.models import Command, Run, Worker
from django_livesim.store import identity, leases
from django_livesim.store.blocking import Blocking
from django_livesim.store.claiming import claim

pytestmark = pytest.mark.django_db(transaction=True)


def worker(**blocking: int) -> uuid.UUID:
    return leases.register(
        identity.this_process(), ["default"], {"simulations": {"orbit": 1} | blocking, "blocking": blocking}
    )


def waiting(**fields: Any) -> Run:
    return Run.objects.create(**{"simulation": "press", "version": 1} | fields)


def look(eye: Blocking, *workers: uuid.UUID, held: Any = (), most: int = 5) -> list[uuid.UUID]:
    return eye.look(workers, ["default"], held, most)


def test_it_finds_free_runs_of_the_blocking_loops_that_its_workers_have():
    me = worker(press=2, saw=1)
    first, second = waiting(), waiting(simulation="saw", status="paused")
    waiting(simulation="orbit")
    waiting(version=3)
    waiting(queue="other")
    waiting(status="stopped")
    waiting(worker_id=worker(press=2))
    free = waiting(worker_id=worker(), status="running")
    Worker.objects.filter(id=free.worker_id).update(state="gone")
    assert look(Blocking(), me) == [first.id, free.id, second.id]
    assert look(Blocking(), me, held=[first.id], most=2) == [free.id]


def test_where_its_workers_leave_or_have_no_such_loop_it_finds_nothing():
    waiting()
    me, other = worker(press=1), worker()
    eye = Blocking()
    assert look(eye, other) == look(eye) == []
    assert look(eye, me)
    leases.tell_to_leave(me)
    assert look(eye, me, other) == []


def struck(seconds: float = 1.0, **fields: Any) -> Run:
    """A run that was held back until so many seconds ago."""
    until = timezone.now() - timedelta(seconds=seconds)
    facts: Any = {"simulation": "orbit", "strikes": 1, "tick": 5, "struck_tick": 5, "held_back_until": until}
    return waiting(**facts | fields)


def test_it_finds_runs_that_have_harmed_its_workers_and_have_come_no_further():
    me, eye = worker(), Blocking()
    look(eye, me)
    Worker.objects.filter(id=me).update(state="gone")
    heir = worker()
    struck(worker_id=me, tick=6)
    struck(worker_id=me, seconds=-1.0)
    struck(worker_id=heir)
    mine = struck(worker_id=me)
    assert look(eye, heir) == [mine.id]


def test_what_has_harmed_another_parents_worker_is_left_to_that_for_a_while():
    other = worker()
    Worker.objects.filter(id=other).update(state="gone")
    old, new = struck(worker_id=other, seconds=60.0), struck(worker_id=other)
    assert look(Blocking(), worker()) == [old.id]
    eye = Blocking()
    assert look(eye, other) == []
    assert set(look(eye, worker())) == {old.id, new.id}


def test_what_a_worker_has_harmed_that_lived_between_two_looks_is_its_parents_too():
    brief, eye = worker(), Blocking()
    Worker.objects.filter(id=brief).update(state="gone")
    mine, heir = struck(worker_id=brief), worker()
    assert look(eye, heir) == []
    eye.was_ours(brief)
    assert look(eye, heir) == [mine.id]


def test_a_look_is_one_query():
    me, other, eye = worker(press=1), worker(), Blocking()
    look(eye, me, other)
    with CaptureQueriesContext(connection) as captured:
        look(eye, me, other)
    assert len(captured) == 1


def test_what_there_is_no_room_for_in_two_looks_is_told_so_until_it_is_claimed():
    me, eye = worker(press=1), Blocking()
    first, second = waiting(), waiting()
    for reason in ("", "waits for a process of its own: its worker has 1, as many as it may"):
        assert look(eye, me, most=1) == [first.id]
        assert Run.objects.get(id=second.id).reason == reason
    assert Run.objects.get(id=first.id).reason == ""


def test_a_claim_of_one_run_takes_no_other():
    me = worker(press=1)
    waiting()
    mine = waiting()
    asked: Any = {"queues": ["default"], "simulations": {"press": 1}}
    assert claim(me, [], only=uuid.uuid4(), **asked) == []
    assert claim(me, [], only=mine.id, **asked) == [mine.id]


def test_it_knows_which_runs_a_stop_waits_for():
    runs = [waiting() for _ in range(4)]
    facts: Any = {"kind": "control", "sender": "test", "body_hash": ""}
    for run, more in zip(
        runs,
        ({"name": "stop"}, {"name": "restart"}, {"name": "pause"}, {"name": "stop", "outcome": "applied"}),
        strict=True,
    ):
        Command.objects.create(run=run, client_id=str(run.id), **facts | more)
    assert Blocking.told_to_end([run.id for run in runs]) == {runs[0].id, runs[1].id}
    assert Blocking.told_to_end([runs[1].id]) == {runs[1].id}
    assert Blocking.told_to_end([]) == set()
