"""Writes of a worker and what it reads back."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import orjson
import pytest
from django.db import OperationalError, connection
from django.db.models.signals import post_init
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_livesim.models import Checkpoint, Command, Run
from django_livesim.protocol import packed, plain
from django_livesim.protocol.names import Kind, Outcome, Status
from django_livesim.protocol.records import Committed, Entry, Position, Stored, Verdict, Write
from django_livesim.store import claiming, identity, intake, journal, leases, loading

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held():
    me = leases.register(identity.this_process(), ["default"])
    run = Run.objects.create(simulation="counter", params={"start": 1}, key="k")
    claiming.claim(me, [], queues=["default"], simulations={"counter": 1})
    return me, run


def insert(run, name="add", client_id="c1", **fields):
    return intake.insert_command(
        run.id,
        kind=Kind.COMMAND,
        name=name,
        args={"n": 1},
        sender="u:1",
        client_id=client_id,
        body_hash="h",
        **fields,
    )[0]


def stored(tick, value, seq=0):
    data = plain.encode({"state": {"value": value}, "random": None})
    return Stored(tick=tick, apply_seq=seq, version=1, data=data, hash=plain.digest(data), views=b'{"all":1}')


def write(run, **fields):
    return Write(run=run.id, epoch=1, number=1, **{"tick": 5, "next_seq": 2, "speed": 1.0} | fields)


def verdict(row, seq=1, **fields):
    entry = loading.entry(row)
    return Verdict(entry=entry, apply_seq=seq, apply_tick=5, outcome=Outcome.APPLIED, **fields)


def test_verdicts_status_and_checkpoint_are_one_write(held):
    me, run = held
    row = insert(run)
    one = write(
        run, status=Status.PAUSED, verdicts=(verdict(row, result=b'{"v":2}'),), checkpoint=stored(5, 2, 1)
    )
    assert journal.write(me, [one]) == [Committed.YES]
    row.refresh_from_db()
    run.refresh_from_db()
    assert (row.apply_seq, row.apply_tick, row.epoch, row.outcome, row.result) == (
        1,
        5,
        1,
        "applied",
        {"v": 2},
    )
    assert (run.status, run.tick, run.next_seq) == (Status.PAUSED, 5, 2)
    assert loading.waiting([run.id]).entries == {}


def test_an_heir_gets_the_newest_checkpoint_and_the_journal_after_it(held):
    me, run = held
    rows = [insert(run, client_id=f"c{number}") for number in range(4)]
    journal.write(me, [write(run, verdicts=tuple(verdict(row, seq + 1) for seq, row in enumerate(rows[:3])))])
    journal.write(me, [write(run, checkpoint=stored(4, 9, seq=1), next_seq=4)])
    loaded = loading.load(run.id, me)
    assert loaded.stored.tick == 4
    assert [each.id for each in loaded.journal] == [row.pk for row in rows[1:3]]
    assert (loaded.next_seq, loaded.tick, loaded.info.params) == (4, 5, {"start": 1})
    assert [each.id for each in loading.waiting([run.id]).entries[run.id]] == [rows[3].pk]


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(held, caplog):
    me, run = held
    journal.write(me, [write(run, checkpoint=stored(3, 30))])
    journal.write(me, [write(run, checkpoint=stored(4, 40))])
    Checkpoint.objects.filter(tick=4).update(data=b"j{")
    assert orjson.loads(loading.newest_checkpoint(run.id).data)["state"] == {"value": 30}
    assert "damaged checkpoint" in caplog.text


def test_only_the_newest_of_the_checkpoints_is_fetched(held):
    me, run = held
    for tick in range(1, 4):
        journal.write(me, [write(run, checkpoint=stored(tick, tick))])
    fetched = []

    def note(instance, **kwargs):
        fetched.append(instance.tick)

    post_init.connect(note, sender=Checkpoint)
    try:
        assert loading.newest_checkpoint(run.id).tick == 3
    finally:
        post_init.disconnect(note, sender=Checkpoint)
    assert fetched == [3]


def test_only_the_newest_checkpoints_are_kept(held, settings):
    settings.LIVESIM = {"KEEP_CHECKPOINTS": 2}
    me, run = held
    for tick in range(5):
        journal.write(me, [write(run, checkpoint=stored(tick, tick))])
    assert sorted(Checkpoint.objects.values_list("tick", flat=True)) == [3, 4]


def test_a_large_state_is_deflated_and_comes_back():
    data = b"[" + b"1," * 100_000 + b"1]"
    assert len(packed.pack(data)) < len(data) / 10
    assert packed.unpack(packed.pack(data)) == data
    assert packed.unpack(packed.pack(b"{}")) == b"{}"
    assert packed.unpack(b"zoops") is None


@pytest.mark.parametrize("which", ["run", "orphans"])
def test_what_waits_of_an_ended_run_is_found_without_reading_its_journal(held, which):
    if connection.vendor != "sqlite":
        pytest.skip("counts the steps of SQLite's machine")
    _, run = held
    Run.objects.filter(id=run.id).update(status=Status.STOPPED)
    Command.objects.bulk_create(
        Command(run=run, name="add", sender="s", client_id=f"c{seq}", apply_seq=seq, outcome="applied")
        for seq in range(1, 2001)
    )
    row, steps = insert(run, client_id="late"), []
    connection.connection.set_progress_handler(lambda: steps.append(100), 100)
    try:
        refused = intake.refuse_waiting(run=run.id) if which == "run" else journal.refuse_orphans()
    finally:
        connection.connection.set_progress_handler(None, 0)
    row.refresh_from_db()
    assert (refused, row.outcome) == (1, "refused")
    assert sum(steps) < 2000


def test_a_run_that_ends_refuses_its_waiting_commands(held):
    me, run = held
    row = insert(run)
    journal.write(me, [write(run, status=Status.FINISHED, ended=True, result=b'{"a":1}')])
    row.refresh_from_db()
    run.refresh_from_db()
    assert (row.outcome, row.code) == ("refused", "run_ended")
    assert (run.worker_id, run.result, run.ended_at is not None) == (None, {"a": 1}, True)


def test_a_command_that_came_while_its_run_ended_is_refused_by_the_sweep(held):
    me, run = held
    journal.write(me, [write(run, status=Status.FINISHED, ended=True)])
    late = insert(run)
    assert journal.refuse_orphans() == 1
    late.refresh_from_db()
    assert late.code == "run_ended"


def test_a_released_run_waits_for_the_next_worker_and_a_paused_one_stays_paused(held):
    me, run = held
    journal.write(me, [write(run, status=Status.RUNNING)])
    journal.write(me, [write(run, release=True)])
    run.refresh_from_db()
    assert (run.status, run.worker_id) == (Status.WAITING, None)
    claiming.claim(me, [], queues=["default"], simulations={"counter": 1})
    Run.objects.update(epoch=1, status=Status.PAUSED)
    journal.write(me, [write(run, release=True)])
    run.refresh_from_db()
    assert (run.status, run.worker_id) == (Status.PAUSED, None)


def test_a_restart_gives_key_parameters_and_seed_to_the_next_run(held):
    me, run = held
    following = uuid4()
    journal.write(me, [write(run, status=Status.STOPPED, ended=True, successor=following)])
    new, old = Run.objects.get(id=following), Run.objects.get(id=run.id)
    assert (new.key, old.key, new.parent_id) == ("k", None, old.id)
    assert (new.params, new.seed, new.status) == (old.params, old.seed, Status.WAITING)


def test_one_senders_id_is_one_row(held):
    _, run = held
    first = insert(run)
    again, created = intake.insert_command(
        run.id, kind=Kind.COMMAND, name="add", args={}, sender="u:1", client_id="c1", body_hash="h"
    )
    assert (again.pk, created) == (first.pk, False)
    assert Command.objects.count() == 1


def test_text_that_a_column_cannot_hold_is_written_as_escapes(held):
    me, run = held
    row = insert(run)
    refused = verdict(row, message="a\x00b \ud800")
    journal.write(me, [write(run, status=Status.FAILED, ended=True, error="c\x00", verdicts=(refused,))])
    row.refresh_from_db()
    run.refresh_from_db()
    assert (row.message, run.error) == ("a\\x00b \\ud800", "c\\x00")


def test_a_write_that_the_database_cannot_take_ends_its_run_and_no_other(held, caplog):
    me, run = held
    other = Run.objects.create(simulation="counter")
    claiming.claim(me, [run.id], queues=["default"], simulations={"counter": 1})
    first, second = insert(run, client_id="a"), insert(run, client_id="b")
    clash = write(run, verdicts=(verdict(first, 1), verdict(second, 1)))
    good = Write(run=other.id, epoch=1, number=1, tick=3, next_seq=1, speed=1.0)
    assert journal.write(me, [clash, good]) == [Committed.FENCED, Committed.YES]
    first.refresh_from_db()
    run.refresh_from_db()
    assert (first.apply_seq, first.code) == (None, "run_ended")
    assert (run.status, run.worker_id) == (Status.FAILED, None)
    assert run.reason == "what it did cannot be stored: IntegrityError"
    assert "IntegrityError" in run.error
    assert "cannot be stored" in caplog.text


@pytest.mark.parametrize("fields", [{"tick": 2**70}, {"checkpoint": "no checkpoint"}, {"result": b"{"}])
def test_a_write_that_no_column_holds_ends_its_run(held, fields):
    me, run = held
    if "checkpoint" in fields:
        fields = {"checkpoint": replace(stored(1, 1), version=2**70)}
    assert journal.write(me, [write(run, ended=True, **fields)]) == [Committed.FENCED]
    run.refresh_from_db()
    assert (run.status, run.worker_id) == (Status.FAILED, None)


def test_a_write_cannot_end_a_run_that_is_anothers(held):
    _, run = held
    other = leases.register(identity.this_process(), ["default"])
    assert journal._give_up(other, write(run), ValueError()) == Committed.FENCED
    run.refresh_from_db()
    assert run.status == Status.WAITING


def test_writes_that_a_sick_database_did_not_take_are_not_tried_singly(held, monkeypatch):
    me, run = held
    tried = []

    def broken(*args):
        tried.append(1)
        raise OperationalError("the database is away")

    monkeypatch.setattr(journal, "_write", broken)
    with pytest.raises(OperationalError):
        journal.write(me, [write(run), write(run)])
    assert len(tried) == 1


class TestAgain:
    """A write whose COMMIT nobody has heard of."""

    @pytest.fixture
    def again(self, held):
        me, _ = held
        return lambda *writes: journal.write(me, writes, again=[one.run for one in writes])

    def test_what_has_committed_is_not_made_twice(self, held, again):
        me, run = held
        row = insert(run, every=5.0, due_at=timezone.now())
        one = write(run, verdicts=(verdict(row),), status=Status.RUNNING)
        assert journal.write(me, [one]) == [Committed.YES]
        assert again(one) == [Committed.YES]
        assert Command.objects.count() == 2  # it and the next of its series

    def test_a_volatile_command_that_has_its_row_is_answered_as_it_was(self, held, again):
        me, run = held
        entry = Entry(id=None, client_id="v", sender="u:1", kind=Kind.COMMAND, name="add", args={})
        said = Verdict(entry=entry, apply_seq=1, apply_tick=5, outcome=Outcome.APPLIED)
        one = write(run, verdicts=(said,))
        assert journal.write(me, [one]) == [Committed.YES]
        assert again(one) == [Committed.YES]

    def test_what_has_not_committed_is_made(self, held, again):
        _, run = held
        row = insert(run)
        assert again(write(run, verdicts=(verdict(row),), checkpoint=stored(5, 1, 1))) == [Committed.YES]
        row.refresh_from_db()
        assert (row.apply_seq, Checkpoint.objects.get().tick) == (1, 5)

    def test_one_without_verdicts_says_the_same_again(self, held, again):
        me, run = held
        told = []
        one = write(run, status=Status.PAUSED, next_seq=1, checkpoint=stored(5, 1))
        assert journal.write(me, [one]) == [Committed.YES]
        assert journal.write(me, [one], None, told.append, [run.id]) == [Committed.YES]
        assert Checkpoint.objects.count() == 1
        assert [each.status for each in told] == [Status.PAUSED]

    def test_an_end_that_has_committed_is_told(self, held, again):
        me, run = held
        one = write(run, status=Status.FINISHED, ended=True)
        assert journal.write(me, [one]) == [Committed.YES]
        assert again(one) == [Committed.YES]
        other = replace(one, status=Status.STOPPED)
        assert again(other) == [Committed.FENCED]

    def test_what_another_worker_has_claimed_since_is_fenced(self, held, again):
        me, run = held
        row = insert(run)
        one = write(run, verdicts=(verdict(row),))
        assert journal.write(me, [one]) == [Committed.YES]
        Run.objects.filter(id=run.id).update(epoch=2)
        assert again(one) == [Committed.FENCED]


def test_a_long_code_of_the_author_is_cut(held):
    me, run = held
    row = insert(run)
    assert journal.write(me, [write(run, verdicts=(verdict(row, code="x\x00" * 40),))]) == [Committed.YES]
    row.refresh_from_db()
    assert row.code == ("x\\x00" * 40)[:32]


def test_a_verdict_on_a_command_that_was_answered_elsewhere_fences_the_write(held):
    me, run = held
    row, other = insert(run, client_id="a"), insert(run, client_id="b")
    Command.objects.filter(id=row.pk).update(outcome="refused", code="run_ended")
    assert journal.write(me, [write(run, tick=9, verdicts=(verdict(row),))]) == [Committed.FENCED]
    row.refresh_from_db()
    run.refresh_from_db()
    assert (row.outcome, run.tick, run.status) == ("refused", 0, Status.WAITING)
    gone = verdict(other, 1)
    other.delete()
    assert journal.write(me, [write(run, verdicts=(gone,))]) == [Committed.YES]


def many(run, count, **fields):
    rows = (
        Command(run=run, name="add", sender="u:1", client_id=f"m{n}", body_hash="h", **fields)
        for n in range(count)
    )
    Command.objects.bulk_create(rows)


def test_what_one_run_leaves_unanswered_holds_up_no_other_and_no_control(held):
    _, run = held
    other = Run.objects.create(simulation="counter")
    many(run, loading.FETCH)
    command = insert(other)
    control = insert(run, client_id="stop")
    Command.objects.filter(id=control.pk).update(kind="control")
    found = loading.waiting([run.id, other.id]).entries
    assert [each.id for each in found[other.id]] == [command.pk]
    assert found[run.id][-1].id == control.pk
    assert len(found[run.id]) == loading.FETCH


def test_a_command_for_a_far_tick_is_taken_when_its_tick_is_near(held):
    _, run = held
    far = insert(run, due_tick=10**9)
    assert loading.waiting([run.id]).entries == {}
    Run.objects.update(tick=10**9 - 10)
    assert [each.id for each in loading.waiting([run.id]).entries[run.id]] == [far.pk]


def test_what_is_due_now_goes_before_what_is_due_later(held):
    _, run = held
    many(run, loading.FETCH, due_tick=50)
    now = insert(run, client_id="now")
    sooner = insert(run, client_id="sooner", due_tick=40)
    assert [each.id for each in loading.waiting([run.id]).entries[run.id]][-2:] == [now.pk, sooner.pk]


@pytest.mark.parametrize(
    ("status", "left"),
    [(Status.RUNNING, "waiting"), (Status.STOPPING, "waiting"), (Status.PAUSED, "paused")],
)
def test_a_run_that_changes_and_is_released_in_one_write_is_as_it_was_last(held, status, left):
    me, run = held
    journal.write(me, [write(run, status=Status.PAUSED)])
    journal.write(me, [write(run, status=status, release=True)])
    run.refresh_from_db()
    assert (run.status, run.worker_id) == (left, None)


def reserve(me, run, tick, horizon, hash="", epoch=1):
    return journal.reserve(me, {run.id: Position(epoch, tick, horizon, hash)})


def test_a_horizon_is_granted_under_the_fence_alone(held):
    me, run = held
    assert reserve(me, run, 10, 35, "abc") == {run.id: 35}
    run.refresh_from_db()
    assert (run.tick, run.horizon, run.hash) == (10, 35, "abc")
    other = leases.register(identity.this_process(), ["default"])
    assert reserve(other, run, 20, 45) == {}
    assert reserve(me, run, 20, 45, epoch=2) == {}
    run.refresh_from_db()
    assert (run.tick, run.horizon, run.hash) == (10, 35, "abc")


def test_horizons_of_many_runs_are_one_statement_and_those_lost_are_left_out(held):
    me, _run = held
    others = [Run.objects.create(simulation="counter", worker_id=me, epoch=1) for _ in range(50)]
    asked = {each.id: Position(1, 10, 35) for each in others}
    with CaptureQueriesContext(connection) as captured:
        assert len(journal.reserve(me, asked)) == 50
    assert sum("UPDATE" in each["sql"] and "horizon" in each["sql"] for each in captured) == 1
    Run.objects.filter(id=others[0].id).update(epoch=2)
    assert journal.reserve(me, asked).keys() == asked.keys() - {others[0].id}


def test_a_run_that_asks_for_nothing_is_left_as_it_is(held):
    me, run = held
    with CaptureQueriesContext(connection) as captured:
        assert reserve(me, run, 10, None) == {}
    assert list(captured) == []


def test_a_write_grants_its_horizon_and_takes_away_the_hash_of_the_tick_before(held):
    me, run = held
    reserve(me, run, 10, 35, "abc")
    journal.write(me, [write(run, tick=12, horizon=37)])
    run.refresh_from_db()
    assert (run.tick, run.horizon, run.hash) == (12, 37, "")
    journal.write(me, [write(run, tick=12, horizon=12, status=Status.PAUSED)])
    run.refresh_from_db()
    assert run.horizon == 12


def test_a_restart_begins_with_the_version_of_the_code_there_is(held):
    me, run = held
    following = uuid4()
    one = write(run, status=Status.STOPPED, ended=True, successor=following)
    journal.write(me, [one], {"counter": 7})
    assert Run.objects.get(id=following).version == 7


def test_a_look_at_many_runs_gives_each_what_is_due_before_the_next_one():
    runs = Run.objects.bulk_create(Run(simulation="counter", tick=0) for _ in range(60))
    Command.objects.bulk_create(
        Command(run=run, name="add", sender="u:1", client_id=f"c{tick}", body_hash="h", due_tick=tick)
        for tick in range(1, loading.SHARE + 11)
        for run in runs
    )
    found = loading.waiting([run.id for run in runs])
    soonest = {max(entry.due_tick for entry in entries) for entries in found.entries.values()}
    assert soonest == {loading.SHARE}
    assert found.full
    assert found.left == {run.id: loading.SHARE + 1 for run in runs}


def test_a_look_that_reads_all_leaves_no_tick_and_one_that_does_not_says_from_which_on(held):
    _, run = held
    other = Run.objects.create(simulation="counter")
    insert(other, due_tick=3)
    many(run, loading.FETCH - 1, due_tick=50)
    assert (loading.waiting([run.id, other.id]).full, loading.waiting([run.id, other.id]).left) == (True, {})
    insert(run, client_id="later", due_tick=70)
    found = loading.waiting([run.id, other.id])
    assert (found.left, len(found.entries[other.id])) == ({run.id: 70}, 1)
    insert(run, client_id="too", due_tick=50)
    assert loading.waiting([run.id, other.id]).left == {run.id: 50}


def test_commands_for_no_tick_are_read_first_and_those_left_of_them_are_for_none(held):
    _, run = held
    many(run, loading.FETCH + 10)
    assert loading.waiting([run.id]).left == {}
    insert(run, client_id="far", due_tick=90)
    insert(run, client_id="near", due_tick=80)
    assert loading.waiting([run.id]).left == {run.id: 80}
