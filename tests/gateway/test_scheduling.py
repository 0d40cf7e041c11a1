"""Commands for later, again and again, and taken back: what the gateway stores of them, and for whom."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth import get_user_model
from django.db import transaction

from django_livesim import acancel, asend, cancel, gateway, send
from django_livesim.models import Command, Run, Worker
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import BadArgs, Code, Forbidden, LivesimError, NoRun
from django_livesim.protocol.names import Status
from django_livesim.store import loading

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ann() -> Any:
    return get_user_model().objects.create_user("ann")


@pytest.fixture
def bob() -> Any:
    return get_user_model().objects.create_user("bob")


@pytest.fixture
def run(ann: Any) -> Run:
    return gateway.start("counter", owner=ann, visibility="public")


def held(run: Run) -> Run:
    """The run in the hands of a worker that does nothing."""
    Run.objects.filter(id=run.id).update(worker=Worker.objects.create(id=uuid4()), epoch=1)
    return Run.objects.get(id=run.id)


def seconds(row: Command) -> float:
    return (row.due_at - row.created_at).total_seconds()


class TestEvery:
    def test_it_acts_first_after_one_period(self, run: Run) -> None:
        row = send(run, "add", every=30)
        assert (row.every, row.series) == (30.0, None)
        assert 29 < seconds(row) < 31

    def test_or_after_the_delay(self, run: Run) -> None:
        assert -1 < seconds(send(run, "add", every=30, delay=0)) < 1
        assert 4 < seconds(send(run, "add", every=30, delay=5)) < 6

    async def test_so_it_is_from_a_coroutine(self, run: Run) -> None:
        row = await asend(run, "add", every=30)
        assert (row.every, row.pk is not None) == (30.0, True)
        assert 29 < seconds(row) < 31

    @pytest.mark.parametrize("every", [0, 0.09, -1, 367 * 86400, True, "5", float("nan"), float("inf")])
    def test_what_is_no_period_is_refused(self, run: Run, every: Any) -> None:
        with pytest.raises(BadArgs, match=r"every is seconds, 0\.1 up to a year"):
            send(run, "add", every=every)
        assert not Command.objects.exists()

    def test_it_does_not_go_with_a_tick(self, run: Run) -> None:
        with pytest.raises(BadArgs, match="give every, and a delay if you like, or at_tick"):
            send(run, "add", every=5, at_tick=3)

    def test_it_belongs_to_what_an_id_stands_for(self, run: Run) -> None:
        row = send(run, "add", every=5, id="i")
        assert send(run, "add", every=5.0, id="i").pk == row.pk
        for other in ({}, {"every": 6}, {"every": 5, "delay": 1}):
            with pytest.raises(LivesimError) as caught:
                send(run, "add", id="i", **other)
            assert caught.value.code == Code.DUPLICATE_ID
            assert "or another delay, at_tick or every, make it another" in caught.value.message


class TestBounds:
    @pytest.mark.parametrize("when", [{"delay": 60}, {"at_tick": 10**6}, {"every": 60}])
    def test_one_too_many_is_refused_with_what_to_do(
        self, run: Run, ann: Any, settings: Any, when: Any
    ) -> None:
        settings.LIVESIM = {"QUOTAS": {"SCHEDULED": 2}}
        first = send(run, "add", user=ann, id="first", **when)
        send(run, "add", user=ann, **when)
        with pytest.raises(LivesimError) as caught:
            send(run, "add", user=ann, **when)
        assert (caught.value.code, caught.value.retry) == (Code.TOO_MANY, 60)
        told = "Too many: 2 scheduled commands of one sender may wait in a run. Cancel some first."
        assert caught.value.message == told
        assert send(run, "add", user=ann).pk, "what acts at once is not counted"
        assert send(run, "add", user=ann, id="first", **when).pk == first.pk, "a retry gets its row"
        cancel(first, user=ann)
        assert send(run, "add", user=ann, **when).pk

    def test_each_sender_and_each_run_is_counted_alone(self, run: Run, ann: Any, settings: Any) -> None:
        settings.LIVESIM = {"QUOTAS": {"SCHEDULED": 1}}
        send(run, "add", user=ann, delay=60)
        assert send(gateway.start("counter", owner=ann), "add", user=ann, delay=60).pk
        assert send(run, "add", user=get_user_model().objects.create_superuser("root"), delay=60).pk
        for _ in range(3):
            assert send(run, "add", delay=60).pk, "the server's own code is not limited"

    def test_it_makes_nobody_wait_for_his_turn_to_start_a_run(
        self, run: Run, ann: Any, monkeypatch: Any
    ) -> None:
        def enter(name: str) -> None:
            raise AssertionError("the turnstile is for quotas of runs")

        monkeypatch.setattr(gateway.limits.turnstile, "enter", enter)
        user = get_user_model().objects.create_superuser("root")
        assert gateway.start("counter", actor=Actor.from_user(user)).pk


class TestCancel:
    def test_where_nobody_holds_the_run_it_is_done_at_once(self, run: Run) -> None:
        row, other = send(run, "add", delay=60), send(run, "add", delay=60)
        asked = cancel(row)
        assert (asked.outcome, asked.result, asked.apply_seq) == ("applied", {"cancelled": 1}, 1)
        row.refresh_from_db()
        other.refresh_from_db()
        assert (row.outcome, row.code, row.apply_seq) == ("refused", "cancelled", None)
        assert row.apply_tick == asked.apply_tick, "which is what a socket is told"
        assert other.outcome == ""
        after = Run.objects.get(id=run.id)
        assert (after.status, after.next_seq, after.epoch) == (Status.WAITING, 2, 1)
        assert cancel(row).result == {"cancelled": 0}

    def test_it_takes_the_pk_of_the_row_too(self, run: Run) -> None:
        assert cancel(send(run, "add", delay=60).pk).result == {"cancelled": 1}
        with pytest.raises(BadArgs, match="No command has the pk 4711"):
            cancel(4711)

    def test_an_id_alone_says_not_which_command_is_meant(self, run: Run) -> None:
        send(run, "add", delay=60, id="order-17")
        with pytest.raises(BadArgs, match=r"takes the row that send gave, or its pk; got 'order-17'"):
            cancel("order-17")  # type: ignore[arg-type]

    def test_in_a_run_that_has_ended_nothing_waits(self, run: Run) -> None:
        row = send(run, "add", delay=60)
        gateway.stop(run)
        asked = cancel(row)
        assert (asked.outcome, asked.result) == ("applied", {"cancelled": 0})
        row.refresh_from_db()
        assert row.code == "run_ended"

    def test_a_worker_that_holds_the_run_is_asked(self, run: Run) -> None:
        row = send(run, "add", every=60)
        run = held(run)
        asked = cancel(row)
        assert (asked.outcome, asked.kind, asked.name) == ("", "control", "cancel")
        assert asked.args == {"command": row.pk}
        assert [each.id for each in loading.waiting([run.id]).entries[run.id]] == [asked.pk]

    def test_any_of_a_series_stands_for_all(self, run: Run) -> None:
        first = send(run, "add", every=60)
        later = Command.objects.create(
            run=run,
            name="add",
            sender=first.sender,
            client_id="x",
            every=60,
            due_at=first.due_at,
            series=first.pk,
        )
        assert cancel(later).result == {"cancelled": 2}

    def test_a_worker_that_claims_meanwhile_gets_it(self, run: Run, monkeypatch: Any) -> None:
        row = send(run, "add", delay=60)
        get = gateway.cancelling.get

        def get_then_claim(*args: Any, **kwargs: Any) -> Run:
            found = get(*args, **kwargs)
            held(run)
            return found

        monkeypatch.setattr(gateway.cancelling, "get", get_then_claim)
        asked = cancel(row)
        row.refresh_from_db()
        assert (asked.outcome, row.outcome) == ("", "")
        assert Command.objects.filter(name="cancel").count() == 1

    def test_the_same_id_is_one_cancel(self, run: Run) -> None:
        row, other = send(run, "add", delay=60), send(run, "add", delay=60)
        asked = cancel(row, id="i")
        assert cancel(row, id="i").pk == asked.pk
        with pytest.raises(LivesimError) as caught:
            cancel(other, id="i")
        assert caught.value.code == Code.DUPLICATE_ID

    async def test_so_it_is_from_a_coroutine(self, run: Run) -> None:
        row = await asend(run, "add", delay=60)
        assert (await acancel(row, wait=True)).result == {"cancelled": 1}

    def test_inside_a_transaction_it_is_part_of_it(self, run: Run) -> None:
        row = send(run, "add", delay=60)
        with transaction.atomic():
            assert cancel(row).outcome == "applied"
            transaction.set_rollback(True)
        row.refresh_from_db()
        assert row.outcome == ""

    def test_a_control_is_not_cancelled(self, run: Run) -> None:
        with pytest.raises(BadArgs, match="Only a command that has a row can be cancelled"):
            cancel(gateway.pause(held(run)))

    def test_of_a_run_that_was_deleted_there_is_nothing(self, run: Run) -> None:
        row = send(run, "add", delay=60)
        gateway.delete(run)
        with pytest.raises(NoRun):
            cancel(row)


class TestRights:
    def test_the_sender_takes_back_and_another_needs_control(
        self, run: Run, ann: Any, bob: Any, settings: Any
    ) -> None:
        settings.LIVESIM = {
            "POLICY": lambda user, action, run, command: True if action == "command" else None
        }
        row = send(run, "add", user=bob, delay=60)
        owners = send(run, "add", user=ann, delay=60)
        with pytest.raises(Forbidden):
            cancel(owners, user=bob)
        assert cancel(row, user=bob).result == {"cancelled": 1}
        assert cancel(send(run, "add", user=bob, delay=60), user=ann).result == {"cancelled": 1}

    def test_who_may_command_no_more_cannot_take_back_either(self, run: Run, bob: Any, settings: Any) -> None:
        settings.LIVESIM = {
            "POLICY": lambda user, action, run, command: True if action == "command" else None
        }
        row = send(run, "add", user=bob, delay=60)
        settings.LIVESIM = {}
        with pytest.raises(Forbidden):
            cancel(row, user=bob)

    def test_who_may_not_see_the_run_does_not_learn_of_it(self, ann: Any, bob: Any) -> None:
        row = send(gateway.start("counter", owner=ann), "add", delay=60)
        with pytest.raises(NoRun):
            cancel(row, user=bob)
