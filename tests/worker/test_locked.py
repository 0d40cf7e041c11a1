"""A worker beside a host whose transaction holds one of its runs, and stays open."""

from __future__ import annotations

from typing import Any

import pytest

from django_livesim import gateway
from django_livesim.models import Checkpoint, Run, Worker
from django_livesim.testing import worker_in_process
from tests.hosts import host_view

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("row_locks", "patient")]

ACTS = {"share": lambda run: gateway.share(run, "public"), "delete": gateway.delete}


@pytest.mark.parametrize("act", ACTS)
def test_its_other_runs_its_lease_and_its_claims_go_on_and_then_so_does_that_one(
    settings: Any, wait: Any, caplog: pytest.LogCaptureFixture, act: str
) -> None:
    settings.LIVESIM = {"LEASE_TTL": 3.0, "BEAT": 0.2, "CHECKPOINT_SECONDS": 0.05}
    mine, other = gateway.start("counter"), gateway.start("counter")

    def stored(run: Run) -> int:
        return Checkpoint.objects.filter(run=run).order_by("-tick").values_list("tick", flat=True)[0]

    with worker_in_process():
        wait(lambda: Run.objects.filter(status="running").count() == 2)
        with host_view(lambda: ACTS[act](mine)):
            begun, tick = Worker.objects.get().beat, stored(other)
            assert gateway.send(other, "add", wait=True).outcome == "applied"
            third = gateway.start("counter")
            assert gateway.send(third, "add", wait=True).outcome == "applied"
            wait(lambda: Worker.objects.get().beat > begun + 5 and stored(other) > tick + 10)
            seen = stored(mine)
        if Run.objects.filter(id=mine.id).exists():
            wait(lambda: stored(mine) > seen)
            assert Run.objects.get(id=mine.id).epoch == 1
        else:
            wait(lambda: Worker.objects.get().load["runs"] == 2)
    assert "failed" not in caplog.text and "does not answer" not in caplog.text
