"""`livesim drain` and `livesim prune`: what is typed, what is said, and how it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from django_livesim import gateway
from django_livesim.models import Run, Worker
from django_livesim.testing import wait_until
from django_livesim.worker import Engine
from tests.test_cli import livesim, misused, refused

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]


@pytest.fixture
def worker() -> Iterator[Callable[[], Worker]]:
    """`worker()` starts one in a thread of this process, and gives its row."""
    threads: list[threading.Thread] = []
    engines: list[Engine] = []

    def run(engine: Engine) -> None:
        try:
            engine.run()
        finally:
            connections.close_all()

    def start() -> Worker:
        engines.append(engine := Engine())
        threads.append(threading.Thread(target=run, args=[engine]))
        threads[-1].start()
        return Worker.objects.get(id=wait_until(lambda: engine.ledger.worker))

    yield start
    for engine in engines:
        engine.drain()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def held(worker: Worker) -> Run:
    """A run that the worker steps."""
    run = gateway.start("counter")
    wait_until(lambda: Run.objects.filter(id=run.id, worker=worker.id, status="running").exists())
    return run


def state(worker: Worker) -> str:
    return str(Worker.objects.get(id=worker.id).state)


# -- drain --------------------------------------------------------------------------------------


def test_the_only_worker_is_drained_and_its_runs_are_stored_and_free(worker):
    only = worker()
    run = held(only)
    printed = livesim("drain")
    assert printed.out == f"{only} has left\n"
    assert printed.err.startswith(f"{only} holds 1 runs\n")
    left = Run.objects.get(id=run.id)
    assert (state(only), left.status, left.worker_id) == ("gone", "waiting", None)
    assert left.checkpoints.latest("id").tick == left.tick


def test_what_is_taken_over_goes_on_in_the_other(worker):
    first = worker()
    run = held(first)
    second = worker()
    livesim("drain", first.id.hex[:8])
    wait_until(lambda: Run.objects.get(id=run.id).worker_id == second.id)
    assert state(second) == "alive"


def test_of_several_none_is_drained_and_they_are_listed(worker):
    both = [worker(), worker()]
    text = misused("drain")
    assert text == (
        "2 workers are alive, and none is told to leave. Say which, as in:"
        f" livesim drain {both[0].id.hex[:8]}; or all: livesim drain --all"
    )
    assert {state(each) for each in both} == {"alive"}


def test_all_of_several_where_that_is_said(worker):
    both = [worker(), worker()]
    facts = livesim("drain", "--all", "--json").json
    assert [(fact["worker"], fact["state"], fact["runs"]) for fact in facts] == [
        (str(each.id), "gone", 0) for each in both
    ]


def test_with_no_wait_it_is_told_and_no_more(worker):
    only = worker()
    run = held(only)
    assert livesim("drain", "--no-wait").out == f"{only} is told to leave; it holds 1 runs\n"
    wait_until(lambda: state(only) == "gone")
    assert Run.objects.get(id=run.id).worker_id is None


def test_one_that_does_not_leave_in_time_is_told_of(settings):
    silent = Worker.objects.create(host="here", pid=7, queues=["default"])
    run = gateway.start("counter")
    Run.objects.filter(id=run.id).update(worker=silent, status="running")
    assert refused("drain", "--timeout=0.2") == (
        "timeout: not left in 0.2 s: here:7 with 1 runs. They go on leaving: run this again to wait on,"
        " or end the process; what it stored last counts then."
    )
    assert state(silent) == "draining"


def test_a_worker_is_named_by_host_and_process_too():
    Worker.objects.create(host="there", pid=8, queues=["default"])
    named = Worker.objects.create(host="here", pid=7, queues=["default"])
    refused("drain", "here:7", "--timeout=0.2")
    assert Worker.objects.get(state="draining").id == named.id


def test_one_that_is_not_alive_is_refused_with_those_that_are():
    Worker.objects.create(host="gone", pid=1, state="gone")
    alive = Worker.objects.create(host="here", pid=7)
    assert refused("drain", "gone:1") == (
        "refused: 'gone:1' is no worker that is alive. Expected an id, at least 8 of its digits, or"
        f" host:process. Alive: {alive.id.hex[:8]} (here:7)"
    )


def test_without_a_worker_there_is_nothing_to_drain():
    assert refused("drain") == ("refused: no worker is alive. Start one: python manage.py livesim_worker")


# -- prune --------------------------------------------------------------------------------------


@pytest.fixture
def old() -> Run:
    run = gateway.start("counter")
    Run.objects.update(status="finished", ended_at=timezone.now() - timedelta(days=40))
    return run


def test_with_nothing_set_it_says_so_and_what_to_set(old):
    printed = livesim("prune")
    assert printed.out == "0 runs, 0 commands, 0 tasks and 0 workers that are gone are removed\n"
    assert printed.err == (
        'Ended runs: kept for ever, since LIVESIM["RETENTION"]["RUNS"] is not set.'
        ' Set it to a number of days: LIVESIM = {"RETENTION": {"RUNS": 30}}\n'
        'The journal of runs that stay: kept for ever, since LIVESIM["RETENTION"]["JOURNAL"] is not set.'
        ' Set it to a number of days: LIVESIM = {"RETENTION": {"JOURNAL": 30}}\n'
    )
    assert Run.objects.exists()


def test_a_dry_run_counts_and_removes_nothing(old, settings):
    settings.LIVESIM = {"RETENTION": {"RUNS": 30, "JOURNAL": 30}}
    printed = livesim("prune", "--dry-run")
    assert printed.out == "1 runs, 0 commands, 0 tasks and 0 workers that are gone would be removed\n"
    assert printed.err == ""
    assert Run.objects.exists()


def test_prune_removes_and_tells_in_json(old, settings):
    settings.LIVESIM = {"RETENTION": {"RUNS": 30, "JOURNAL": 30}}
    told: Any = livesim("prune", "--json").json
    assert told == {"dry_run": False, "runs": 1, "journal": 0, "tasks": 0, "workers": 0, "kept": []}
    assert not Run.objects.exists()


def test_prune_that_is_broken_off_says_what_it_has_done(old, settings, monkeypatch):
    settings.LIVESIM = {"RETENTION": {"RUNS": 30}}

    def prune(*, dry_run: bool, told: Callable[[Any], None]) -> None:
        from django_livesim.gateway.pruning import prune

        def interrupt(pruned: Any) -> None:
            told(pruned)
            raise KeyboardInterrupt

        prune(dry_run=dry_run, told=interrupt)

    monkeypatch.setattr("django_livesim.cli.pruning.prune", prune)
    assert refused("prune") == (
        "broken off: 1 runs, 0 commands, 0 tasks and 0 workers that are gone are removed."
        " Run it again to go on."
    )
