"""What a worker reads of a run that it takes up: versions, and the checkpoints that are left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
import pytest

from django_livesim.models import Checkpoint, Run, Worker
from django_livesim.protocol import plain
from django_livesim.protocol.names import Kind, Status
from django_livesim.protocol.records import DAMAGED, Committed, Passed, Stored, Write
from django_livesim.store import claiming, identity, intake, journal, leases, loading

pytestmark = pytest.mark.django_db(transaction=True)


def register() -> UUID:
    return leases.register(identity.this_process(), ["default"])


def claim(me: UUID, version: int = 1, held: Any = ()) -> list[UUID]:
    return claiming.claim(me, held, queues=["default"], simulations={"counter": version, "other": 9})


@pytest.fixture
def held() -> tuple[UUID, Run]:
    me, run = register(), Run.objects.create(simulation="counter")
    claim(me)
    return me, run


def stored(tick: int, seq: int = 0) -> Stored:
    data = plain.encode({"state": {"tick": tick}, "random": None})
    return Stored(tick=tick, apply_seq=seq, version=1, data=data, hash=plain.digest(data))


def store(me: UUID, run: Run, *checkpoints: Stored, epoch: int = 1, **fields: Any) -> None:
    for each in checkpoints:
        facts = {"number": 1, "tick": each.tick, "next_seq": 1, "speed": 1.0, "checkpoint": each} | fields
        assert journal.write(me, [Write(run=run.id, epoch=epoch, **facts)]) == [Committed.YES]


def load(me: UUID, run: Run, *passed: Passed) -> Any:
    return loading.load(run.id, me, passed)


def test_the_newest_checkpoint_is_taken_and_it_is_said_whether_there_is_one_before(held):
    me, run = held
    store(me, run, stored(3))
    assert (load(me, run).stored.tick, load(me, run).older, load(me, run).passed) == (3, False, ())
    store(me, run, stored(4))
    assert (load(me, run).stored.tick, load(me, run).older) == (4, True)


def test_a_checkpoint_that_was_passed_over_is_not_given_again_and_not_deleted(held):
    me, run = held
    store(me, run, stored(3), stored(4))
    passed = Passed(4, 0, "its code raised KeyError")
    found = load(me, run, passed)
    assert (found.stored.tick, found.older, found.passed) == (3, False, (passed,))
    nothing = load(me, run, passed, Passed(3, 0, "too"))
    assert (nothing.stored, nothing.older, len(nothing.passed)) == (None, False, 2)
    assert Checkpoint.objects.count() == 2


def test_damaged_ones_are_among_those_passed_over(held):
    me, run = held
    store(me, run, stored(3), stored(4), stored(5))
    Checkpoint.objects.filter(tick=5).update(data=b"zno deflated bytes")
    Checkpoint.objects.filter(tick=4).update(data=b"j{}")
    found = load(me, run)
    assert (found.stored.tick, found.older) == (3, False)
    assert found.passed == (Passed(5, 0, DAMAGED), Passed(4, 0, DAMAGED))


def test_the_journal_begins_after_the_checkpoint_that_is_taken(held):
    me, run = held
    store(me, run, stored(3, seq=1), stored(4, seq=2))
    for seq in (1, 2, 3):
        row, _ = intake.insert_command(
            run.id, kind=Kind.COMMAND, name="add", args={}, sender="u:1", client_id=f"c{seq}", body_hash="h"
        )
        type(row).objects.filter(pk=row.pk).update(apply_seq=seq, apply_tick=3, outcome="applied")
    assert [entry.apply_seq for entry in load(me, run).journal] == [3]
    assert [entry.apply_seq for entry in load(me, run, Passed(4, 2, "why")).journal] == [2, 3]


def test_what_a_later_holder_stored_is_newer_though_its_tick_is_lower(held, settings):
    settings.LIVESIM = {"KEEP_CHECKPOINTS": 2}
    me, run = held
    store(me, run, stored(3), stored(9))
    Run.objects.update(worker=None)
    claim(me)
    store(me, run, stored(4), epoch=2)
    assert load(me, run).stored.tick == 4
    assert sorted(Checkpoint.objects.values_list("tick", flat=True)) == [4, 9]
    store(me, run, stored(5), epoch=2)
    assert sorted(Checkpoint.objects.values_list("tick", flat=True)) == [4, 5]


def test_the_version_that_took_a_run_up_is_written_with_its_first_write(held):
    me, run = held
    store(me, run, stored(3), version=4, status=Status.RUNNING, progress=0.5)
    row = Run.objects.get()
    assert (row.version, row.progress, load(me, run).version) == (4, 0.5, 4)
    store(me, run, stored(4), status=Status.PAUSED)
    row.refresh_from_db()
    assert (row.version, row.progress) == (4, None)


def test_a_worker_claims_what_its_code_can_go_on_with_and_no_more():
    me = register()
    wanted = [Run.objects.create(simulation="counter", version=version) for version in (1, 2, 3)]
    other = Run.objects.create(simulation="other", version=9)
    Run.objects.create(simulation="other", version=10)
    Run.objects.create(simulation="vanished")
    assert set(claim(me, 2)) == {wanted[0].id, wanted[1].id, other.id}
    assert claim(me, 3, [wanted[0].id, wanted[1].id, other.id]) == [wanted[2].id]
    assert claiming.claim(me, [], queues=["default"], simulations={}) == []


def test_those_that_run_are_claimed_before_those_that_are_paused():
    dead, me = register(), register()
    statuses = [Status.PAUSED, Status.RUNNING, Status.PAUSED, Status.WAITING]
    runs = [Run.objects.create(simulation="counter", status=status, worker_id=dead) for status in statuses]
    Worker.objects.filter(id=dead).update(state=Worker.State.GONE)
    assert claim(me) == [runs[1].id, runs[3].id, runs[0].id, runs[2].id]


def test_a_checkpoint_of_nothing_is_no_state_to_pass_over(held):
    me, run = held
    store(me, run, replace(stored(7), data=b"", hash=plain.digest(b""), views=b"{}"))
    found = load(me, run)
    assert (found.stored.data, found.passed, found.older) == (b"", (), False)
    assert orjson.loads(found.stored.views) == {}
