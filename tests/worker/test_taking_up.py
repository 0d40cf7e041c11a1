"""Runs taken up over real rows: a checkpoint passed over, many runs at once, a worker without the code."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from django.core.management import call_command

from django_livesim import gateway, registry
from django_livesim.models import Checkpoint, Run, Worker
from django_livesim.protocol import packed, plain
from django_livesim.protocol.names import Status
from django_livesim.simulation import Simulation, command
from django_livesim.store import claiming
from django_livesim.testing import wait_until, worker_in_process
from django_livesim.worker import keeping
from django_livesim.worker.ledger import Ledger

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("patient")]


@pytest.fixture
def choosy() -> Iterator[type[Simulation]]:
    """A registered class that takes up no state that is marked."""

    class Choosy(Simulation):
        tick_rate = 50

        def setup(self) -> None:
            self.state = {"n": 0, "log": []}

        def step(self, dt: float) -> None:
            self.state["n"] += 1

        @command
        def note(self, n: int) -> None:
            self.state["log"].append(n)

        def load(self, data: dict[str, Any]) -> None:
            if "marked" in data:
                raise KeyError("marked")
            super().load(data)

    registry.register(Choosy)
    yield Choosy
    registry.unregister(Choosy.name)


def fresh(run: Run) -> Run:
    return Run.objects.get(id=run.id)


def is_running(run: Run) -> bool:
    return fresh(run).status == Status.RUNNING


def mark(row: Checkpoint) -> None:
    """The same checkpoint, in order, with a state that this code does not take."""
    document = orjson.loads(packed.unpack(bytes(row.data)) or b"")
    document["state"]["marked"] = True
    data = plain.encode(document)
    Checkpoint.objects.filter(pk=row.pk).update(data=packed.pack(data), hash=plain.digest(data))


def test_the_checkpoint_before_is_taken_up_with_all_commands_since_and_none_is_deleted(choosy):
    with worker_in_process():
        run = gateway.start("choosy")
        for n in range(3):
            gateway.send(run, "note", {"n": n}, wait=True)
            gateway.pause(run, wait=True)
            gateway.resume(run, wait=True)
    newest, *older = Checkpoint.objects.filter(run=run.id).order_by("-epoch", "-tick")
    mark(newest)
    mark(older[0])
    left = fresh(run).tick
    with worker_in_process():
        wait_until(lambda: is_running(run))
        sent = gateway.send(run, "note", {"n": 3}, wait=True)
        assert sent.outcome == "applied"
        row = fresh(run)
        assert f"that of tick {newest.tick}: its code raised KeyError" in row.reason
        assert f"that of tick {older[0].tick}: its code raised KeyError" in row.reason
        assert (row.adoptions, row.epoch) == (0, 2)
    state = gateway.inspect(run)["state"]
    assert state["log"] == [0, 1, 2, 3]
    assert state["n"] == fresh(run).tick >= left
    assert Checkpoint.objects.filter(pk=newest.pk).exists()


def test_with_no_checkpoint_that_can_be_taken_up_the_run_waits_in_quarantine_for_mended_code(
    choosy, settings, monkeypatch
):
    settings.LIVESIM = {"STRIKES": 1}
    with worker_in_process():
        run = gateway.start("choosy")
        gateway.send(run, "note", {"n": 1}, wait=True)
    rows = list(Checkpoint.objects.filter(run=run.id))
    for row in rows:
        mark(row)
    with worker_in_process():
        wait_until(lambda: fresh(run).status == Status.QUARANTINED)
        assert "KeyError: 'marked'" in fresh(run).error
        monkeypatch.setattr(choosy, "load", Simulation.load)
        gateway.resume(run)
        assert gateway.send(run, "note", {"n": 2}, wait=True).outcome == "applied"
        assert gateway.inspect(run, timeout=60)["state"]["log"] == [1, 2]


def test_a_full_batch_is_followed_by_another_look_and_a_part_of_one_is_not():
    ledger = Ledger(queues=["default"], registered=lambda worker: None, load=dict)
    for _ in range(claiming.CLAIM_BATCH + 3):
        Run.objects.create(simulation="counter")
    first = ledger._poll({}, True)
    assert (len(first.claimed), first.more) == (claiming.CLAIM_BATCH, True)
    kept = [each.info.id for each in first.claimed]
    assert len(ledger._claim(ledger.worker, kept)) == 3


def test_fifty_runs_are_taken_up_well_before_the_third_poll(settings):
    settings.LIVESIM = {"POLL": 60.0}
    runs = [gateway.start("counter") for _ in range(50)]
    with worker_in_process():
        wait_until(lambda: Run.objects.filter(status=Status.RUNNING).count() == len(runs), 50)


def test_a_worker_tells_which_code_it_has_from_its_first_moment_and_with_each_beat(monkeypatch):
    ledger = Ledger(queues=["default"], registered=lambda worker: None, load=lambda: {"runs": 2})
    ledger._lease.have()
    assert Worker.objects.get().load["simulations"]["counter"] == 1
    monkeypatch.setattr(keeping, "versions", lambda **which: {"counter": 5})
    ledger._lease._due["beat"] = 0.0
    ledger._lease.keep()
    code = {"counter": 5}
    assert Worker.objects.get().load == {"runs": 2, "simulations": code, "blocking": code}


def test_a_run_without_a_worker_that_has_its_code_says_so_on_its_page_and_in_the_terminal(
    client, monkeypatch, capsys
):
    monkeypatch.setattr(keeping, "UNCLAIMED_EVERY", 0.1)
    run = Run.objects.create(
        id=uuid.uuid4(), simulation="counter", version=7, visibility="public", status=Status.RUNNING
    )
    with worker_in_process():
        wait_until(lambda: fresh(run).reason)
        assert fresh(run).status == Status.WAITING
        reason = "no worker has version 7 of counter"
        assert reason in client.get(run.get_absolute_url()).content.decode()
        assert reason in client.get("/livesim/").content.decode()
        call_command("livesim", "list")
        assert reason in capsys.readouterr().out
