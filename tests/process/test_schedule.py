"""Commands for later, by real workers that are killed: none early, none lost, none doubled."""

from __future__ import annotations

from datetime import timedelta

import pytest

from django_livesim import cancel, gateway, send
from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.names import Status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]


@pytest.fixture(autouse=True)
def _layer(redis_layer):
    """Rings from this process reach the workers."""


@pytest.fixture
def worker(manage, wait):
    def start():
        known = set(Worker.objects.values_list("id", flat=True))
        process = manage("livesim_worker")
        wait(lambda: Worker.objects.exclude(id__in=known).exists())
        return process

    return start


@pytest.fixture(params=["counter", "echo"])
def run(request, worker, wait):
    """A run that goes; and the process that has it."""
    process = worker()
    run = gateway.start(request.param)
    wait(lambda: Run.objects.get(id=run.id).status == Status.RUNNING)
    return run, "add" if request.param == "counter" else "note", process


def applied(run):
    return Command.objects.filter(run=run, kind="command", outcome="applied").order_by("apply_seq")


def acted(run):
    """What the state has of them, in order."""
    state = gateway.inspect(run)["state"]
    return state["log"] if "log" in state else [args["n"] for args in state["seen"]]


def on_the_beat(rows, every):
    """Each at a moment of its own, whole periods after the first."""
    moments = [row.due_at for row in rows]
    periods = [(moment - moments[0]).total_seconds() / every for moment in moments]
    rounded = [round(period) for period in periods]
    assert periods == pytest.approx(rounded, abs=0.01)
    assert rounded == sorted(set(rounded))
    return rounded


def test_a_repeated_command_keeps_its_beat_and_a_delayed_one_its_moment(run, wait):
    run, name, _ = run
    late = send(run, name, {"n": 7}, delay=1.7)
    first = send(run, name, {"n": 1}, every=0.3)
    wait(lambda: applied(run).count() >= 11)
    rows = list(applied(run))
    assert all(row.applied_at >= row.due_at for row in rows), "none is early"
    delays = sorted((row.applied_at - row.due_at).total_seconds() for row in rows)
    assert delays[len(delays) // 2] < 5  # on a machine with much else to do
    beats = on_the_beat([row for row in rows if row.pk != late.pk], 0.3)
    missed = beats[-1] + 1 - len(beats)
    assert missed <= 2 + sum(delays) / 0.3, "none was missed but while one was late"
    asked = cancel(first, wait=True)
    assert (asked.outcome, asked.result) == ("applied", {"cancelled": 1})
    count = applied(run).count()
    assert not Command.objects.filter(run=run, outcome="").exists()
    assert acted(run) == [row.args["n"] for row in applied(run)]
    assert applied(run).count() == count


def test_kill_9_and_what_is_repeated_and_delayed_goes_on(run, worker, wait):
    run, name, process = run
    series = send(run, name, {"n": 1}, every=0.4, delay=0)
    during = send(run, name, {"n": 2}, delay=2.5)
    long = send(run, name, {"n": 3}, delay=3600)
    wait(lambda: applied(run).count() >= 3)
    process.kill()
    process.wait()
    before = applied(run).count()
    worker()
    wait(lambda: applied(run).filter(pk=during.pk).exists())
    wait(lambda: applied(run).count() >= before + 5)
    rows = list(applied(run))
    assert all(row.applied_at >= row.due_at for row in rows)
    on_the_beat([row for row in rows if row.pk != during.pk], 0.4)
    waiting = Command.objects.filter(run=run, outcome="", kind="command").exclude(pk=long.pk)
    assert waiting.count() <= 1, "no series has two ends"
    gateway.cancel(series, wait=True)
    assert list(Command.objects.filter(run=run, outcome="")) == [long]
    assert acted(run) == [row.args["n"] for row in applied(run)]


def test_a_paused_run_applies_what_is_due(worker, wait):
    worker()
    run = gateway.start("counter")
    wait(lambda: Run.objects.get(id=run.id).status == Status.RUNNING)
    gateway.pause(run, wait=True)
    tick = Run.objects.get(id=run.id).tick
    sent = gateway.wait(send(run, "add", {"n": 5}, delay=1.2), 60)
    assert (sent.outcome, sent.apply_tick) == ("applied", tick)
    assert sent.applied_at >= sent.due_at
    assert sent.applied_at - sent.due_at < timedelta(seconds=5)
