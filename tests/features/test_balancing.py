"""A worker that comes later gets its share of what runs."""

from __future__ import annotations

from django.db.models import Count

from django_livesim import gateway
from django_livesim.models import Run
from django_livesim.protocol.names import Status
from django_livesim.store.balancing import EVEN
from django_livesim.testing import wait_until

RUNS = 12


def shares() -> list[int]:
    held = Run.objects.exclude(worker=None).values_list("worker").annotate(Count("pk"))
    return sorted(count for _, count in held)


def is_even() -> bool:
    held = shares()
    return len(held) == 2 and held[1] - held[0] <= EVEN and sum(held) == RUNS


def test_a_worker_that_comes_later_gets_its_share(engine):
    runs = [gateway.start("counter") for _ in range(RUNS)]
    engine()
    wait_until(lambda: shares() == [RUNS], 10)
    engine()
    wait_until(is_even, 60)
    moved = [run for run in runs if run_now(run).epoch > 1]
    assert 4 <= len(moved) <= RUNS
    for run in moved:
        row = run_now(run)
        assert (row.status, row.adoptions, row.unproven) == (Status.RUNNING, 0, 0)
        wait_until(lambda run=run, row=row: run_now(run).tick > row.tick, 10)


def run_now(run: Run) -> Run:
    return Run.objects.get(pk=run.pk)
