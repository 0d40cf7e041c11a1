"""The ledger without a step thread: runs that cannot be loaded, horizons, leaving."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from django_livesim.models import Command, Run
from django_livesim.protocol.records import Poll, Position, Write
from django_livesim.store import leases, loading
from django_livesim.worker import loading as loads
from django_livesim.worker.ledger import Ledger

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ledger():
    return Ledger(queues=["default"], registered=lambda worker: None, load=dict)


def claim(ledger: Ledger) -> list[Any]:
    return ledger._poll({}, claiming=True).claimed


def test_a_run_that_cannot_be_loaded_keeps_no_other_from_it_and_is_left_out(ledger, monkeypatch, caplog):
    bad, good = Run.objects.create(simulation="counter"), Run.objects.create(simulation="counter")
    load, tried = loading.load, []

    def fails(run: Any, worker: Any, *more: Any) -> Any:
        tried.append(run)
        if run == bad.id:
            raise ValueError("bad row")
        return load(run, worker, *more)

    monkeypatch.setattr(loading, "load", fails)
    (held,) = claim(ledger)
    assert held.info.id == good.id
    for _ in range(5):
        claim(ledger)
    assert tried.count(bad.id) == loads.LOADS
    assert "a run cannot be loaded" in caplog.text
    monkeypatch.setattr(loads.time, "monotonic", lambda now=time.monotonic: now() + loads.LEFT_OUT)
    claim(ledger)
    assert tried.count(bad.id) == loads.LOADS + 1


def test_a_database_that_is_away_is_no_fault_of_the_run(ledger, monkeypatch):
    Run.objects.create(simulation="counter")

    def fails(*args: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(loading, "load", fails)
    with pytest.raises(OperationalError):
        claim(ledger)
    assert ledger._loading._failed == {}


def test_an_idle_worker_asks_one_question_at_a_look_and_acts_upon_what_it_sees(ledger):
    run, other = Run.objects.create(simulation="counter"), Run.objects.create(simulation="counter")
    held = {each.info.id: Position(each.epoch, each.tick) for each in claim(ledger)}

    def look() -> tuple[Poll, int]:
        ledger._look_due = 0.0
        with CaptureQueriesContext(connection) as captured:
            return ledger._poll(held, True), len(captured)

    assert set(held) == {run.id, other.id}
    assert look() == (Poll(worker=ledger.worker), 1)
    fields = {"kind": "command", "name": "add", "sender": "me"}
    command = Command.objects.create(run=run, client_id="1", **fields)
    poll, asked = look()
    assert ([each.id for each in poll.entries[run.id]], asked) == ([command.pk], 2)
    new = Run.objects.create(simulation="counter")
    waits = Command.objects.create(run=new, client_id="2", **fields)
    Run.objects.filter(id=other.id).delete()
    poll, _ = look()
    assert [each.info.id for each in poll.claimed] == [new.id]
    assert poll.entries[new.id][0].id == waits.pk
    assert poll.lost == {other.id}


def test_a_ring_soon_after_a_look_is_answered_without_another(ledger):
    run = Run.objects.create(simulation="counter")
    ledger._look_due = time.monotonic() + 60
    (held,) = claim(ledger)
    command = Command.objects.create(run=run, kind="command", name="add", sender="me", client_id="1")
    poll = ledger._poll({run.id: Position(held.epoch, 0)}, claiming=True)
    assert [each.id for each in poll.entries[run.id]] == [command.pk]


def test_a_run_that_was_dropped_from_memory_is_claimed_again_at_the_next_look(ledger):
    run = Run.objects.create(simulation="counter")
    for epoch in (1, 2):
        ledger._look_due = 0.0
        (held,) = claim(ledger)
        assert (held.info.id, held.epoch) == (run.id, epoch)


def test_commands_that_came_while_their_run_ended_are_refused_after_a_look(ledger):
    ledger._lease.keep()
    run = Run.objects.create(simulation="counter", status="stopped")
    command = Command.objects.create(run=run, kind="command", name="add", sender="me", client_id="1")
    assert ledger._lease.due > time.monotonic()
    ledger._poll({}, claiming=True)
    assert ledger._lease.due <= time.monotonic()
    ledger._lease.keep()
    command.refresh_from_db()
    assert (command.outcome, command.code) == ("refused", "run_ended")


def test_a_hung_database_does_not_keep_a_worker_from_leaving(ledger, monkeypatch, caplog):
    hangs, asked = threading.Event(), threading.Event()

    def register(*args: Any) -> None:
        asked.set()
        hangs.wait(40)
        raise OperationalError("gone")

    monkeypatch.setattr(leases, "register", register)
    ledger.start(lambda *args: None, lambda: None)
    assert asked.wait(30)
    began = time.monotonic()
    ledger.stop(0.1)
    assert time.monotonic() - began < 25  # it hangs for longer
    assert "the database hangs" in caplog.text
    hangs.set()
    ledger._thread.join(10)


def test_a_horizon_that_was_asked_before_a_write_that_has_committed_is_not_granted_after_it(ledger):
    run = Run.objects.create(simulation="counter")
    (held,) = claim(ledger)
    one = Write(run=run.id, epoch=held.epoch, number=1, tick=20, horizon=20, next_seq=1, speed=1.0)
    answers: list[Any] = []
    ledger._post = lambda function, *args: function(*args)
    ledger._jobs.put(("poll", ({run.id: Position(held.epoch, 15, 60)}, False), answers.append))
    ledger._jobs.put(("write", one, answers.append))
    ledger._jobs.put(None)
    ledger._run()
    assert answers[0] == "yes"
    assert answers[1].horizons == {}
    run.refresh_from_db()
    assert (run.tick, run.horizon) == (20, 20)
