"""Claims of tasks and messages: each is called by one worker, those of a channel one after the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import timedelta
from itertools import chain
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import signals
from django.utils import timezone

from django_livesim.gateway import enqueuing
from django_livesim.models import Task, Worker
from django_livesim.store import tasks
from django_livesim.store.deadlines import within
from django_livesim.store.tasks import Able, Called

pytestmark = pytest.mark.django_db
THREADS = pytest.mark.django_db(transaction=True)

ABLE = Able(queues=("default",), tasks=("resize",), channels=("first", "second"))
ALL = 100


def worker() -> UUID:
    return Worker.objects.create(queues=["default"]).id


def make(name: str = "resize", **fields: Any) -> int:
    kind = Task.Kind.TASK if name == "resize" else Task.Kind.MESSAGE
    return Task.objects.create(name=name, kind=kind, args={}, **fields).pk


def claimed(by: UUID, *, limit: int = ALL, held: Any = (), able: Able = ABLE) -> list[int]:
    return [row.pk for row in tasks.claim(by, held, able, limit)]


def end(by: UUID, *which: int, error: str = "") -> None:
    attempts = dict(Task.objects.filter(pk__in=which).values_list("pk", "attempts"))
    tasks.settle(by, [Called(task=task, attempt=attempts[task], error=error) for task in which])


def seconds_until(task: int) -> float:
    due = Task.objects.get(pk=task).due_at
    assert due is not None
    return float((due - timezone.now()).total_seconds())


def status(task: int) -> str:
    return str(Task.objects.get(pk=task).status)


def apart(act: Callable[[], Any]) -> Any:
    """In a thread of its own, whose connection is closed after it, and that waits ten seconds for a lock."""
    try:
        with within(10.0):
            return act()
    finally:
        connections.close_all()


class TestClaiming:
    def test_the_oldest_come_first_and_no_more_than_there_is_room_for(self) -> None:
        rows = [make() for _ in range(5)]
        me = worker()
        assert claimed(me, limit=2) == rows[:2]
        assert claimed(me, limit=2, held=rows[:2]) == rows[2:4]
        assert claimed(me, limit=0, held=rows[:4]) == []

    def test_what_is_claimed_is_nobody_elses(self) -> None:
        row, me, other = make(), worker(), worker()
        assert claimed(me) == [row]
        assert claimed(other) == []
        kept = Task.objects.get()
        assert (kept.status, kept.worker_id, kept.attempts) == ("running", me, 1)

    def test_what_a_worker_has_and_does_not_know_of_it_finds(self) -> None:
        row, me = make(), worker()
        claimed(me)
        assert claimed(me, limit=0) == [row]

    def test_only_what_the_code_has_of_its_queues(self) -> None:
        make(queue="heavy")
        make("third")
        row, me = make(), worker()
        assert claimed(me) == [row]

    def test_nothing_before_its_time(self) -> None:
        later = make(due_at=timezone.now() + timedelta(hours=1))
        due = make(due_at=timezone.now() - timedelta(seconds=1))
        me = worker()
        assert claimed(me) == [due]
        look = tasks.look(me, ABLE)
        assert not look.due and look.seconds is not None and 3500 < look.seconds <= 3600
        assert status(later) == "waiting"

    @THREADS
    def test_workers_that_claim_at_once_share_and_never_double(self) -> None:
        rows = {make() for _ in range(60)}
        together, found = Barrier(3), list[list[int]]()

        def take(me: UUID) -> None:
            held: list[int] = []
            together.wait()
            try:
                while len(held) < len(rows) and tasks.look(me, ABLE).due:
                    held += claimed(me, limit=4, held=held)
            finally:
                connections.close_all()
            found.append(held)

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(take, [worker() for _ in range(3)]))
        assert sorted(chain.from_iterable(found)) == sorted(rows)

    def test_a_worker_that_is_gone_claims_nothing(self) -> None:
        row, me, other = make("first"), worker(), worker()
        Worker.objects.filter(id=me).update(state=Worker.State.GONE)
        assert claimed(me) == []
        assert claimed(other) == [row]

    def test_a_worker_that_was_told_to_leave_claims_nothing(self) -> None:
        row, me, other = make(), worker(), worker()
        Worker.objects.filter(id=me).update(state=Worker.State.DRAINING)
        assert claimed(me) == []
        assert claimed(other) == [row]

    def test_what_a_worker_has_and_does_not_know_of_it_finds_though_another_was_quicker(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row, me = make(), worker()
        claimed(me)

        def collide(*args: Any) -> None:
            raise IntegrityError

        monkeypatch.setattr(tasks, "_claim", collide)
        assert claimed(me) == [row]

    def test_what_was_claimed_and_is_given_back_was_never_called(self) -> None:
        rows, me = [make() for _ in range(2)], worker()
        claimed(me)
        tasks.give_back(me, rows[:1])
        assert [status(row) for row in rows] == ["running", "waiting"]
        assert Task.objects.get(pk=rows[1]).attempts == 0

    @THREADS
    def test_what_somebody_has_locked_holds_up_no_other(self, row_locks: None) -> None:
        locked, other, me = make(), make(), worker()
        with transaction.atomic():
            assert tasks.cancel(locked)
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(apart, lambda: claimed(me)).result(30) == [other]

    @THREADS
    def test_those_behind_what_somebody_has_locked_are_claimed(self, row_locks: None) -> None:
        locked, others, me = [make() for _ in range(4)], [make() for _ in range(5)], worker()
        with transaction.atomic():
            assert all(tasks.cancel(row) for row in locked)
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(apart, lambda: claimed(me, limit=4)).result(30) == others[:4]

    @THREADS
    def test_beside_a_claim_that_has_not_committed_another_has_the_next(self, row_locks: None) -> None:
        rows, me, other = [make() for _ in range(10)], worker(), worker()
        with transaction.atomic():
            assert claimed(me, limit=4) == rows[:4]
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(apart, lambda: claimed(other, limit=4)).result(30) == rows[4:8]


class TestChannels:
    def test_one_message_of_each_at_a_time_in_order(self) -> None:
        first, second = [make("first") for _ in range(3)], [make("second") for _ in range(2)]
        me, other = worker(), worker()
        assert claimed(me) == [first[0], second[0]]
        assert claimed(other) == []
        end(me, second[0])
        assert claimed(other) == [second[1]]
        end(me, first[0])
        assert claimed(other, held=[second[1]]) == [first[1]]

    def test_one_that_waits_to_be_tried_again_holds_its_channel(self) -> None:
        rows = [make("first", retries=1, backoff=60.0) for _ in range(2)]
        me = worker()
        assert claimed(me) == rows[:1]
        end(me, rows[0], error="boom")
        assert claimed(me) == []
        Task.objects.filter(pk=rows[0]).update(due_at=timezone.now() - timedelta(seconds=1))
        assert claimed(me) == rows[:1]
        end(me, rows[0], error="boom")
        assert status(rows[0]) == "failed"
        assert claimed(me) == rows[1:]

    @THREADS
    def test_the_first_that_somebody_has_locked_is_not_passed_over(self, row_locks: None) -> None:
        first, second, me = make("first"), make("first"), worker()
        with transaction.atomic():
            Task.objects.select_for_update().get(pk=first)
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(apart, lambda: claimed(me)).result(30) == []
        assert claimed(me) == [first]
        assert status(second) == "waiting"

    def test_the_order_survives_a_change_of_the_queue(self) -> None:
        old, new = make("first", queue="old"), make("first", queue="new")
        me, other = worker(), worker()
        able, able_too = replace(ABLE, queues=("new",)), replace(ABLE, queues=("new", "old"))
        assert claimed(me, able=able) == []
        assert not tasks.look(me, able).due
        assert claimed(other, able=able_too) == [old]
        assert claimed(me, able=able) == []
        end(other, old)
        assert claimed(me, able=able) == [new]

    def test_one_that_is_tried_again_comes_before_an_older_one_that_is_due_since(self) -> None:
        older, holder = make("first", due_at=timezone.now() + timedelta(hours=1)), make("first", retries=1)
        me = worker()
        assert claimed(me) == [holder]
        end(me, holder, error="boom")
        Task.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        assert claimed(me) == [holder]
        end(me, holder)
        assert claimed(me) == [older]

    def test_what_waits_for_the_one_before_it_is_not_due(self) -> None:
        make("first"), make("first")
        me = worker()
        assert tasks.look(me, ABLE).due
        claimed(me)
        assert not tasks.look(me, ABLE).due

    def test_one_that_waits_for_its_time_holds_up_nobody(self) -> None:
        make("first", due_at=timezone.now() + timedelta(hours=1))
        now = make("first")
        assert claimed(worker()) == [now]

    @THREADS
    def test_two_workers_that_claim_at_once_never_have_one_channel_both(self) -> None:
        rows = [make("first") for _ in range(12)]
        order: list[int] = []

        def take(me: UUID) -> None:
            try:
                while len(order) < len(rows):
                    for row in claimed(me, limit=1):
                        assert Task.objects.filter(name="first", status="running").count() == 1
                        order.append(row)
                        end(me, row)
            finally:
                connections.close_all()

        with ThreadPoolExecutor(3) as pool:
            list(pool.map(take, [worker() for _ in range(3)]))
        assert order == rows


class TestEnding:
    def test_one_that_came_back_has_finished(self) -> None:
        row, me = make(), worker()
        claimed(me)
        end(me, row)
        kept = Task.objects.get()
        assert (kept.status, kept.worker, kept.error) == ("finished", None, "")
        assert kept.ended_at is not None

    def test_one_that_raised_has_failed_with_its_traceback(self) -> None:
        row, me = make(), worker()
        claimed(me)
        end(me, row, error="Traceback ... ZeroDivisionError")
        kept = Task.objects.get()
        assert (kept.status, kept.error) == ("failed", "Traceback ... ZeroDivisionError")

    def test_retries_come_after_pauses_that_grow_up_to_an_hour(self) -> None:
        row, me = make(retries=1000, backoff=5.0), worker()
        pauses = []
        for attempts in (0, 1, 2, 3, 20, 999):
            Task.objects.filter(pk=row).update(attempts=attempts, due_at=None)
            claimed(me)
            end(me, row, error="boom")
            pauses.append(seconds_until(row))
        assert pauses == pytest.approx([5, 10, 20, 40, 3600, 3600], abs=2)

    def test_what_a_worker_writes_that_was_declared_gone_changes_nothing(self) -> None:
        row, me, other = make(retries=1, backoff=0.001), worker(), worker()
        claimed(me)
        Worker.objects.filter(id=me).update(state=Worker.State.GONE)
        assert tasks.free()
        Task.objects.update(due_at=None)
        assert claimed(other) == [row]
        tasks.settle(me, [Called(task=row, attempt=1)])
        assert status(row) == "running"

    @pytest.mark.parametrize(("retries", "status"), [(0, "failed"), (1, "waiting")])
    def test_what_a_dead_worker_had_fails_or_is_tried_again_if_it_asked_for_that(
        self, retries: int, status: str
    ) -> None:
        row, me = make(retries=retries), worker()
        claimed(me)
        assert not tasks.free()
        Worker.objects.filter(id=me).update(state=Worker.State.GONE)
        assert tasks.free()
        kept = Task.objects.get(pk=row)
        assert (kept.status, kept.error, kept.worker) == (status, tasks.DIED, None)
        assert not tasks.free()

    @THREADS
    def test_what_somebody_has_locked_is_settled_later_and_holds_up_no_other(self, row_locks: None) -> None:
        me, rows = worker(), [make() for _ in range(3)]
        claimed(me)
        called = [
            Called(task=row, attempt=1, error=error)
            for row, error in zip(rows, ("", "", "boom"), strict=True)
        ]
        with transaction.atomic():
            Task.objects.select_for_update().get(pk=rows[0])
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(apart, lambda: tasks.settle(me, called)).result(30) == {rows[0]}
            assert [status(row) for row in rows] == ["running", "finished", "failed"]
        assert tasks.settle(me, called) == set()
        assert [status(row) for row in rows] == ["finished", "finished", "failed"]

    @THREADS
    def test_what_somebody_has_locked_is_freed_later_and_holds_up_no_other(self, row_locks: None) -> None:
        me, rows = worker(), [make() for _ in range(2)]
        claimed(me)
        Worker.objects.filter(id=me).update(state=Worker.State.GONE)
        with transaction.atomic():
            Task.objects.select_for_update().get(pk=rows[0])
            with ThreadPoolExecutor(1) as pool:
                assert pool.submit(apart, tasks.free).result(30)
            assert [status(row) for row in rows] == ["running", "failed"]
        assert tasks.free()
        assert [status(row) for row in rows] == ["failed", "failed"]

    def test_what_a_worker_had_whose_row_is_no_more(self) -> None:
        row, me = make(), worker()
        claimed(me)
        Worker.objects.filter(id=me).delete()
        assert tasks.free()
        assert status(row) == "failed"


class TestAgain:
    @pytest.mark.parametrize("ended", ["failed", "cancelled"])
    def test_one_that_is_over_is_called_as_if_never_before(self, ended: str) -> None:
        row = make(status=ended, attempts=3, error="boom", ended_at=timezone.now())
        assert tasks.again([row]) == 1
        assert claimed(worker()) == [row]
        assert Task.objects.get().attempts == 1

    @pytest.mark.parametrize("going_on", ["waiting", "running", "finished"])
    def test_no_other(self, going_on: str) -> None:
        row = make(status=going_on)
        assert tasks.again([row]) == 0
        assert tasks.cancel(row) == (going_on == "waiting")

    def test_it_is_due_from_then_on(self) -> None:
        row = make(status="failed", due_at=timezone.now() - timedelta(days=3), ended_at=timezone.now())
        tasks.again([row])
        assert -60 < seconds_until(row) <= 0


class TestDeleting:
    @pytest.mark.parametrize(("state", "deleted"), [("failed", True), ("running", False), ("waiting", False)])
    def test_only_what_is_over(self, state: str, deleted: bool) -> None:
        row = make(status=state)
        assert tasks.delete(row) == deleted
        assert Task.objects.exists() != deleted

    @THREADS
    def test_one_that_is_called_again_meanwhile_is_not_deleted(self, row_locks: None) -> None:
        row, again = make(status="failed", ended_at=timezone.now()), list[Future[int]]()

        def meanwhile(sender: Any, **told: Any) -> None:
            again.append(pool.submit(apart, lambda: tasks.again([row])))
            wait([*again], timeout=1.0)  # it may have to wait for the deletion

        signals.pre_delete.connect(meanwhile, sender=Task)
        try:
            with ThreadPoolExecutor(1) as pool:
                deleted = bool(enqueuing.delete([row]))
        finally:
            signals.pre_delete.disconnect(meanwhile, sender=Task)
        assert deleted != again[0].result()
        assert Task.objects.exists() != deleted


@pytest.mark.parametrize(("state", "seen"), [("gone", "gone"), ("draining", "told_to_leave")])
def test_a_worker_sees_what_its_row_says(state: str, seen: str) -> None:
    me = worker()
    Worker.objects.filter(id=me).update(state=state)
    assert getattr(tasks.look(me, ABLE), seen)


def test_a_look_is_one_statement(django_assert_num_queries: Callable[[int], Any]) -> None:
    make()
    me = worker()
    with django_assert_num_queries(1):
        assert tasks.look(me, ABLE).due
