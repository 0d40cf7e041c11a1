"""How many statements a worker makes that holds many runs, by counting those of its connection."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db.backends.signals import connection_created

from django_livesim.models import Run
from django_livesim.protocol.names import Status
from django_livesim.testing import worker_in_process

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 150


@pytest.fixture
def made() -> Iterator[Counter[str]]:
    """Statements of connections that are made from now on: the worker's. By what they do to which table."""
    counts: Counter[str] = Counter()

    def count(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        words = re.match(r"\W*(\w+)", sql)
        table = re.search(r'(?:UPDATE|FROM|INTO) "(\w+)"', sql)
        counts[f"{words[1] if words else sql} {table[1] if table else ''}".strip()] += 1
        return execute(sql, params, many, context)

    def connected(connection: Any, **_kwargs: Any) -> None:
        connection.execute_wrappers.append(count)

    connection_created.connect(connected)
    yield counts
    connection_created.disconnect(connected)


@pytest.mark.parametrize("status", [Status.RUNNING, Status.PAUSED])
def test_the_statements_of_a_second_do_not_depend_on_how_many_runs_are_held(
    status: Status, made: Counter[str], wait: Any, settings: Any
) -> None:
    settings.LIVESIM = {"CHECKPOINT_SECONDS": 2.0, "BEAT": 0.5, "LEASE_TTL": 10.0}
    Run.objects.bulk_create(Run(simulation="counter", status=str(status), speed=0.1) for _ in range(MANY))
    with worker_in_process() as engine:
        wait(lambda: len(engine.supervisor.runners) == MANY)
        wait(lambda: Run.objects.filter(started_at=None).count() == 0)
        made.clear()
        wait(lambda: made["UPDATE livesim_worker"] >= 3)  # what follows its last claim is over
        made.clear()
        began, ticks = time.monotonic(), Run.objects.order_by("tick").values_list("tick", flat=True)[0]
        wait(lambda: made["UPDATE livesim_worker"] >= 8)
        seconds, counts = time.monotonic() - began, dict(made)
        assert len(engine.supervisor.runners) == MANY
    moved = Run.objects.order_by("tick").values_list("tick", flat=True)[0] - ticks
    assert (moved > 0) == (status is Status.RUNNING)
    del counts["UPDATE livesim_worker"]
    assert counts.pop("SELECT livesim_worker") <= 2 * seconds + 2  # the looks at its peers
    if status is Status.PAUSED:
        assert counts.keys() == {"SELECT livesim_run"}  # a look each second; every three for unclaimed
        assert counts["SELECT livesim_run"] <= 1.4 * seconds + 3, (seconds, counts)
    else:
        # For each run by itself there would be 75 checkpoints a second.
        assert sum(counts.values()) <= 25 * seconds + 25, (seconds, counts)
        assert counts["UPDATE livesim_run"] <= 8 * seconds + 8, (seconds, counts)
