"""Runs that are there from the moment a worker is: one of each, whoever tries, and however often."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections

from django_livesim import Simulation, registry
from django_livesim.gateway import autostart
from django_livesim.models import Run

pytestmark = pytest.mark.django_db(transaction=True)

COUNT = 6


def make(name: str, **options: Any) -> type[Simulation]:
    made: type[Simulation] = registry.register(**options)(
        type(name, (Simulation,), {"step": lambda self, dt: None, "__module__": "tests.app.simulations"})
    )
    return made


@pytest.fixture
def lamps() -> Iterator[list[str]]:
    made = [make(f"Lamp{number}", autostart=True) for number in range(COUNT)]
    made.append(make("Furnace", autostart=True, queue="heavy", visibility="link"))
    yield [each.name for each in made]
    for each in made:
        registry.unregister(each.name)


def started() -> list[str]:
    return sorted(Run.objects.values_list("simulation", flat=True))


def test_many_workers_at_once_make_one_of_each(lamps):
    barrier, failed = threading.Barrier(8), []

    def start() -> None:
        try:
            barrier.wait(10)
            autostart.start_all(["default", "heavy"])
        except Exception as exc:
            failed.append(exc)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []
    assert started() == sorted(lamps)


def test_a_worker_starts_those_of_its_own_queues_alone(lamps):
    autostart.start_all(["heavy"])
    assert started() == ["furnace"]
    autostart.start_all(["elsewhere"])
    assert started() == ["furnace"]
    autostart.start_all(["default"])
    assert started() == sorted(lamps)


def test_one_that_is_shared_by_link_has_a_link(lamps):
    autostart.start_all(["heavy"])
    assert Run.objects.get().link_token


@pytest.mark.parametrize("status", ["stopped", "finished", "failed", "paused", "quarantined"])
def test_what_became_of_it_stays(lamps, status):
    autostart.start_all(["heavy"])
    Run.objects.update(status=status)
    autostart.start_all(["heavy"])
    assert Run.objects.get().status == status


def test_one_that_was_deleted_is_made_again(lamps):
    autostart.start_all(["heavy"])
    Run.objects.all().delete()
    autostart.start_all(["heavy"])
    assert started() == ["furnace"]
