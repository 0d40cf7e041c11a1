"""The lease of a worker: a database that is away, a process that stands still, what it is called after."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from django_livesim.gateway import autostart
from django_livesim.models import Run, Worker
from django_livesim.protocol.records import Position
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


class Away:
    """A database that takes no beat for a while; it says how often it was asked."""

    def __init__(self, monkeypatch: Any) -> None:
        self.is_away = False
        self.asked: list[float] = []
        self._beat = leases.beat
        monkeypatch.setattr(leases, "beat", self._beat_unless_away)

    def _beat_unless_away(self, *args: Any) -> bool:
        if self.is_away:
            self.asked.append(time.monotonic())
            raise OperationalError("the database is away")
        return self._beat(*args)


@pytest.fixture
def away(monkeypatch):
    return Away(monkeypatch)


@pytest.fixture
def quick(settings, monkeypatch):
    settings.LIVESIM = {"BEAT": 0.05, "LEASE_TTL": 0.4}
    monkeypatch.setattr(keeping, "RETRY", 0.1)


@pytest.fixture
def answers(ledger, quick, away):
    """What the step thread hears of a ledger that has been started."""
    heard: list[Any] = []
    ledger.start(lambda function, *args: function(*args), lambda: heard.append("dead"))
    yield heard
    away.is_away = False
    ledger.stop(5)


def look(ledger, answers, wait, held=None):
    """What the next look finds; None where the database did not answer."""
    ledger.poll(held or {}, True, lambda poll: answers.append([poll]))
    return wait(lambda: answers and answers[-1] != "dead" and answers.pop())[0]


def test_a_worker_without_a_database_for_longer_than_its_lease_goes_on_with_what_it_has(
    ledger, answers, away, wait, caplog
):
    caplog.set_level("INFO", logger="django_livesim")
    run = Run.objects.create(simulation="counter")
    first = look(ledger, answers, wait)
    (held,) = first.claimed
    wait(lambda: ledger.leased(first.worker))
    assert not ledger.leased(None)
    away.is_away = True
    wait(lambda: not ledger.leased(first.worker))
    position = {run.id: Position(held.epoch, held.tick)}
    wait(lambda: "without a beat for 0.4 s" in caplog.text)
    assert look(ledger, answers, wait, position) is None
    away.is_away = False
    wait(lambda: ledger.leased(first.worker))
    poll = look(ledger, answers, wait, position)
    assert (poll.worker, poll.claimed, poll.lost) == (first.worker, (), frozenset())
    assert Run.objects.get().epoch == held.epoch
    assert Worker.objects.get().id == first.worker
    assert "dead" not in answers
    assert "the database answers again" in caplog.text


def test_a_worker_that_was_declared_gone_meanwhile_drops_all_and_goes_on_under_a_new_id(
    ledger, answers, away, wait, caplog
):
    run = Run.objects.create(simulation="counter")
    first = look(ledger, answers, wait)
    away.is_away = True
    wait(lambda: not ledger.leased(first.worker))
    Worker.objects.update(state=Worker.State.GONE)
    assert ledger.worker == first.worker and "dead" not in answers
    away.is_away = False
    wait(lambda: "dead" in answers)
    second = wait(lambda: ledger.worker not in (None, first.worker) and ledger.worker)
    (held,) = look(ledger, answers, wait).claimed
    assert (held.info.id, held.epoch) == (run.id, 2)
    assert Run.objects.get().worker_id == second
    assert "declared gone by a peer" in caplog.text


def test_a_database_that_is_away_is_asked_for_one_beat_now_and_then(ledger, answers, away, wait):
    first = look(ledger, answers, wait)
    away.is_away = True
    wait(lambda: away.asked)
    for _ in range(50):
        assert look(ledger, answers, wait) is None
    wait(lambda: len(away.asked) >= 4)
    assert away.asked[3] - away.asked[0] >= 0.3
    assert ledger.worker == first.worker


def test_who_cannot_beat_says_nothing_of_the_silence_of_others(ledger, answers, away, wait, monkeypatch):
    other = leases.register(replace(identity.this_process(), boot_id="another machine"), ["default"])
    look(ledger, answers, wait)
    away.is_away = True
    wait(lambda: away.asked)
    looks: list[int] = []
    monkeypatch.setattr(leases.Peers, "look", lambda *args: looks.append(1))
    asked = len(away.asked)
    wait(lambda: len(away.asked) >= asked + 8)
    assert looks == []
    assert Worker.objects.get(id=other).state == Worker.State.ALIVE


def test_a_process_that_stood_still_knows_that_its_lease_is_in_doubt_before_it_does_anything(
    ledger, monkeypatch
):
    ledger._lease.keep()
    first = ledger.worker
    assert ledger.leased(first)
    monkeypatch.setattr(clocks, "lease_time", lambda now=clocks.lease_time: now() + 11)
    assert not ledger.leased(first)


def test_a_process_that_stood_still_beats_before_it_does_anything(ledger, monkeypatch):
    ledger._lease.keep()
    first = ledger.worker
    monkeypatch.setattr(clocks, "lease_time", lambda now=clocks.lease_time: now() + 11)
    assert not ledger.leased(first)  # though by `time.monotonic` no beat is due: the machine was asleep
    assert ledger._lease.check()
    assert ledger.worker == first and ledger.leased(first)


def test_after_the_machine_has_slept_a_worker_beats_before_it_looks_at_its_peers(ledger, monkeypatch):
    ledger._lease.keep()
    monkeypatch.setattr(clocks, "lease_time", lambda now=clocks.lease_time: now() + 11)
    held: list[bool] = []
    monkeypatch.setattr(leases.Peers, "look", lambda *args: held.append(ledger.leased(ledger.worker)))
    ledger._lease._due["peers"] = 0.0
    ledger._lease.keep()
    assert held == [True]


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
