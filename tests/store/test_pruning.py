"""What is removed by age, and what never is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_livesim import Simulation, gateway, registry
from django_livesim.gateway import deleting
from django_livesim.gateway.pruning import Pruned, prune
from django_livesim.models import Checkpoint, Command, Run, Task, Worker
from django_livesim.protocol import packed, plain
from django_livesim.protocol.errors import BadState
from django_livesim.runtime import taking_up
from django_livesim.store import loading, pruning, tasks

pytestmark = [pytest.mark.django_db, pytest.mark.database]

STATE = b'{"state":{},"random":null,"steps":0}'


def ago(**units: float) -> Any:
    return timezone.now() - timedelta(**units)


def ended(days: float, status: str = "stopped", **fields: Any) -> Run:
    run: Run = gateway.start("counter")
    Run.objects.filter(id=run.id).update(status=status, ended_at=ago(days=days), **fields)
    return run


def applied(run: Run, seq: int | None, days: float, outcome: str = "applied", **fields: Any) -> Command:
    made: Command = Command.objects.create(
        run=run,
        name="add",
        sender="p:tests",
        client_id=f"c{Command.objects.count()}",
        apply_seq=seq,
        outcome=outcome,
        applied_at=ago(days=days) if outcome else None,
        **fields,
    )
    Command.objects.filter(pk=made.pk).update(created_at=ago(days=days))
    return made


def checkpoint(run: Run, seq: int, data: bytes = STATE) -> Checkpoint:
    made: Checkpoint = Checkpoint.objects.create(
        run=run, tick=seq * 10, apply_seq=seq, epoch=1, hash=plain.digest(data), data=packed.pack(data)
    )
    return made


def left(run: Run) -> list[int | None]:
    return list(Command.objects.filter(run=run).order_by("id").values_list("apply_seq", flat=True))


@pytest.fixture
def keep(settings: Any) -> Any:
    def set_retention(**days: float) -> None:
        settings.LIVESIM = {"RETENTION": days}

    return set_retention


def test_ended_runs_go_with_everything_of_theirs(keep):
    keep(RUNS=30)
    old, young, running = ended(31), ended(29), gateway.start("counter")
    Run.objects.filter(id=running.id).update(created_at=ago(days=400))
    for run in (old, young):
        applied(run, 1, 31)
        checkpoint(run, 1)
    for status in ("finished", "failed"):
        ended(31, status)
    ended(31, "quarantined")
    assert prune(dry_run=True).runs == 3
    assert prune().runs == 3
    assert set(Run.objects.values_list("status", flat=True)) == {"stopped", "waiting", "quarantined"}
    assert not Command.objects.filter(run=old).exists()
    assert not Checkpoint.objects.filter(run=old).exists()
    assert (left(young), Checkpoint.objects.count()) == ([1], 1)


def test_nothing_goes_where_nothing_is_set(keep):
    keep()
    run = ended(4000)
    checkpoint(run, 5)
    applied(run, 1, 4000)
    assert prune() == Pruned()
    assert left(run) == [1]


def test_the_journal_goes_up_to_the_oldest_checkpoint_that_is_kept(keep):
    keep(JOURNAL=7)
    run: Run = gateway.start("counter")
    for seq in range(1, 7):
        applied(run, seq, 8)
    applied(run, 7, 6)
    for seq in (3, 5):
        checkpoint(run, seq)
    assert prune(dry_run=True).journal == 3
    assert prune().journal == 3
    assert left(run) == [4, 5, 6, 7]
    Run.objects.filter(id=run.id).update(worker=(worker := Worker.objects.create()))
    held = loading.load(run.id, worker.id)
    assert held is not None
    assert [entry.apply_seq for entry in held.journal] == [6, 7]


def test_a_journal_with_a_gap_is_not_played_as_if_it_were_whole(keep):
    keep(JOURNAL=7)
    run: Run = gateway.start("counter")
    first = applied(run, 1, 8, every=60.0)
    for seq in range(2, 6):
        applied(run, seq, 8)
    applied(run, None, 0, outcome="", every=60.0, series=first.pk)  # for whose sake the first is kept
    applied(run, 6, 1)
    checkpoint(run, 5)
    worker = Worker.objects.create()
    Run.objects.filter(id=run.id).update(worker=worker, next_seq=7)
    Checkpoint.objects.filter(run=run).update(data=b"damaged")
    definition = registry.get("counter")
    whole = loading.load(run.id, worker.id)
    assert whole is not None
    taking_up.refuse_nothing(whole, definition)
    assert prune().journal == 4
    assert left(run) == [1, None, 6]
    cut = loading.load(run.id, worker.id)
    assert cut is not None
    with pytest.raises(BadState, match="^None of its stored states can be taken up"):
        taking_up.refuse_nothing(cut, definition)


def test_a_run_without_a_checkpoint_keeps_its_journal(keep):
    keep(JOURNAL=7)
    run: Run = gateway.start("counter")
    applied(run, 1, 8)
    assert prune().journal == 0
    assert left(run) == [1]


def test_waiting_commands_and_young_answers_are_kept_whatever_is_set(keep):
    keep(JOURNAL=0)
    run: Run = gateway.start("counter")
    checkpoint(run, 100)
    waiting = applied(run, None, 400, outcome="")
    applied(run, 1, 0.9)
    applied(run, 2, 1.1)
    refused = applied(run, None, 1.1, outcome="refused")
    assert prune().journal == 2
    assert left(run) == [None, 1]
    assert Command.objects.filter(pk=waiting.pk).exists()
    assert not Command.objects.filter(pk=refused.pk).exists()


def test_the_first_of_a_series_that_goes_on_is_kept(keep):
    keep(JOURNAL=1)
    run: Run = gateway.start("counter")
    checkpoint(run, 100)
    first, over = applied(run, 1, 8), applied(run, 2, 8)
    applied(run, None, 8, outcome="", series=first.pk)
    applied(run, 3, 8, series=over.pk)
    prune()
    assert left(run) == [1, None]


@pytest.fixture
def replayed() -> Iterator[type[Simulation]]:
    class Replayed(Simulation):
        recovery = "replay"

        def step(self, dt: float) -> None: ...

    yield registry.register(Replayed)
    registry.unregister("replayed")


def test_a_simulation_that_is_recovered_by_replay_keeps_its_whole_journal(keep, replayed):
    keep(JOURNAL=1)
    run: Run = gateway.start(replayed)
    applied(run, 1, 400)
    checkpoint(run, 5)  # of before it was declared so
    assert prune().journal == 0
    assert left(run) == [1]


def test_a_checkpoint_without_a_state_keeps_the_whole_journal_though_the_code_is_unknown_here(keep):
    keep(JOURNAL=1)
    run: Run = gateway.start("counter")
    Run.objects.filter(id=run.id).update(simulation="of_another_project")
    applied(run, 1, 400)
    checkpoint(run, 3)
    checkpoint(run, 5, data=b"")
    assert prune().journal == 0
    assert left(run) == [1]


def test_what_is_many_goes_in_small_transactions_and_is_told(keep, monkeypatch):
    keep(JOURNAL=1)
    monkeypatch.setattr(pruning, "BATCH", 10)
    run: Run = gateway.start("counter")
    checkpoint(run, 100)
    for seq in range(1, 26):
        applied(run, seq, 8)
    seen: list[int] = []
    assert prune(told=lambda pruned: seen.append(pruned.journal)).journal == 25
    assert seen == [10, 20, 25]


def test_what_is_broken_off_has_done_a_part_and_the_next_does_the_rest(keep, monkeypatch):
    keep(JOURNAL=1)
    monkeypatch.setattr(pruning, "BATCH", 10)
    run: Run = gateway.start("counter")
    checkpoint(run, 100)
    for seq in range(1, 26):
        applied(run, seq, 8)

    def break_off(pruned: Pruned) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prune(told=break_off)
    assert left(run) == list(range(11, 26))
    assert prune().journal == 15


def test_a_long_journal_of_an_ended_run_goes_in_parts(keep, monkeypatch):
    keep(RUNS=30)
    monkeypatch.setattr(deleting, "BATCH", 3)
    run = ended(31)
    for seq in range(1, 11):
        applied(run, seq, 31)
    assert prune().runs == 1
    assert not Run.objects.filter(id=run.id).exists()
    assert not Command.objects.exists()


def test_a_run_that_somebody_goes_on_with_meanwhile_is_kept(keep, monkeypatch):
    keep(RUNS=30)
    monkeypatch.setattr(deleting, "BATCH", 3)
    run = ended(31)
    for seq in range(1, 11):
        applied(run, seq, 31)
    asked: list[bool] = []

    def is_long(row: Run) -> bool:
        """Between two parts somebody resumes it."""
        asked.append(True)
        if len(asked) == 2:
            Run.objects.filter(id=row.id).update(status="waiting", ended_at=None)
        return True

    monkeypatch.setattr(deleting, "_is_long", is_long)
    assert prune().runs == 0
    assert Run.objects.get().id == run.id
    assert left(run) == [7, 8, 9, 10]


def test_workers_that_are_gone_for_a_day_and_hold_nothing_go_in_any_case(keep):
    keep()
    made = {
        name: Worker.objects.create(host=name, state=state)
        for name, state in [("old", "gone"), ("young", "gone"), ("silent", "alive"), ("holds", "gone")]
    }
    Worker.objects.exclude(host="young").update(beat_at=ago(hours=25))
    run: Run = gateway.start("counter")
    Run.objects.filter(id=run.id).update(worker=made["holds"])
    assert prune(dry_run=True).workers == 1
    assert prune().workers == 1
    assert set(Worker.objects.values_list("host", flat=True)) == {"young", "silent", "holds"}
    assert Run.objects.get().worker == made["holds"]


def test_a_retention_longer_than_calendars_reckon_removes_nothing(keep):
    keep(RUNS=1e9, JOURNAL=1e9)
    ended(4000)
    assert prune().runs == 0


@pytest.fixture
def called_again_meanwhile(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A task is called again between the SELECT of the next rows to go and their DELETE."""
    begin = transaction.atomic

    def call_again(row: Task) -> None:
        def meanwhile(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.setattr(pruning.transaction, "atomic", begin)
            assert tasks.again([row.pk]) == 1
            return begin(*args, **kwargs)

        monkeypatch.setattr(pruning.transaction, "atomic", meanwhile)

    return call_again


@pytest.mark.parametrize("batch", [1, 500])
def test_a_task_that_is_called_again_after_it_was_found_to_be_old_stays(
    keep, called_again_meanwhile, monkeypatch, batch
):
    keep(TASKS=30)
    monkeypatch.setattr(pruning, "BATCH", batch)
    rows = [Task.objects.create(name="resize", status="failed", ended_at=ago(days=31)) for _ in range(3)]
    called_again_meanwhile(rows[0])
    assert prune().tasks == 2
    assert Task.objects.get().pk == rows[0].pk
