"""Runs that no worker can claim are told why they wait."""

from __future__ import annotations

import threading
import uuid
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_livesim.models import Command, Run, Source, Worker
from django_livesim.protocol.names import UNWATCHED, Status
from django_livesim.store import claiming, identity, leases, unclaimed
from django_livesim.store.transitions import Transition
from django_livesim.store.unclaimed import Unclaimed

pytestmark = pytest.mark.django_db(transaction=True)


def worker(queues: Any = ("default",), **simulations: int) -> Any:
    return leases.register(identity.this_process(), queues, {"simulations": simulations})


def waiting(**fields: Any) -> Run:
    return Run.objects.create(**{"simulation": "orbit", "version": 1} | fields)


def told(looks: int = 2, eye: Unclaimed | None = None) -> list[Transition]:
    heard: list[Transition] = []
    eye = eye or Unclaimed()
    for _ in range(looks):
        eye.look(Worker.objects.filter(state=Worker.State.ALIVE), heard.append)
    return heard


def reason(run: Run) -> str:
    return Run.objects.get(id=run.id).reason


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        ({"version": 3}, "no worker has version 3 of orbit"),
        ({"simulation": "vanished"}, "no worker has the simulation vanished"),
        ({"queue": "slow"}, "no worker with orbit serves the queue slow"),
    ],
)
def test_what_is_missing_is_said(fields, expected):
    worker(orbit=2)
    worker(("slow",), other=1)
    run = waiting(**fields)
    told()
    assert reason(run) == expected


def test_one_look_is_not_enough_for_a_run_between_two_workers():
    run = waiting(version=2)
    worker(orbit=1)
    eye = Unclaimed()
    told(1, eye)
    assert reason(run) == ""
    newer = worker(orbit=2)
    told(1, eye)
    leases.leave(newer)
    told(1, eye)
    assert reason(run) == ""  # the look between found somebody who has it
    told(1, eye)
    assert reason(run) == "no worker has version 2 of orbit"


def test_it_is_written_once_and_told_once():
    worker(orbit=1)
    run = waiting(version=2)
    eye = Unclaimed()
    (transition,) = told(5, eye)
    assert (transition.run, transition.reason) == (run.id, "no worker has version 2 of orbit")
    with CaptureQueriesContext(
        connection,
    ) as captured:
        told(1, eye)
    assert len(captured) == 2
    assert all(query["sql"].startswith("SELECT") for query in captured)


def test_a_run_whose_worker_has_died_waits_and_a_paused_one_stays_paused():
    me, dead = worker(orbit=1), worker(orbit=2)
    facts = {"version": 2, "worker_id": dead, "epoch": 4}
    running, paused = waiting(status=Status.RUNNING, **facts), waiting(status=Status.PAUSED, **facts)
    told()
    assert (reason(running), reason(paused)) == ("", "")  # its worker is not known to be gone
    leases.leave(dead)
    heard = told()
    running.refresh_from_db()
    paused.refresh_from_db()
    assert (running.status, paused.status) == (Status.WAITING, Status.PAUSED)
    assert running.reason == paused.reason == "no worker has version 2 of orbit"
    assert {(each.previous, each.status) for each in heard} == {
        (Status.RUNNING, Status.WAITING),
        (Status.PAUSED, Status.PAUSED),
    }
    assert claiming.claim(me, [], queues=["default"], simulations={"orbit": 1}) == []
    Run.objects.filter(id=running.id).update(version=1)
    assert claiming.claim(me, [], queues=["default"], simulations={"orbit": 1}) == [running.id]


def left_behind(**fields: Any) -> Run:
    """A run as an attached process leaves it that gets SIGKILL, once a worker has noticed."""
    dead = Worker.objects.create(queues=[], state=Worker.State.GONE)
    return waiting(
        **{"source": Source.EXTERNAL, "status": Status.RUNNING, "worker": dead, "epoch": 4} | fields
    )


def test_a_run_whose_attached_process_has_died_waits_for_the_next_and_a_paused_one_stays_paused():
    worker(orbit=1)
    running, paused = left_behind(), left_behind(status=Status.PAUSED)
    alive = left_behind(worker_id=worker((), orbit=1))
    heard = told(1)
    for run in (running, paused, alive):
        run.refresh_from_db()
    assert [(run.status, run.worker_id, run.epoch, run.adoptions) for run in (running, paused)] == [
        ("waiting", None, 5, 1),
        ("paused", None, 5, 1),
    ]
    assert running.reason == paused.reason == "no process is attached"
    assert (alive.status, alive.epoch) == (Status.RUNNING, 4)
    assert {(each.run, each.previous, each.status) for each in heard} == {
        (running.id, Status.RUNNING, Status.WAITING),
        (paused.id, Status.PAUSED, Status.PAUSED),
    }
    assert told(2) == []


@pytest.mark.parametrize("verb", ["stop", "restart"])
def test_the_end_that_an_attached_process_did_not_live_to_make_is_made(verb):
    worker(orbit=1)
    run = left_behind(next_seq=3, tick=7, key="one")
    args = {"next": str(uuid.uuid4())} if verb == "restart" else {}
    asked, later = (
        Command.objects.create(run=run, kind=kind, name=name, args=given, sender="p:tests", client_id=name)
        for kind, name, given in (("control", verb, args), ("command", "add", {}))
    )
    (heard,) = told(1)
    for each in (run, asked, later):
        each.refresh_from_db()
    assert (run.status, run.worker_id, run.next_seq) == ("stopped", None, 4)
    assert (asked.outcome, asked.apply_seq, asked.apply_tick) == ("applied", 3, 7)
    assert (later.outcome, later.code) == ("refused", "run_ended")
    assert (heard.previous, heard.status) == (Status.RUNNING, Status.STOPPED)
    following = Run.objects.filter(parent=run).values_list("key", "source", "status").first()
    assert following == (("one", "external", "waiting") if verb == "restart" else None)
    assert (heard.successor is None) == (verb == "stop")


def test_that_nobody_watches_is_not_overwritten():
    worker(orbit=1)
    run = waiting(status=Status.PAUSED, version=2, reason=UNWATCHED)
    told()
    assert reason(run) == UNWATCHED


def test_a_run_that_is_claimed_meanwhile_is_left_alone(monkeypatch):
    worker(orbit=1)
    run = waiting(version=2)
    newer = worker(orbit=2)
    Worker.objects.filter(id=newer).update(
        state=Worker.State.DRAINING
    )  # takes nothing new, as far as is seen
    eye = Unclaimed()
    told(1, eye)
    found = dict(eye._found)
    rows = list(Run.objects.all())
    assert claiming.claim(newer, [], queues=["default"], simulations={"orbit": 2}) == [run.id]
    monkeypatch.setattr("django_livesim.store.unclaimed._rows", lambda able: rows)  # read before the claim
    assert found
    assert told(1, eye) == []
    assert reason(run) == ""


def test_a_reason_that_is_no_longer_true_goes_although_nobody_has_room():
    worker(orbit=1)
    run = waiting(version=2)
    told()
    assert reason(run) == "no worker has version 2 of orbit"
    worker(orbit=2)
    told(1)
    assert reason(run) == "no worker has version 2 of orbit"
    told(2)
    assert reason(run) == ""


def test_a_worker_that_says_nothing_of_its_code_may_have_any():
    leases.register(identity.this_process(), ["default"])
    run = waiting(version=2)
    told()
    assert reason(run) == ""


def test_a_run_that_the_host_has_locked_holds_nobody_up(row_locks, django_db_blocker):
    worker(orbit=1)
    free, locked = waiting(version=2), waiting(version=2)
    holds, goes = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Run.objects.select_for_update().get(id=locked.id)
            holds.set()
            goes.wait(10)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(10)
    try:
        told()
        assert (reason(free), reason(locked)) == ("no worker has version 2 of orbit", "")
    finally:
        goes.set()
        thread.join()


def test_of_more_than_are_looked_at_at_once_all_have_their_reason_in_time(monkeypatch):
    monkeypatch.setattr(unclaimed, "MOST", 2)
    runs = [waiting() for _ in range(5)]
    eye = Unclaimed()
    told(6, eye)
    assert {reason(run) for run in runs} == {"no worker has the simulation orbit"}
