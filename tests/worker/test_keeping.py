"""The lease of a worker: a database that is away, a process that stands still, what it is called after."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from django_livesim.gateway import autostart
from django_livesim.models import Run, Worker
from django_livesim.store import clocks, identity, leases
from django_livesim.worker import keeping
from django_livesim.worker.ledger import Ledger

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ledger():
    return Ledger(queues=["default"], registered=lambda worker: None, load=dict)


def test_a_worker_that_cannot_register_waits_before_it_tries_again(ledger, monkeypatch, wait):
    tried: list[float] = []

    def register(*args: Any) -> None:
        tried.append(time.monotonic())
        raise OperationalError("no such table: livesim_worker")

    monkeypatch.setattr(leases, "register", register)
    monkeypatch.setattr(keeping, "RETRY", 0.2)
    ledger.start(lambda *args: None, lambda: None)
    wait(lambda: len(tried) >= 3)
    ledger.stop(5)
    assert tried[2] - tried[0] >= 0.4


def test_neither_doorbells_nor_autostart_that_fail_keep_a_worker_from_its_lease(monkeypatch, caplog):
    def deaf(worker: Any) -> None:
        raise RuntimeError("no layer")

    started: list[int] = []

    def start_all(queues: Any) -> None:
        started.append(1)
        if len(started) == 1:
            raise OperationalError("locked")

    monkeypatch.setattr(autostart, "start_all", start_all)
    monkeypatch.setattr(keeping, "RETRY", 0.0)
    ledger = Ledger(queues=["default"], registered=deaf, load=dict)
    for _ in range(3):
        ledger._lease.keep()
    assert Worker.objects.get().id == ledger.worker
    assert len(started) == 2
    assert "no doorbells are heard" in caplog.text


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
    ledger._lease.keep()
    first = ledger.worker
    assert ledger.leased(first)
    monkeypatch.setattr(clocks, "lease_time", lambda now=clocks.lease_time: now() + 11)
    assert not ledger.leased(first)


def test_where_the_runs_of_its_last_self_cannot_be_had_it_beats_and_does_not_try_at_once_again(
    ledger, monkeypatch, settings, wait
):
    settings.LIVESIM = {**settings.LIVESIM, "BEAT": 0.2}
    ledger._lease.have()
    ledger._lease._until = (ledger.worker, 0.0)
    ledger._lease.check()
    tried: list[float] = []

    def away(*args: Any) -> None:
        tried.append(time.monotonic())
        raise OperationalError("the database is away")

    monkeypatch.setattr(leases, "succeed", away)
    monkeypatch.setattr(keeping, "RETRY", 0.2)
    ledger.start(lambda *args: None, lambda: None)
    wait(lambda: len(tried) >= 4)
    ledger.stop(5)
    assert tried[-1] - tried[0] >= 0.2 * (len(tried) - 2)
    assert Worker.objects.filter(id=ledger.worker, beat__gt=0).exists()


def test_a_worker_and_its_peers_time_its_beats_by_one_clock(ledger, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(clocks, "lease_time", lambda: now[0])  # the machine sleeps: only this clock goes on
    ledger._lease.keep()
    peers = leases.Peers(replace(identity.this_process(), boot_id="another machine"), ttl=10)
    me = leases.register(peers.identity, ["default"])
    assert peers.look(me) == []
    for _ in range(9):
        now[0] += 1
        assert ledger.leased(ledger.worker)
        assert peers.look(me) == []
    now[0] += 1
    assert not ledger.leased(ledger.worker)
    assert peers.look(me) == [ledger.worker]
