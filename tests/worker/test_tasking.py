"""A worker that calls tasks: in threads of its own, each call once, with what became of it in the row."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections, transaction

from django_livesim import on_channel, send_to, task
from django_livesim.background import handlers
from django_livesim.models import Task, Worker
from django_livesim.store import tasks
from django_livesim.worker.tasking import DIES_WITH, LOCKED, TaskWorker

pytestmark = pytest.mark.django_db(transaction=True)

Start = Callable[..., TaskWorker]
Waiting = tuple[Any, threading.Event, list[int]]


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


@pytest.fixture
def waiting() -> Waiting:
    """A task that waits until it may go on; what lets it; and the numbers of the calls that have begun."""
    go, begun = threading.Event(), list[int]()

    @task(name="waits")
    def waits(number: int) -> None:
        begun.append(number)
        assert go.wait(30)

    return waits, go, begun


def on_its_own(act: Callable[[], Any]) -> Any:
    """In a thread, whose connection is closed after it."""

    def close_after() -> Any:
        try:
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(close_after).result(30)


def call_here(worker: TaskWorker) -> None:
    """What it has claimed, as by one of its threads."""
    worker._calls.put(None)
    worker._call_all()
    worker._wait(0.0)


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


def test_no_more_are_begun_than_there_are_threads(start: Start, wait: Any, waiting: Waiting) -> None:
    waits, go, begun = waiting
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


def test_one_that_drains_waits_for_what_runs_and_begins_nothing(
    start: Start, wait: Any, waiting: Waiting
) -> None:
    waits, go, begun = waiting
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


def test_what_takes_longer_than_the_grace_is_left_until_its_process_is_known_to_be_gone(
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
        wait(lambda: worker._is_over())
        assert [status(each) for each in tickets] == ["running", "running"]
        assert Worker.objects.get().state == "alive"
        Worker.objects.update(state=Worker.State.GONE)  # as whoever sees that its process has ended
        tasks.free()
        assert [status(each) for each in tickets] == ["failed", "waiting"]
        assert set(Task.objects.values_list("error", flat=True)) == {DIES_WITH}
    finally:
        go.set()


class Handler:
    """Of a channel: the first message waits until it may go on. What was in the handler at once is noted."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.inside: set[int] = set()
        self.most = 0
        self.go = threading.Event()
        on_channel("films")(self.handle)

    def handle(self, message: dict[str, Any]) -> None:
        self.begun.append(message["n"])
        self.inside.add(message["n"])
        self.most = max(self.most, len(self.inside))
        if message["n"] == 1:
            assert self.go.wait(30)
        self.inside.remove(message["n"])


def test_no_other_handles_a_channel_while_one_that_drains_is_at_it_past_its_grace(
    start: Start, wait: Any, settings: Any
) -> None:
    settings.LIVESIM = {**settings.LIVESIM, "LEASE_TTL": 60.0}
    handler = Handler()
    try:
        first = start(threads=1)
        tickets = [send_to("films", {"n": number}) for number in (1, 2)]
        wait(lambda: handler.begun == [1])
        left = Worker.objects.get()
        start(threads=1)
        settings.LIVESIM = {**settings.LIVESIM, "GRACE": 0.0}
        first.drain()
        wait(first._is_over)
        other = Worker.objects.exclude(id=left.id)
        wait(other.exists)
        beat = other.get().beat
        wait(lambda: other.get().beat > beat + 3)
        assert (status(tickets[0]), status(tickets[1]), handler.begun) == ("running", "waiting", [1])
    finally:
        handler.go.set()
    wait(lambda: not handler.inside)
    Worker.objects.filter(id=left.id).update(state=Worker.State.GONE)
    wait(lambda: status(tickets[1]) == "finished")
    assert (status(tickets[0]), handler.most) == ("failed", 1)


def test_one_that_was_declared_gone_handles_nothing_of_a_channel_that_it_is_at_still(
    start: Start, wait: Any
) -> None:
    handler = Handler()
    try:
        start(threads=2)
        tickets = [send_to("films", {"n": number}) for number in (1, 2)]
        wait(lambda: handler.begun == [1])
        Worker.objects.update(state=Worker.State.GONE)
        wait(lambda: status(tickets[0]) == "failed")
        wait(lambda: Worker.objects.filter(state="alive", beat__gt=3).exists())
        assert handler.begun == [1]
    finally:
        handler.go.set()
    wait(lambda: status(tickets[1]) == "finished")
    assert (handler.begun, handler.most) == ([1, 2], 1)


def test_one_that_was_declared_gone_begins_anew_and_calls_nothing_twice(
    start: Start, wait: Any, waiting: Waiting, caplog: pytest.LogCaptureFixture
) -> None:
    waits, go, begun = waiting
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


@pytest.fixture
def unheard(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The first claim that has any commits, and its answer is lost; what it has claimed."""
    claim, lost = tasks.claim, list[int]()

    def claim_unheard(*args: Any) -> list[Task]:
        rows = claim(*args)
        if rows and not lost:
            lost.extend(row.pk for row in rows)
            raise OperationalError("the answer to COMMIT was lost")
        return rows

    monkeypatch.setattr(tasks, "claim", claim_unheard)
    return lost


def test_what_was_claimed_unheard_is_called_and_not_lost(start: Start, wait: Any, unheard: list[int]) -> None:
    called: list[int] = []

    @task(name="once")
    def once(number: int) -> None:
        called.append(number)

    start()
    ticket = once.enqueue(1)
    wait(lambda: status(ticket) == "finished")
    assert unheard and called == [1]


def test_beside_what_was_claimed_unheard_no_more_is_claimed_than_there_are_threads(
    start: Start, wait: Any, waiting: Waiting, unheard: list[int]
) -> None:
    waits, go, begun = waiting
    tickets = waits.enqueue_many([number] for number in range(6))
    try:
        start(threads=2)
        wait(lambda: len(begun) == 2)
        beat = Worker.objects.get().beat
        wait(lambda: Worker.objects.get().beat > beat + 1)
        assert sorted(Task.objects.filter(status="running").values_list("pk", flat=True)) == unheard
    finally:
        go.set()
    wait(lambda: {status(each) for each in tickets} == {"finished"})
    assert sorted(begun) == list(range(6))


def test_a_call_whose_worker_was_declared_gone_before_it_began_is_not_begun() -> None:
    called: list[int] = []

    @task(name="once")
    def once(number: int) -> None:
        called.append(number)

    worker = TaskWorker()
    once.enqueue(1)
    worker._turn()  # claims it; there is no thread yet
    assert Task.objects.get().status == "running"
    assert worker._worker is not None
    worker._lose(worker._worker)
    call_here(worker)
    assert (called, worker._room()) == ([], worker._threads)


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


def test_one_whose_row_tells_it_to_leave_begins_nothing_more_however_much_there_is(settings: Any) -> None:
    settings.LIVESIM = {**settings.LIVESIM, "TASK_THREADS": 1, "BEAT": 60.0, "LEASE_TTL": 120.0}

    @task(name="short")
    def short(number: int) -> None: ...

    worker = TaskWorker()
    tickets = short.enqueue_many([number] for number in range(3))
    for _ in range(2):
        worker._turn()
        call_here(worker)
    Worker.objects.update(state=Worker.State.DRAINING)
    while not worker._is_over():
        worker._turn()
        assert worker._calls.empty()
    assert worker.told
    assert [status(each) for each in tickets] == ["finished", "finished", "waiting"]


def test_what_is_locked_is_looked_for_again_soon(row_locks: None) -> None:
    @task(name="once")
    def once(number: int) -> None: ...

    worker = TaskWorker()
    ticket = once.enqueue(1)
    with transaction.atomic():
        assert ticket.cancel()
        assert on_its_own(worker._turn) <= LOCKED
    assert worker._turn() > LOCKED


def test_what_came_back_and_is_locked_is_written_later(row_locks: None) -> None:
    @task(name="once")
    def once(number: int) -> None: ...

    worker = TaskWorker()
    tickets = once.enqueue_many([[1], [2]])
    worker._turn()
    call_here(worker)
    with transaction.atomic():
        Task.objects.select_for_update().get(pk=tickets[0].id)
        assert on_its_own(worker._turn) <= LOCKED
        assert [status(each) for each in tickets] == ["running", "finished"]
    worker._turn()
    assert status(tickets[0]) == "finished"
    assert not worker._held
