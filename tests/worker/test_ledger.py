"""The ledger without a step thread: runs that cannot be loaded, horizons, leaving."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import OperationalError

from django_livesim.models import Run
from django_livesim.protocol.records import Position, Write
from django_livesim.store import leases, loading
from django_livesim.worker import ledger as ledgers
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

    def fails(run: Any, worker: Any, passed: Any = ()) -> Any:
        tried.append(run)
        if run == bad.id:
            raise ValueError("bad row")
        return load(run, worker, passed)

    monkeypatch.setattr(loading, "load", fails)
    (held,) = claim(ledger)
    assert held.info.id == good.id
    for _ in range(5):
        claim(ledger)
    assert tried.count(bad.id) == ledgers.LOADS
    assert "a run cannot be loaded" in caplog.text
    monkeypatch.setattr(ledgers.time, "monotonic", lambda now=time.monotonic: now() + ledgers.LEFT_OUT)
    claim(ledger)
    assert tried.count(bad.id) == ledgers.LOADS + 1


def test_a_database_that_is_away_is_no_fault_of_the_run(ledger, monkeypatch):
    Run.objects.create(simulation="counter")

    def fails(*args: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(loading, "load", fails)
    with pytest.raises(OperationalError):
        claim(ledger)
    assert ledger._failed_loads == {}


def test_a_hung_database_does_not_keep_a_worker_from_leaving(ledger, monkeypatch, caplog):
    hangs, asked = threading.Event(), threading.Event()

    def register(*args: Any) -> None:
        asked.set()
        hangs.wait(30)
        raise OperationalError("gone")

    monkeypatch.setattr(leases, "register", register)
    ledger.start(lambda *args: None, lambda: None)
    assert asked.wait(10)
    began = time.monotonic()
    ledger.stop(0.1)
    assert time.monotonic() - began < 5
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
