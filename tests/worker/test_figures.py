"""Figures from a worker of this process to the database and to a socket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from django_livesim import gateway
from django_livesim.models import Run, Sample
from django_livesim.store import sampling
from django_livesim.testing import worker_in_process
from tests.protocol_schemas import check
from tests.test_socket import Socket

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("patient")]


def test_they_are_stored_as_the_run_goes_on_and_at_its_end(wait: Any) -> None:
    with worker_in_process():
        run = gateway.start("gauge", {"start": 100})
        wait(lambda: Sample.objects.filter(run=run).count() >= 3)
        gateway.stop(run, wait=True)
        wait(lambda: Run.objects.get(id=run.id).status == "stopped")
    run.refresh_from_db()
    found = gateway.series(run)
    assert found["series"]["value"] == [100 + tick for tick in found["ticks"]]
    assert found["ticks"][-1] == run.tick
    assert abs(found["at"][-1] - time.time()) < 60
    assert found["at"] == sorted(found["at"])


def test_a_second_worker_goes_on_with_them(wait: Any) -> None:
    with worker_in_process():
        run = gateway.start("gauge")
        wait(lambda: Sample.objects.filter(run=run).count() >= 2)
    before = gateway.series(run)["ticks"]
    with worker_in_process():
        wait(lambda: Sample.objects.filter(run=run).count() >= len(before) + 2)
    found = gateway.series(run)
    assert found["ticks"][: len(before)] == before
    assert found["series"]["value"] == found["ticks"]


def test_a_run_with_too_many_samples_is_thinned(wait: Any) -> None:
    run = gateway.start("gauge")
    many = [Sample(run=run, tick=tick, values={"value": 0}) for tick in range(-1200, 0)]
    Sample.objects.bulk_create(many)
    with worker_in_process():
        wait(lambda: Sample.objects.filter(run=run).count() < sampling.MOST)
    ticks = gateway.series(run)["ticks"]
    assert ticks[0] == -1200 and ticks[-1] >= 0
    assert len([tick for tick in ticks if tick < 0]) > sampling.OLD


@pytest.fixture
def worker() -> Iterator[Any]:
    with worker_in_process() as engine:
        yield engine


async def test_whoever_watches_hears_them_and_the_schema_holds(worker: Any) -> None:
    run = await gateway.astart("gauge", {"start": 9}, visibility="public")
    async with Socket(f"/ws/livesim/runs/{run.id}/") as socket:
        await socket.until(lambda: len(socket.of("metrics")) >= 3)
        messages = socket.of("metrics")
    for message in messages:
        check("server", message)
        assert message["values"]["value"] == 9 + message["tick"]
        assert abs(message["at"] - time.time()) < 60
    assert [each["tick"] for each in messages] == sorted({each["tick"] for each in messages})
