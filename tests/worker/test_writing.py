"""Writes of a worker whose database fails: each becomes known, once, and keeps no other from it."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.names import Kind, Outcome, Status
from django_livesim.protocol.records import Committed, Verdict, Write
from django_livesim.store import journal, leases, loading
from django_livesim.worker import keeping, writing
from django_livesim.worker.ledger import Ledger

pytestmark = pytest.mark.django_db(transaction=True)


class Failing:
    """`journal.write`, which fails as it is told to; and what it was asked."""

    def __init__(self, monkeypatch: Any) -> None:
        self.before = self.after = False
        self.at: set[Any] = set()
        """Runs whose write fails, whatever comes with it."""
        self.asked: list[list[Any]] = []
        self._write = journal.write
        monkeypatch.setattr(journal, "write", self)

    def __call__(self, worker: Any, writes: Any, *args: Any) -> list[str]:
        runs = [one.run for one in writes]
        self.asked.append(runs)
        if self.before or self.at & set(runs):
            raise OperationalError("the database is away")
        answers = self._write(worker, writes, *args)
        if self.after:
            raise OperationalError("the connection is lost")
        return answers


@pytest.fixture
def failing(monkeypatch):
    monkeypatch.setattr(keeping, "DOUBT", 0.01)
    monkeypatch.setattr(keeping, "RETRY", 0.05)
    return Failing(monkeypatch)


@pytest.fixture
def runs():
    return [Run.objects.create(simulation="counter").id for _ in range(3)]


@pytest.fixture
def ledger(runs):
    ledger = Ledger(queues=["default"], registered=lambda worker: None, load=dict)
    ledger._lease.keep()
    assert {each.info.id for each in ledger._poll({}, claiming=True).claimed} == set(runs)
    ledger.start(lambda function, *args: function(*args), lambda: None)
    yield ledger
    ledger.stop(5)


@pytest.fixture
def send(ledger):
    """Have the runs written; what became of each, in the order of the answers."""

    def send(*writes: Write) -> list[tuple[Any, Committed]]:
        answers: list[tuple[Any, Committed]] = []
        for one in writes:
            ledger.write(one, lambda committed, run=one.run: answers.append((run, committed)))
        return answers

    return send


def write(run, **fields):
    return Write(run=run, epoch=1, number=1, **{"tick": 5, "next_seq": 1, "speed": 1.0} | fields)


def test_what_the_database_did_not_take_is_written_when_it_answers(failing, runs, send, wait):
    failing.before = True
    answers = send(*(write(run, status=Status.RUNNING) for run in runs))
    wait(lambda: failing.asked)
    failing.before = False
    wait(lambda: len(answers) == 3)
    assert set(answers) == {(run, Committed.YES) for run in runs}
    assert list(Run.objects.values_list("status", "tick", "epoch")) == [("running", 5, 1)] * 3


def test_nothing_is_tried_while_no_beat_commits(failing, runs, ledger, send, wait, monkeypatch):
    beat, beats = leases.beat, []

    def away(*args: Any) -> bool:
        beats.append(1)
        raise OperationalError("the database is away")

    monkeypatch.setattr(leases, "beat", away)
    failing.before = True
    answers = send(write(runs[0]))
    wait(lambda: failing.asked)
    answers += send(write(runs[1]), write(runs[2]))
    wait(lambda: len(beats) > 5)
    assert (len(failing.asked), answers) == (1, [])
    failing.before = False
    monkeypatch.setattr(leases, "beat", beat)
    wait(lambda: Run.objects.filter(tick=5).count() == 3)
    assert sorted(failing.asked[1]) == sorted(runs)  # together


def test_what_has_committed_though_nobody_heard_of_it_is_told_and_not_made_twice(failing, runs, send, wait):
    fields = {"run_id": runs[0], "kind": "command", "name": "add", "sender": "u:1", "every": 5.0}
    row = Command.objects.create(client_id="1", **fields, due_at="2026-01-01T00:00Z")
    entry = loading.entry(row)
    verdict = Verdict(entry=entry, apply_seq=1, apply_tick=5, outcome=Outcome.APPLIED)
    failing.after = True
    answers = send(write(runs[0], verdicts=(verdict,), next_seq=2))
    wait(lambda: failing.asked)
    failing.after = False
    wait(lambda: answers)
    assert answers == [(runs[0], Committed.YES)]
    assert Command.objects.filter(kind=str(Kind.COMMAND)).count() == 2  # it, and the next of its series


def test_one_that_fails_again_and_again_keeps_no_other_from_being_written_and_is_given_up(
    failing, runs, send, wait, caplog
):
    failing.at = {runs[1]}
    answers = send(*(write(run) for run in runs))
    wait(lambda: len(answers) == 3, 10)
    assert set(answers) == {
        (runs[0], Committed.YES),
        (runs[1], Committed.FAILED),
        (runs[2], Committed.YES),
    }
    assert answers[-1][0] == runs[1]
    assert sum(runs[1] in asked for asked in failing.asked) == writing.TOGETHER + writing.ALONE
    assert f"a write fails again and again run={runs[1]}" in caplog.text


def test_what_has_committed_before_the_database_fails_in_the_middle_of_a_batch_is_told_once(
    runs, monkeypatch, wait
):
    """One that no column takes has each written alone; the last of them then finds the database away."""
    told: list[tuple[Any, str]] = []
    ledger = Ledger(
        queues=["default"],
        registered=lambda worker: None,
        load=dict,
        tell=lambda transition: told.append((transition.run, transition.status)),
    )
    ledger._lease.keep()
    ledger._poll({}, claiming=True)
    told.clear()
    once, real = [runs[2]], journal._write

    def away_once(worker: Any, writes: Any, *more: Any) -> list[str]:
        if [one.run for one in writes] == once:
            once.clear()
            raise OperationalError("the database is away")
        return real(worker, writes, *more)

    monkeypatch.setattr(journal, "_write", away_once)
    batch = [
        write(runs[0], status=Status.FINISHED, ended=True),
        write(runs[1], status=Status.PAUSED, progress="no number"),
        write(runs[2], status=Status.PAUSED),
    ]
    answers: list[tuple[Any, Committed]] = []
    ledger._writes.add(
        writing.Waiting(write=one, done=lambda committed, run=one.run: answers.append((run, committed)))
        for one in batch
    )
    ledger.start(lambda function, *args: function(*args), lambda: None)
    wait(lambda: len(answers) == 3)
    ledger.stop(5)
    assert answers == [
        (runs[0], Committed.YES),
        (runs[1], Committed.FENCED),
        (runs[2], Committed.YES),
    ]
    assert told == [(runs[0], Status.FINISHED), (runs[1], Status.FAILED), (runs[2], Status.PAUSED)]


def test_what_waits_is_given_up_with_the_lease_though_the_database_is_away(
    failing, runs, ledger, send, wait, monkeypatch
):
    def away(*args: Any) -> Any:
        raise OperationalError("the database is away")

    monkeypatch.setattr(leases, "register", away)
    failing.before = True
    Worker.objects.update(state=Worker.State.GONE)
    answers = send(write(runs[0]))
    wait(lambda: answers)
    assert ledger.worker is None
    late = send(write(runs[1]))  # the step thread has not heard of it yet
    wait(lambda: late)
    assert answers + late == [(runs[0], Committed.FAILED), (runs[1], Committed.FAILED)]


def test_what_waits_when_the_worker_is_declared_gone_is_dropped(failing, runs, ledger, send, wait):
    failing.before = True
    Worker.objects.update(state=Worker.State.GONE)
    answers = send(write(runs[0]))
    wait(lambda: answers)
    assert answers[0][1] in (Committed.FAILED, Committed.FENCED)
    assert Run.objects.get(id=runs[0]).tick == 0
