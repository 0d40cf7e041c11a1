"""Tasks that a test has called by itself, inside its own transaction."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test import TestCase
from django.utils import timezone

from django_livesim import on_channel, send_to, task
from django_livesim.background import handlers
from django_livesim.models import Task, Worker
from django_livesim.testing import run_tasks

pytestmark = pytest.mark.django_db

called: list[Any] = []


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    before = dict(handlers.tasks), dict(handlers.channels)
    called.clear()
    yield
    handlers.tasks, handlers.channels = before


def note(**options: Any) -> Any:
    """A task that notes what it is called with, and raises it where it is an exception."""

    @task(name="note", **options)
    def note(what: Any) -> None:
        called.append(what)
        if what == "fails":
            raise ValueError("something unheard of")

    return note


def rows() -> list[tuple[str, int]]:
    return list(Task.objects.order_by("pk").values_list("status", "attempts"))


def test_what_is_due_is_called_in_order_and_its_rows_are_written() -> None:
    noting = note()
    noting.enqueue_many([[1], [2]])
    noting.using(queue="default").enqueue(3)
    assert run_tasks() == 3
    assert called == [1, 2, 3]
    assert rows() == [("finished", 1)] * 3
    assert Task.objects.filter(ended_at=None).count() == 0
    assert run_tasks() == 0
    assert set(Worker.objects.values_list("state", flat=True)) == {"gone"}


def test_of_every_queue() -> None:
    note(queue="heavy").enqueue(1)
    assert run_tasks() == 1


def test_what_waits_for_its_time_is_called_with_later_alone_in_the_order_of_the_times() -> None:
    noting = note()
    noting.using(delay=3600).enqueue("in an hour")
    noting.using(at=timezone.now() + timedelta(days=1)).enqueue("tomorrow")
    noting.using(delay=60).enqueue("in a minute")
    noting.enqueue("now")
    assert run_tasks() == 1
    assert run_tasks(later=True) == 3
    assert called == ["now", "in a minute", "in an hour", "tomorrow"]


def test_what_is_enqueued_meanwhile_is_called_too() -> None:
    noting = note()

    @on_channel("poll")
    def poll(message: dict[str, Any]) -> None:
        noting.enqueue(message["n"])
        if message["n"] < 3:
            send_to("poll", {"n": message["n"] + 1}, delay=5)

    send_to("poll", {"n": 1})
    assert run_tasks() == 2
    assert run_tasks(later=True) == 4
    assert called == [1, 2, 3]


def test_one_without_end_is_told() -> None:
    @on_channel("poll")
    def poll(message: dict[str, Any]) -> None:
        send_to("poll", {}, delay=5)

    send_to("poll", {})
    with pytest.raises(RuntimeError, match=r"has made 7 calls and sees no end"):
        run_tasks(later=True, most=7)
    assert rows().count(("finished", 1)) == 7


def test_an_exception_is_raised_and_stands_in_the_row_and_the_others_wait() -> None:
    note().enqueue_many([["fails"], [2]])
    with pytest.raises(ValueError, match="something unheard of"):
        run_tasks()
    assert rows() == [("failed", 1), ("waiting", 0)]
    assert "something unheard of" in Task.objects.earliest("pk").error
    assert run_tasks() == 1


def test_of_a_task_with_retries_each_exception_is_raised_and_it_waits_for_the_next() -> None:
    note(retries=1).enqueue("fails")
    for expected in ("waiting", "failed"):
        with pytest.raises(ValueError, match="something unheard of"):
            run_tasks(later=True)
        assert rows()[0][0] == expected
    assert called == ["fails", "fails"]


def test_a_message_that_waits_to_be_tried_again_holds_its_channel() -> None:
    @on_channel("strict", retries=1)
    def strict(message: dict[str, Any]) -> None:
        called.append(message["n"])
        if called == [1]:
            raise ValueError("at first")

    for number in (1, 2):
        send_to("strict", {"n": number})
    with pytest.raises(ValueError, match="at first"):
        run_tasks()
    assert run_tasks() == 0
    assert run_tasks(later=True) == 2
    assert called == [1, 1, 2]


def test_an_async_task_has_the_connection_of_the_test() -> None:
    @task(name="counts")
    async def counts() -> None:
        called.append(await User.objects.acount())
        await User.objects.acreate(username="Ben")

    User.objects.create(username="Ann")
    counts.enqueue()
    run_tasks()
    assert called == [1]
    assert User.objects.filter(username="Ben").exists()


def test_a_task_that_breaks_the_transaction_of_the_test_tells_its_own_error() -> None:
    @task(name="breaks")
    def breaks() -> None:
        User.objects.bulk_create([User(username="Ann"), User(username="Ann")])

    breaks.enqueue()
    with pytest.raises(IntegrityError), transaction.atomic():
        run_tasks()


def test_the_transaction_of_the_test_waits_for_locks_as_it_did(row_locks: None) -> None:
    def limits() -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT name, setting FROM pg_settings WHERE name IN"
                " ('lock_timeout', 'idle_in_transaction_session_timeout') ORDER BY name"
            )
            return cursor.fetchall()

    @task(name="looks")
    def looks() -> None:
        called.append(limits())

    before = limits()
    looks.enqueue()
    run_tasks()
    assert called == [before]
    assert limits() == before


class InATestCase(TestCase):
    """Whose transaction is rolled back in the end."""

    def test_it_is_called(self) -> None:
        note().enqueue("in a TestCase")
        assert connection.in_atomic_block
        assert run_tasks() == 1
        assert called == ["in a TestCase"]
