"""What comes with a verdict: the next of what is repeated, the end of what is cancelled, a volatile row."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError

from django_livesim.bus import volatile as bus_volatile
from django_livesim.models import Command, Run
from django_livesim.protocol.names import CANCEL, Kind, Outcome, Status
from django_livesim.protocol.records import Committed, Entry, Verdict, Write
from django_livesim.store import claiming, identity, intake, journal, leases, loading, repeating
from django_livesim.store.moments import Moment

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def held() -> tuple[UUID, Run]:
    me = leases.register(identity.this_process(), ["default"])
    run = Run.objects.create(simulation="counter")
    claiming.claim(me, [], queues=["default"], simulations={"counter": 1})
    return me, run


def insert(run, client_id="c1", *, kind=Kind.COMMAND, name="add", args=None, **fields):
    when = {"due_at": Moment() - timedelta(seconds=fields.pop("late"))} if "late" in fields else {}
    given = {"kind": kind, "name": name, "args": args or {"n": 1}, "body_hash": "h"}
    return intake.create_command(run.id, sender="u:1", client_id=client_id, **given, **when, **fields)


def cancel(run, row):
    return insert(run, f"x{row.pk}", kind=Kind.CONTROL, name=CANCEL, args={"command": row.pk})


def write(run, *verdicts, **fields):
    given = {"number": 1, "tick": 5, "next_seq": len(verdicts) + 1, "speed": 1.0, "verdicts": verdicts}
    return Write(run=run.id, epoch=1, **given | fields)


def verdict(row, seq=1, outcome=Outcome.APPLIED, **fields):
    entry = row if isinstance(row, Entry) else loading.entry(row)
    return Verdict(entry=entry, apply_seq=seq, apply_tick=5, outcome=outcome, **fields)


def waiting(run):
    return list(Command.objects.filter(run=run, outcome="").order_by("id"))


def fate(row):
    row.refresh_from_db()
    return row.outcome, row.code, row.apply_seq


class TestRepeating:
    @pytest.mark.parametrize("outcome", [Outcome.APPLIED, Outcome.REFUSED])
    def test_a_verdict_makes_the_next_one_like_it(self, held, outcome):
        me, run = held
        row = insert(run, every=5.0, late=1)
        assert journal.write(me, [write(run, verdict(row, outcome=outcome))]) == [Committed.YES]
        (following,) = waiting(run)
        assert following.due_at == row.due_at + timedelta(seconds=5)
        alike = ("run_id", "kind", "name", "args", "sender", "body_hash", "every", "durable")
        assert [getattr(following, each) for each in alike] == [getattr(row, each) for each in alike]
        assert following.series == row.pk
        assert following.client_id != row.client_id

    def test_every_one_of_a_series_names_the_first(self, held):
        me, run = held
        row = first = insert(run, every=0.5, late=0)
        for seq in range(1, 4):
            journal.write(me, [write(run, verdict(row, seq), next_seq=seq + 1)])
            (row,) = waiting(run)
            assert row.series == first.pk
        assert Command.objects.count() == 4

    def test_what_was_missed_is_passed_over_and_the_beat_is_kept(self, held):
        me, run = held
        row = insert(run, every=5.0, late=33)
        journal.write(me, [write(run, verdict(row))])
        (following,) = waiting(run)
        assert following.due_at == row.due_at + timedelta(seconds=35)

    def test_a_write_that_is_fenced_or_fails_makes_none(self, held, monkeypatch):
        me, run = held
        row = insert(run, every=5.0, late=1)
        assert journal.write(uuid4(), [write(run, verdict(row))]) == [Committed.FENCED]
        repeat = repeating.repeat

        def failing(ids):
            repeat(ids)
            raise OperationalError("the database is away")

        monkeypatch.setattr(repeating, "repeat", failing)
        with pytest.raises(OperationalError):
            journal.write(me, [write(run, verdict(row))])
        assert waiting(run) == [row]

    def test_the_same_verdict_twice_makes_one(self, held):
        me, run = held
        row = insert(run, every=5.0, late=1)
        one = write(run, verdict(row))
        journal.write(me, [one])
        journal.write(me, [write(run, verdict(row, 2))])  # of a memory that did not know of the first
        assert len(waiting(run)) == 1

    def test_an_end_ends_the_series(self, held):
        me, run = held
        row, other = insert(run, every=5.0, late=1), insert(run, "c2", every=5.0, late=-60)
        end = write(run, verdict(row), status=Status.STOPPED, ended=True)
        assert journal.write(me, [end]) == [Committed.YES]
        assert waiting(run) == []
        assert fate(other) == ("refused", "run_ended", None)
        assert Command.objects.count() == 2

    @pytest.mark.parametrize(
        ("every", "late", "after"),
        [
            (5, 0, 5),
            (5, 4.9, 5),
            (5, 5, 10),
            (5, 13, 15),
            (0.1, 0.3, 0.4),
            (0.1, 86400, 86400.1),
            (5, -0.2, 5),
        ],
    )
    def test_the_next_moment_is_whole_periods_after_the_last_and_still_to_come(self, every, late, after):
        due = datetime(2026, 1, 1)
        found = repeating.due_next(due, every, late)
        assert (found - due).total_seconds() == pytest.approx(after, abs=1e-5)


class TestWaiting:
    def test_what_is_due_soon_is_given_with_the_seconds_that_are_left(self, held):
        _, run = held
        now, soon, later = (insert(run, f"c{late}", late=late) for late in (10, -1, -3600))
        plain = insert(run, "plain")
        found = {each.id: each.due_in for each in loading.waiting([run.id]).entries[run.id]}
        assert list(found) == [now.pk, soon.pk, plain.pk]
        assert later.pk not in found
        assert (found[now.pk], found[plain.pk]) == (0.0, None)
        assert 0.5 < found[soon.pk] <= 1.0

    def test_many_that_are_due_soon_keep_none_from_acting_now(self, held, monkeypatch):
        monkeypatch.setattr(loading, "FETCH", 5)
        _, run = held
        for number in range(10):
            insert(run, f"soon{number}", late=-1)
        now = insert(run, "now")
        assert now.pk in {each.id for each in loading.waiting([run.id]).entries[run.id]}


class TestCancelling:
    def test_what_waits_is_refused_and_counted(self, held):
        me, run = held
        row, other = insert(run, late=-3600), insert(run, "c2", late=-3600)
        asked = cancel(run, row)
        assert journal.write(me, [write(run, verdict(asked))]) == [Committed.YES]
        assert fate(row) == ("refused", "cancelled", None)
        assert fate(other) == ("", "", None)
        assert fate(asked) == ("applied", "", 1)
        assert asked.result == {"cancelled": 1}
        assert row.message == "It was cancelled before it acted."

    def test_it_is_too_late_for_what_has_acted(self, held):
        me, run = held
        row = insert(run)
        asked = cancel(run, row)
        journal.write(me, [write(run, verdict(row), verdict(asked, 2))])
        assert fate(row) == ("applied", "", 1)
        assert Command.objects.get(pk=asked.pk).result == {"cancelled": 0}

    def test_the_next_of_a_series_that_acted_in_the_same_write_is_refused_too(self, held):
        me, run = held
        row = insert(run, every=5.0, late=1)
        asked = cancel(run, row)
        journal.write(me, [write(run, verdict(row), verdict(asked, 2))])
        assert waiting(run) == []
        assert Command.objects.get(series=row.pk).code == "cancelled"
        assert Command.objects.get(pk=asked.pk).result == {"cancelled": 1}

    def test_what_a_loop_has_in_hand_is_answered_by_it_and_not_repeated(self, held):
        me, run = held
        row = insert(run, every=5.0, late=1)
        asked = cancel(run, row)
        entry = loading.entry(row)
        journal.write(me, [write(run, verdict(asked, kept=frozenset({row.pk})))])
        assert fate(row) == ("", "", None)
        assert journal.write(me, [write(run, verdict(entry, 2), next_seq=3)]) == [Committed.YES]
        assert fate(row) == ("applied", "", 2)
        assert waiting(run) == []

    def test_commands_of_another_run_are_left_alone(self, held):
        me, run = held
        elsewhere = insert(Run.objects.create(simulation="counter"))
        asked = cancel(run, elsewhere)
        journal.write(me, [write(run, verdict(asked))])
        assert fate(elsewhere) == ("", "", None)


class TestVolatile:
    def entry(self, client_id="v1", **fields):
        given = {
            "client_id": client_id,
            "sender": "u:1",
            "kind": Kind.COMMAND,
            "name": "add",
            "args": {"n": 1},
        }
        return Entry(id=None, body_hash="h", **given | fields)

    def test_a_verdict_makes_its_row_with_its_place_in_the_journal(self, held):
        me, run = held
        told = (
            verdict(self.entry(), result=b"7"),
            verdict(self.entry("v2"), 2, Outcome.REFUSED, code="refused"),
        )
        assert journal.write(me, [write(run, *told)]) == [Committed.YES]
        applied, refused = Command.objects.order_by("id")
        assert (applied.durable, applied.outcome, applied.result, applied.apply_tick) == (
            False,
            "applied",
            7,
            5,
        )
        assert (applied.sender, applied.client_id, applied.body_hash) == ("u:1", "v1", "h")
        assert applied.applied_at is not None
        assert (refused.outcome, refused.code, refused.apply_seq) == ("refused", "refused", 2)
        loaded = loading.load(run.id, me)
        assert [(each.apply_seq, each.client_id) for each in loaded.journal] == [(1, "v1"), (2, "v2")]

    @pytest.mark.parametrize("answered", [True, False])
    def test_one_whose_id_has_a_row_was_never_applied(self, held, answered):
        me, run = held
        row = insert(run, "v1")
        good = insert(run, "c9")
        if answered:
            journal.write(me, [write(run, verdict(row))])
        told = write(run, verdict(self.entry(), 2), verdict(good, 3), next_seq=4)
        assert journal.write(me, [told]) == [Committed.FENCED]
        assert Command.objects.count() == 2
        assert fate(good) == ("", "", None)
        assert (Run.objects.get().worker_id, Run.objects.get().error) == (me, "")

    def test_others_writes_do_not_suffer(self, held):
        me, run = held
        other = Run.objects.create(simulation="counter")
        claiming.claim(me, [run.id], queues=["default"], simulations={"counter": 1})
        insert(run, "v1")
        good = insert(other, "c9")
        both = [write(run, verdict(self.entry())), write(other, verdict(good))]
        assert journal.write(me, both) == [Committed.FENCED, Committed.YES]


ODD: list[dict[str, object]] = [
    {"d": {"bb": 1, "a": {"é": 1, "ab": 2, "z": 3}}},
    {"x": 1e16, "y": 1.25e17, "z": 1e17, "w": -2.5e16},
    {"l": [-0.0, 0.0, 1e15, 1.5, 1e-7, True, None, 2**53]},
]


@pytest.mark.parametrize("args", ODD)
def test_a_volatile_command_is_played_again_with_the_very_arguments_that_it_acted_with(held, args):
    me, run = held
    wanted = {"name": "add", "args": args, "sender": "u:1", "client_id": "v1", "body_hash": "h"}
    _, entry = bus_volatile.decode(bus_volatile.encode(run.id, wanted))
    assert entry.args == args
    assert journal.write(me, [write(run, verdict(entry))]) == [Committed.YES]
    (again,) = loading.load(run.id, me).journal
    assert repr(again.args) == repr(entry.args)
