"""The parent's database: what it is told of is written, whatever stands in the way of one part of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from django_livesim import gateway
from django_livesim.models import Run, Worker
from django_livesim.store.striking import Harm
from django_livesim.worker.children import Death
from django_livesim.worker.registrar import Registrar
from tests.hosts import away, host_view

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def registrar() -> Iterator[Registrar]:
    found = Registrar(asks=False)
    found.start()
    yield found
    found.stop(10)
    assert not found._thread.is_alive()


def held() -> tuple[Worker, Run, Run]:
    """A worker that holds two runs."""
    worker = Worker.objects.create()
    fields = {"simulation": "counter", "worker": worker, "status": "running", "epoch": 4}
    return worker, Run.objects.create(**fields), Run.objects.create(**fields)


def death(worker: Worker, *bad: Run) -> Death:
    harms = tuple(Harm(run=run.id, epoch=4, why="ended its process by SIGSEGV") for run in bad)
    return Death(pid=1, status=-11, worker=worker.id, harms=harms, explained=True, seconds=1.0)


def gone() -> set[Worker]:
    return set(Worker.objects.filter(state="gone", explained=True))


def struck() -> set[Run]:
    return set(Run.objects.filter(strikes=1))


def test_a_locked_run_holds_up_neither_its_own_workers_other_runs_nor_later_deaths(
    row_locks, registrar, wait
):
    (first, locked, also), (second, other, _) = held(), held()
    with host_view(lambda: gateway.share(locked, "public")):
        registrar.bury(death(first, locked, also))
        registrar.bury(death(second, other))
        wait(lambda: gone() == {first, second} and struck() == {also, other})
    wait(lambda: locked in struck())
    assert Run.objects.get(id=locked.id).visibility == "public"


def test_deaths_in_an_outage_are_written_when_it_is_over_each_once(registrar, wait, monkeypatch, caplog):
    (first, one, _), (second, other, _) = held(), held()
    with away(monkeypatch):
        registrar.bury(death(first, one))
        registrar.bury(death(second, other))
        wait(lambda: "does not answer the workers' parent" in caplog.text)
    wait(lambda: gone() == {first, second} and struck() == {one, other})
    assert not registrar._unwritten
