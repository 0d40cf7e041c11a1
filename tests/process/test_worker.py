"""The worker as a process: it steps, answers, is told to end, and is killed."""

from __future__ import annotations

import json
import signal

import pytest

from django_livesim import gateway
from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.errors import raised
from django_livesim.protocol.names import Status

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _layer(redis_layer):
    """Rings from this process reach the workers."""


def fresh(run: Run) -> Run:
    return Run.objects.get(id=run.id)


def is_running(run: Run):
    return lambda: fresh(run).status == Status.RUNNING


@pytest.fixture
def worker(manage, wait):
    def start(*arguments: str):
        known = set(Worker.objects.values_list("id", flat=True))
        process = manage("livesim_worker", *arguments)
        wait(lambda: Worker.objects.exclude(id__in=known).exists())
        return process

    return start


def value(run: Run) -> int:
    return gateway.inspect(run)["state"]["value"]


def test_a_run_is_claimed_stepped_commanded_paused_and_stopped(worker, wait):
    worker()
    run = gateway.start("counter", {"start": 5})
    wait(is_running(run))
    wait(lambda: value(run) > 7)
    sent = gateway.send(run, "add", {"n": 1000}, wait=True)
    assert (sent.outcome, sent.result > 1000) == ("applied", True)
    paused = gateway.pause(run, wait=True)
    assert paused.outcome == "applied"
    before = value(run)
    assert before == value(run)
    gateway.step(run, 3, wait=True)
    wait(lambda: value(run) == before + 3)
    gateway.stop(run, wait=True)
    assert fresh(run).status == Status.STOPPED
    gateway.resume(run)
    wait(is_running(run))
    wait(lambda: value(run) > before + 3)


def test_a_doorbell_is_quicker_than_the_poll(process_env, worker, wait):
    process_env["LIVESIM"] = json.dumps({"POLL": 3600})
    run = gateway.start("counter")
    worker()
    wait(is_running(run))
    for _ in range(5):
        assert gateway.send(run, "add", wait=True).outcome == "applied"


@pytest.mark.parametrize("simulation", ["counter", "echo", "echo_sync"])
def test_sigterm_stores_and_the_next_worker_goes_on(simulation, worker, wait):
    first = worker()
    run = gateway.start(simulation)
    wait(is_running(run))
    command = "add" if simulation == "counter" else "note"
    gateway.send(run, command, {"n": 7}, wait=True)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    left = fresh(run)
    assert (left.status, left.worker_id) == (Status.WAITING, None)
    assert not Worker.objects.filter(state="alive").exists()
    stored = gateway.inspect(run)
    assert stored["position"]["tick"] == left.tick > 0
    worker()
    wait(is_running(run))
    now = gateway.inspect(run)
    assert now["tick"] >= left.tick
    if simulation == "counter":
        assert now["state"]["value"] >= stored["state"]["value"]
        assert now["state"]["log"] == [7]
    else:
        assert now["state"]["seen"] == [{"n": 7}]


@pytest.mark.parametrize("simulation", ["counter", "echo"])
def test_kill_9_goes_on_from_the_last_checkpoint_with_every_acknowledged_command(simulation, worker, wait):
    first = worker()
    run = gateway.start(simulation)
    wait(is_running(run))
    command = "add" if simulation == "counter" else "note"
    for n in range(5):
        gateway.send(run, command, {"n": n}, wait=True)
    first.kill()
    first.wait()
    late = gateway.send(run, command, {"n": 99})
    worker()
    wait(lambda: gateway.wait(Command.objects.get(pk=late.pk), 0).outcome == "applied")
    state = gateway.inspect(run)["state"]
    seen = state["log"] if simulation == "counter" else [args["n"] for args in state["seen"]]
    assert seen == [0, 1, 2, 3, 4, 99]
    assert fresh(run).adoptions == 1


def test_a_run_whose_step_raises_fails_alone(worker, wait):
    worker()
    bad, good = gateway.start("counter"), gateway.start("counter")
    wait(is_running(bad))
    wait(is_running(good))
    gateway.send(bad, "explode", wait=True)
    wait(lambda: fresh(bad).status == Status.FAILED)
    assert "RuntimeError: the counter exploded" in fresh(bad).error
    assert gateway.send(good, "add", wait=True).outcome == "applied"
    refused = gateway.send(good, "fail", wait=True)
    assert (refused.outcome, refused.message) == ("refused", raised(ValueError()))


def test_two_workers_share_and_never_double(worker, wait):
    worker()
    worker()
    runs = [gateway.start("counter") for _ in range(6)]
    for run in runs:
        wait(is_running(run))
    sent = [gateway.send(run, "add", {"n": n}) for n in range(10) for run in runs]
    wait(lambda: not Command.objects.filter(pk__in=[row.pk for row in sent], outcome="").exists())
    for run in runs:
        assert gateway.inspect(run)["state"]["log"] == list(range(10))


def test_restart_begins_a_new_run_with_the_key(worker, wait):
    worker()
    run = gateway.start("counter", key="main")
    wait(is_running(run))
    command = gateway.restart(run, wait=True)
    following = gateway.get("counter:main")
    assert str(following.id) == command.args["next"]
    wait(is_running(following))
    assert fresh(run).status == Status.STOPPED


def test_runworker_steps_runs_too(manage, wait):
    run = gateway.start("counter")
    manage("runworker", "livesim.runs")
    wait(is_running(run))
    assert gateway.send(run, "add", {"n": 3}, wait=True).outcome == "applied"


def test_what_starts_by_itself_is_there_once_with_two_workers_begun_at_once(process_env, manage, wait):
    names = ["counter", "echo", "echo_sync"]
    process_env["LIVESIM"] = json.dumps({"AUTOSTART": names})

    def two_at_once():
        known = set(Worker.objects.values_list("id", flat=True))
        both = [manage("livesim_worker") for _ in range(2)]
        new = Worker.objects.exclude(id__in=known)
        wait(lambda: new.filter(load__blocking__echo_sync=1).count() == 2)
        wait(lambda: Run.objects.filter(status=Status.RUNNING, worker__state="alive").count() >= 2)
        return both

    def end(workers):
        for process in workers:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in workers] == [0, 0]

    first = two_at_once()
    wait(lambda: Run.objects.filter(status=Status.RUNNING).count() == 3)
    runs = {run.simulation: run for run in Run.objects.all()}
    assert sorted(runs) == names
    assert {(run.key, run.visibility, run.owner_id) for run in runs.values()} == {
        ("autostart", "private", None)
    }
    gateway.stop(runs["echo"], wait=True)
    end(first)
    second = two_at_once()
    assert set(Run.objects.values_list("id", flat=True)) == {run.id for run in runs.values()}
    assert fresh(runs["echo"]).status == Status.STOPPED
    following = gateway.get(gateway.restart(runs["counter"], wait=True).args["next"])
    assert following.key == "autostart"
    wait(is_running(following))
    end(second)
    end(two_at_once())
    assert Run.objects.filter(simulation="counter", key="autostart").get() == following
    assert Run.objects.count() == 4
