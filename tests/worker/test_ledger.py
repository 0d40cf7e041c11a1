"""The ledger without a step thread: a database that is away, runs that cannot be loaded, leaving."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from django.db import OperationalError

from django_livesim.gateway import autostart
from django_livesim.models import Run, Worker
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


def test_a_worker_that_cannot_register_waits_before_it_tries_again(ledger, monkeypatch, wait):
    tried: list[float] = []

    def register(*args: Any) -> None:
        tried.append(time.monotonic())
        raise OperationalError("no such table: livesim_worker")

    monkeypatch.setattr(leases, "register", register)
    monkeypatch.setattr(ledgers, "RETRY", 0.2)
    ledger.start(lambda *args: None, lambda: None)
    wait(lambda: len(tried) >= 3)
    ledger.stop(5)
    assert tried[2] - tried[0] >= 0.4


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


def test_neither_doorbells_nor_autostart_that_fail_keep_a_worker_from_its_lease(monkeypatch, caplog):
    def deaf(worker: Any) -> None:
        raise RuntimeError("no layer")

    started: list[int] = []

    def start_all(queues: Any) -> None:
        started.append(1)
        if len(started) == 1:
            raise OperationalError("locked")

    monkeypatch.setattr(autostart, "start_all", start_all)
    monkeypatch.setattr(ledgers, "RETRY", 0.0)
    ledger = Ledger(queues=["default"], registered=deaf, load=dict)
    for _ in range(3):
        ledger._keep_lease()
    assert Worker.objects.get().id == ledger.worker
    assert len(started) == 2
    assert "no doorbells are heard" in caplog.text


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


def test_a_worker_whose_beats_do_not_commit_drops_all_and_goes_on_under_a_new_id(
    monkeypatch, settings, wait, caplog
):
    settings.LIVESIM = {"BEAT": 0.05, "LEASE_TTL": 0.4}
    run, posted = Run.objects.create(simulation="counter"), []
    ledger = Ledger(queues=["default"], registered=lambda worker: None, load=dict)
    beat, away, tried = leases.beat, threading.Event(), []

    def beat_unless_away(*args: Any) -> bool:
        if away.is_set():
            tried.append(time.monotonic())
            raise OperationalError("the database is away")
        return beat(*args)

    def dead() -> None:
        posted.append("dead")

    def polled(poll: Any) -> None:
        posted.append(poll)

    monkeypatch.setattr(leases, "beat", beat_unless_away)
    ledger.start(lambda function, *args: function(*args), dead)
    try:
        ledger.poll({}, True, polled)
        first = wait(lambda: posted and posted[0]).worker
        assert ledger.leased(first) and not ledger.leased(None)
        away.set()
        wait(lambda: "dead" in posted)
        assert not ledger.leased(first)
        away.clear()
        second = wait(lambda: ledger.worker)
        wait(lambda: Run.objects.get().worker_id == second)
        assert second != first
        assert tried[-1] - tried[0] > 0.2
        assert Worker.objects.get(id=first).state == Worker.State.GONE
        assert "without a beat for 0.4 s" in caplog.text
        ledger.poll({}, True, polled)
        (held,) = wait(lambda: posted[-1] != "dead" and posted[-1].claimed)
        assert (held.info.id, held.epoch) == (run.id, 3)
    finally:
        ledger.stop(5)


def test_a_process_that_stood_still_knows_that_its_lease_is_in_doubt_before_it_does_anything(
    ledger, monkeypatch
):
    ledger._keep_lease()
    first = ledger.worker
    assert ledger.leased(first)
    monkeypatch.setattr(ledgers, "lease_time", lambda now=ledgers.lease_time: now() + 11)
    assert not ledger.leased(first)


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


def test_where_the_runs_of_its_last_self_cannot_be_had_it_beats_and_does_not_try_at_once_again(
    ledger, monkeypatch, settings, wait
):
    settings.LIVESIM = {**settings.LIVESIM, "BEAT": 0.2}
    ledger._lease()
    ledger._fence_self()
    tried: list[float] = []

    def away(*args: Any) -> None:
        tried.append(time.monotonic())
        raise OperationalError("the database is away")

    monkeypatch.setattr(leases, "succeed", away)
    monkeypatch.setattr(ledgers, "RETRY", 0.2)
    ledger.start(lambda *args: None, lambda: None)
    wait(lambda: len(tried) >= 4)
    ledger.stop(5)
    assert tried[-1] - tried[0] >= 0.2 * (len(tried) - 2)
    assert Worker.objects.filter(id=ledger.worker, beat__gt=0).exists()


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="Linux alone has this clock")
def test_a_lease_is_timed_by_a_clock_that_goes_on_while_the_machine_is_asleep():
    since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    assert since_boot <= ledgers.lease_time() <= time.clock_gettime(time.CLOCK_BOOTTIME)
