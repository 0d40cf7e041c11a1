"""A worker that calls tasks: in threads of its own, each call once, with what became of it in the row."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection

from django_livesim import on_channel, send_to, task
from django_livesim.background import handlers
from django_livesim.models import Task, Worker
from django_livesim.store import tasks
from django_livesim.worker.tasking import DIES_WITH, TaskWorker

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., TaskWorker]


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    before = dict(handlers.tasks), dict(handlers.channels)
    yield
    handlers.tasks, handlers.channels = before


@pytest.fixture
def start(settings: Any) -> Iterator[Start]:
    """A worker in a thread; drained at the end."""
    settings.LIVESIM = {**settings.LIVESIM, "BEAT": 0.1, "LEASE_TTL": 5.0, "GRACE": 10.0}
    begun: list[tuple[TaskWorker, threading.Thread]] = []

    def start(*, threads: int = 4) -> TaskWorker:
        settings.LIVESIM = {**settings.LIVESIM, "TASK_THREADS": threads}
        worker = TaskWorker()
        thread = threading.Thread(target=worker.run)
        begun.append((worker, thread))
        thread.start()
        return worker

    yield start
    for worker, _ in begun:
        worker.drain()
    for _, thread in begun:
        thread.join(30)
        assert not thread.is_alive()


def status(ticket: Any) -> str:
    return str(Task.objects.get(pk=ticket.id).status)


def test_tasks_are_called_with_their_arguments_sync_and_async(start: Start, wait: Any) -> None:
    called: list[Any] = []

    @task(name="sync")
    def sync(*args: Any, **kwargs: Any) -> None:
        called.append((args, kwargs, connection.in_atomic_block))

    @task(name="async")
    async def asynchronous(name: str) -> None:
        called.append(name)

    start()
    first, second = sync.enqueue(1, [2], key="x"), asynchronous.enqueue("Ann")
    wait(lambda: status(first) == status(second) == "finished")
    assert ((1, [2]), {"key": "x"}, False) in called and "Ann" in called
    assert len(called) == 2


def test_what_async_tasks_ask_the_orm_they_ask_in_threads_of_their_own(start: Start, wait: Any) -> None:
    asked, both = list[str](), threading.Barrier(2)

    def ask() -> None:
        both.wait(30)
        asked.append(threading.current_thread().name)

    @task(name="asks")
    async def asks(number: int) -> None:
        await sync_to_async(ask)()

    start(threads=2)
    tickets = asks.enqueue_many([[1], [2]])
    wait(lambda: {status(each) for each in tickets} == {"finished"})
    assert sorted(asked) == ["livesim-task-1", "livesim-task-2"]


def test_a_task_that_raises_has_failed_with_its_traceback_and_the_worker_goes_on(
    start: Start, wait: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @task(name="fails")
    def fails(how: str) -> None:
        raise {"value": ValueError, "exit": SystemExit}[how]("something unheard of")

    start(threads=1)
    tickets = [fails.enqueue("value"), fails.enqueue("exit")]
    wait(lambda: [status(each) for each in tickets] == ["failed", "failed"])
    errors = Task.objects.order_by("pk").values_list("error", flat=True)
    assert all("something unheard of" in error and "in fails" in error for error in errors)
    assert "has failed" in caplog.text


def test_one_with_retries_is_called_again(start: Start, wait: Any) -> None:
    attempts: list[int] = []

    @task(name="twice", retries=3, backoff=0.05)
    def twice() -> None:
        attempts.append(1)
        if len(attempts) < 3:
            raise ValueError

    start()
    ticket = twice.enqueue()
    wait(lambda: status(ticket) == "finished")
    row = Task.objects.get()
    assert len(attempts) == row.attempts == 3
    assert row.error == ""


def test_messages_of_a_channel_are_handled_one_after_the_other(start: Start, wait: Any) -> None:
    handled: list[int] = []
    at_once = threading.Semaphore(1)

    @on_channel("thumbnails")
    def make(message: dict[str, Any]) -> None:
        assert at_once.acquire(blocking=False)
        handled.append(message["image_id"])
        at_once.release()

    tickets = [send_to("thumbnails", {"image_id": number}) for number in range(20)]
    start()
    start()
    wait(lambda: {status(each) for each in tickets} == {"finished"})
    assert handled == list(range(20))


def test_a_message_that_sends_the_next_one(start: Start, wait: Any) -> None:
    polled: list[int] = []

    @on_channel("poll")
    def poll(message: dict[str, Any]) -> None:
        polled.append(message["n"])
        if message["n"] < 3:
            send_to("poll", {"n": message["n"] + 1}, delay=0.05)

    start()
    send_to("poll", {"n": 1})
    wait(lambda: polled == [1, 2, 3])


def test_no_more_are_begun_than_there_are_threads(start: Start, wait: Any) -> None:
    go, begun = threading.Event(), list[int]()

    @task(name="waits")
    def waits(number: int) -> None:
        begun.append(number)
        assert go.wait(30)

    try:
        start(threads=2)
        tickets = waits.enqueue_many([number] for number in range(5))
        wait(lambda: len(begun) == 2)
        assert Task.objects.filter(status="running").count() == 2
        load = Worker.objects.get().load
        wait(lambda: Worker.objects.get().load["tasks"]["running"] == 2)
        assert load["simulations"] == {}
    finally:
        go.set()
    wait(lambda: {status(each) for each in tickets} == {"finished"})


def test_one_that_drains_waits_for_what_runs_and_begins_nothing(start: Start, wait: Any) -> None:
    go, begun = threading.Event(), list[int]()

    @task(name="waits")
    def waits(number: int) -> None:
        begun.append(number)
        assert go.wait(30)

    try:
        worker = start(threads=1)
        tickets = waits.enqueue_many([[1], [2]])
        wait(lambda: begun == [1])
        worker.drain()
        wait(lambda: worker._leaves_at < float("inf"))
    finally:
        go.set()
    wait(lambda: Worker.objects.get().state == "gone")
    assert [status(each) for each in tickets] == ["finished", "waiting"]
    assert Worker.objects.get().explained


def test_what_takes_longer_than_the_grace_has_failed_unless_it_has_retries(
    start: Start, wait: Any, settings: Any
) -> None:
    go, begun = threading.Event(), list[str]()

    def waits(which: str) -> None:
        begun.append(which)
        go.wait(30)

    once, again = task(name="once")(waits), task(name="again", retries=1, backoff=60.0)(waits)
    try:
        worker = start(threads=2)
        settings.LIVESIM = {**settings.LIVESIM, "GRACE": 0.0}
        tickets = [once.enqueue("once"), again.enqueue("again")]
        wait(lambda: len(begun) == 2)
        worker.drain()
        wait(lambda: Worker.objects.get().state == "gone")
        assert [status(each) for each in tickets] == ["failed", "waiting"]
        assert set(Task.objects.values_list("error", flat=True)) == {DIES_WITH}
    finally:
        go.set()


def test_one_that_was_declared_gone_begins_anew_and_calls_nothing_twice(
    start: Start, wait: Any, caplog: pytest.LogCaptureFixture
) -> None:
    go, begun = threading.Event(), list[int]()

    @task(name="waits")
    def waits(number: int) -> None:
        begun.append(number)
        assert go.wait(30)

    try:
        start(threads=2)
        lost = waits.enqueue(1)
        wait(lambda: begun == [1])
        first = Worker.objects.get()
        Worker.objects.filter(id=first.id).update(state=Worker.State.GONE)
        wait(lambda: Worker.objects.count() == 2 and status(lost) == "failed")
    finally:
        go.set()
    following = waits.enqueue(2)
    wait(lambda: status(following) == "finished")
    assert begun == [1, 2] and status(lost) == "failed"
    assert "declared gone" in caplog.text


def test_what_was_claimed_unheard_is_called_and_not_lost(
    start: Start, wait: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []
    claim, lost = tasks.claim, list[int]()

    def unheard(*args: Any) -> list[Task]:
        rows = claim(*args)
        if rows and not lost:
            lost.append(rows[0].pk)
            raise OperationalError("the answer to COMMIT was lost")
        return rows

    monkeypatch.setattr(tasks, "claim", unheard)

    @task(name="once")
    def once(number: int) -> None:
        called.append(number)

    start()
    ticket = once.enqueue(1)
    wait(lambda: status(ticket) == "finished")
    assert lost and called == [1]


def test_what_a_host_has_put_around_a_call_ends_no_thread(start: Start, wait: Any) -> None:
    class Breaks(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise LookupError

    @task(name="fails")
    def fails() -> None:
        raise ValueError

    log, breaks = logging.getLogger("django_livesim.worker.tasking"), Breaks()
    log.addFilter(breaks)
    try:
        start(threads=1)
        tickets = fails.enqueue_many([[], []])
        wait(lambda: {status(each) for each in tickets} == {"failed"})
    finally:
        log.removeFilter(breaks)


def test_one_whose_row_tells_it_to_leave_does(start: Start, wait: Any) -> None:
    worker = start()
    wait(lambda: Worker.objects.filter(state="alive").exists())
    Worker.objects.update(state=Worker.State.DRAINING)
    wait(lambda: Worker.objects.get().state == "gone")
    assert worker.told
