"""A worker is killed, and newer code takes its runs over."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from django_livesim import gateway, registry
from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.names import Status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]


@pytest.fixture(autouse=True)
def _here(redis_layer: Any) -> Iterator[None]:
    """This process, too, has version 1 of the simulations, and rings the workers."""
    from tests.process.versioned import simulations

    both = (simulations.Diary, simulations.diary_loop)
    for each in both:
        registry.register(each) if isinstance(each, type) else registry._registry.add(each)
    yield
    for each in both:
        registry.unregister(each.name)


@pytest.fixture
def worker(manage: Any, process_env: dict[str, str], wait: Any) -> Callable[[int], Any]:
    """`worker(2)` starts one with version 2 of the code."""

    def start(version: int) -> Any:
        known = set(Worker.objects.values_list("id", flat=True))
        settings = {"DJANGO_SETTINGS_MODULE": "tests.process.versioned.settings"}
        process = manage("livesim_worker", env=process_env | settings | {"DIARY_VERSION": str(version)})
        wait(lambda: Worker.objects.exclude(id__in=known).exists())
        return process

    return start


class Sender(threading.Thread):
    """Sends numbered notes one after the other, until told to end; `acknowledged` has what was accepted."""

    def __init__(self, run: Run) -> None:
        super().__init__(daemon=True)
        self.run_row = run
        self.acknowledged: list[int] = []
        self._over = threading.Event()

    def run(self) -> None:
        for n in itertools.count():
            if self._over.is_set():
                break
            gateway.send(self.run_row, "note", {"n": n})
            self.acknowledged.append(n)
        connection.close()

    def end(self) -> None:
        self._over.set()
        self.join(60)


def fresh(run: Run) -> Run:
    return Run.objects.get(id=run.id)


def is_running(run: Run) -> Callable[[], bool]:
    return lambda: fresh(run).status == Status.RUNNING


@pytest.mark.parametrize("simulation", ["diary", "diary_loop"])
def test_newer_code_goes_on_with_every_acknowledged_command_once_and_in_order(simulation, worker, wait):
    first = worker(1)
    run = gateway.start(simulation)
    wait(is_running(run))
    sender = Sender(run)
    sender.start()
    wait(lambda: len(sender.acknowledged) > 20)
    gateway.pause(run, wait=True)  # a checkpoint in the midst of them
    gateway.resume(run, wait=True)
    before = len(sender.acknowledged)
    wait(lambda: len(sender.acknowledged) > before + 20)
    first.kill()
    first.wait()
    killed = len(sender.acknowledged)
    worker(2)
    wait(lambda: fresh(run).version == 2)
    wait(lambda: len(sender.acknowledged) > killed + 20)
    sender.end()
    wait(lambda: not Command.objects.filter(run=run.id, outcome="").exists())
    state = gateway.inspect(run)["state"]
    assert state["entries"] == sender.acknowledged
    assert state["from"] == 1
    row = fresh(run)
    assert (row.status, row.version, row.adoptions) == (Status.RUNNING, 2, 1)
    assert row.reason.startswith("taken over by version 2 from tick ")


def test_a_run_of_newer_code_waits_and_says_so_until_a_worker_has_it(worker, wait):
    first = worker(2)
    run = gateway.start("diary")
    wait(lambda: is_running(run)() and fresh(run).version == 2)
    first.kill()
    first.wait()
    worker(1)
    wait(lambda: fresh(run).reason == "no worker has version 2 of diary")
    assert fresh(run).status == Status.WAITING
    worker(2)
    wait(is_running(run))
    assert fresh(run).reason.startswith("goes on from tick ")
