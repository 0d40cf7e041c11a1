"""Tasks and messages as they are enqueued: one row each, in the caller's transaction."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from django_livesim import BadArgs, LivesimError, RegistrationError, asend_to, on_channel, send_to, task
from django_livesim.background import handlers
from django_livesim.bus import local
from django_livesim.gateway import backlog, enqueuing
from django_livesim.models import Task
from django_livesim.protocol.errors import NoRun
from django_livesim.protocol.names import TASKS_CHANNEL, TaskStatus

pytestmark = pytest.mark.django_db
COMMITS = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    """What a test enters is taken out again."""
    before = dict(handlers.tasks), dict(handlers.channels)
    yield
    handlers.tasks, handlers.channels = before


@pytest.fixture
def resize() -> Any:
    @task(name="photos.resize")
    def resize(image: int, *, width: int = 100) -> int:
        return image * width

    return resize


@pytest.fixture
def rings() -> Iterator[list[Any]]:
    heard: list[Any] = []
    unsubscribe = local.subscribe(TASKS_CHANNEL, heard.append)
    yield heard
    unsubscribe()


@COMMITS
def test_a_call_becomes_a_row_with_its_arguments_and_rings(resize: Any, rings: list[Any]) -> None:
    ticket = resize.enqueue(3, width=50)
    row = Task.objects.get()
    assert (row.pk, row.kind, row.name, row.queue) == (ticket.id, "task", "photos.resize", "default")
    assert row.args == [[3], {"width": 50}]
    assert ticket.status() is TaskStatus.WAITING
    assert [ring["type"] for ring in rings] == ["livesim.ring"]


def test_called_as_a_function_it_runs_here(resize: Any) -> None:
    assert resize(3, width=2) == 6
    assert not Task.objects.exists()


@COMMITS
async def test_from_a_coroutine(resize: Any) -> None:
    ticket = await resize.aenqueue(4)
    assert await ticket.astatus() is TaskStatus.WAITING
    assert await ticket.acancel()
    assert await ticket.astatus() is TaskStatus.CANCELLED


@COMMITS
def test_what_is_rolled_back_has_never_been(resize: Any, rings: list[Any]) -> None:
    with transaction.atomic():
        resize.enqueue(3)
        transaction.set_rollback(True)
    assert not Task.objects.exists() and not rings


@COMMITS
def test_the_worker_is_rung_after_the_commit_and_not_before(resize: Any, rings: list[Any]) -> None:
    with transaction.atomic():
        resize.enqueue(3)
        assert not rings
    assert rings


def test_many_are_enqueued_at_once_or_none(resize: Any) -> None:
    tickets = resize.enqueue_many([number] for number in range(1200))
    rows = list(Task.objects.order_by("pk").values_list("pk", "args"))
    assert rows == [(ticket.id, [[number], {}]) for number, ticket in enumerate(tickets)]
    with pytest.raises(BadArgs):
        resize.enqueue_many([[1], []])
    assert Task.objects.count() == 1200


class TestWhen:
    def test_a_delay_is_reckoned_by_the_clock_of_the_database(self, resize: Any) -> None:
        before = timezone.now()
        resize.using(delay=60).enqueue(3)
        due = Task.objects.get().due_at - before
        assert timedelta(seconds=55) < due < timedelta(seconds=120)

    def test_a_moment_is_kept(self, resize: Any) -> None:
        at = datetime(2030, 1, 2, 3, 4, tzinfo=UTC)
        resize.using(at=at).enqueue(3)
        assert Task.objects.get().due_at == at

    @pytest.mark.parametrize("delay", [-1, -0.001, math.nan, math.inf, True, "3", 10**10])
    def test_a_delay_that_cannot_be_is_refused(self, resize: Any, delay: Any) -> None:
        with pytest.raises(BadArgs, match="delay is seconds") as refused:
            resize.using(delay=delay).enqueue(3)
        assert list(refused.value.fields) == ["delay"]
        assert not Task.objects.exists()

    @pytest.mark.parametrize("at", [datetime(2030, 1, 1), "tomorrow", 3])
    def test_a_moment_that_cannot_be_is_refused(self, resize: Any, at: Any) -> None:
        with pytest.raises(BadArgs, match="a datetime with a time zone"):
            resize.using(at=at).enqueue(3)

    def test_not_both(self, resize: Any) -> None:
        with pytest.raises(BadArgs, match="not both"):
            resize.using(at=timezone.now(), delay=3).enqueue(3)

    def test_an_unknown_queue_is_refused_and_the_known_ones_are_named(self, resize: Any) -> None:
        task(name="photos.heavy", queue="heavy")(lambda: None)
        with pytest.raises(BadArgs, match=r"no queue 'hevay'\. Expected one of: default, heavy"):
            resize.using(queue="hevay").enqueue(3)
        resize.using(queue="heavy").enqueue(3)
        assert Task.objects.get().queue == "heavy"

    def test_what_waits_can_be_cancelled_once(self, resize: Any) -> None:
        ticket = resize.using(delay=60).enqueue(3)
        assert ticket.cancel() and not ticket.cancel()
        assert ticket.status() is TaskStatus.CANCELLED

    def test_the_status_of_a_row_that_is_no_more(self, resize: Any) -> None:
        ticket = resize.enqueue(3)
        Task.objects.all().delete()
        with pytest.raises(NoRun, match="it has been removed, or was rolled back"):
            ticket.status()

    def test_the_ticket_of_what_was_rolled_back_is_nobody_elses(self, resize: Any) -> None:
        with transaction.atomic():
            mine = resize.enqueue(3)
            transaction.set_rollback(True)
        other = resize.enqueue(4)
        with pytest.raises(NoRun):
            mine.status()
        assert not mine.cancel()
        assert other.status() is TaskStatus.WAITING


class TestId:
    def test_a_number_that_the_database_writes_in_another_way_is_the_same(self, resize: Any) -> None:
        assert resize.using(id="7").enqueue(1e23) == resize.using(id="7").enqueue(1e23)

    @COMMITS
    def test_of_one_id_there_is_one_row(self, resize: Any, rings: list[Any]) -> None:
        first, second = (resize.using(id="upload-7").enqueue(7) for _ in range(2))
        assert first == second
        assert Task.objects.count() == len(rings) == 1

    def test_the_same_id_with_other_arguments_is_refused(self, resize: Any) -> None:
        resize.using(id="upload-7").enqueue(7)
        with pytest.raises(LivesimError, match="other arguments") as refused:
            resize.using(id="upload-7").enqueue(8)
        assert refused.value.code == "duplicate_id"

    def test_each_task_has_ids_of_its_own(self, resize: Any) -> None:
        other = task(name="photos.other")(lambda image: None)
        resize.using(id="7").enqueue(7)
        other.using(id="7").enqueue(7)
        assert Task.objects.count() == 2

    @pytest.mark.parametrize("id", ["", "x" * 201, "a\nb", 3])
    def test_an_id_that_cannot_be_is_refused(self, resize: Any, id: Any) -> None:
        with pytest.raises(BadArgs, match="id is a text"):
            resize.using(id=id).enqueue(3)


class TestArguments:
    @pytest.mark.parametrize(
        ("args", "said"),
        [
            ([], "missing a required argument"),
            ([1, 2], "too many positional arguments"),
            ([{1, 2}], "of type set"),
            ([object()], "of type object"),
            ([math.nan], "which JSON has no word for"),
            (["a\x00b"], "NUL"),
            (["x" * (9 * 2**20)], "MAX_STATE_BYTES"),
        ],
    )
    def test_bad_ones_are_refused_where_it_is_enqueued(self, resize: Any, args: Any, said: str) -> None:
        with pytest.raises(BadArgs, match=said):
            resize.enqueue(*args)
        assert not Task.objects.exists()

    def test_a_function_that_was_taken_out_is_refused(self, resize: Any) -> None:
        handlers.tasks.pop(resize.name)
        with pytest.raises(BadArgs, match="not registered"):
            resize.enqueue(3)


class TestChannels:
    @pytest.fixture(autouse=True)
    def _handler(self) -> None:
        on_channel("thumbnails", queue="heavy", retries=2)(lambda message: None)

    @COMMITS
    def test_a_message_becomes_a_row(self, rings: list[Any]) -> None:
        ticket = send_to("thumbnails", {"image_id": 3}, delay=5)
        row = Task.objects.get()
        assert (row.pk, row.kind, row.name, row.args) == (ticket.id, "message", "thumbnails", {"image_id": 3})
        assert (row.queue, row.retries) == ("heavy", 2) and row.due_at is not None
        assert rings

    @COMMITS
    async def test_from_a_coroutine(self) -> None:
        ticket = await asend_to("thumbnails", {"image_id": 3}, id="3")
        assert ticket == await asend_to("thumbnails", {"image_id": 3}, id="3")

    @pytest.mark.parametrize("channel", ["thumbnail", "livesim.runs", "livesim.x", "specific.abc!def", 3, ""])
    def test_a_channel_that_nobody_handles_is_refused(self, channel: Any) -> None:
        with pytest.raises(BadArgs, match=r"Expected one of: thumbnails") as refused:
            send_to(channel, {})
        assert list(refused.value.fields) == ["channel"]
        assert not Task.objects.exists()

    @pytest.mark.parametrize("message", [None, [1], "text", 3])
    def test_a_message_is_a_dict(self, message: Any) -> None:
        with pytest.raises(BadArgs, match="A message is a dict"):
            send_to("thumbnails", message)


class TestEntering:
    @pytest.mark.parametrize("name", ["livesim.x", "a!b", "", "x" * 201, "a b"])
    def test_a_channel_that_may_not_be_is_refused(self, name: str) -> None:
        with pytest.raises(RegistrationError):
            on_channel(name)(lambda message: None)

    def test_a_handler_takes_the_message(self) -> None:
        with pytest.raises(RegistrationError, match="a handler gets the message"):
            on_channel("thumbnails")(lambda: None)

    @pytest.mark.parametrize(
        "options", [{"queue": ""}, {"retries": -1}, {"retries": True}, {"backoff": 0}, {"name": "a b"}]
    )
    def test_an_option_that_cannot_be_is_refused_by_name(self, options: dict[str, Any]) -> None:
        with pytest.raises(RegistrationError, match=f"{next(iter(options))} is"):
            task(**{"name": "photos.resize"} | options)(lambda: None)

    def test_an_unknown_option_is_refused(self) -> None:
        with pytest.raises(RegistrationError, match="timeout"):
            task(timeout=3)(lambda: None)

    def test_a_name_is_one_functions(self, resize: Any) -> None:
        def other() -> None: ...

        with pytest.raises(RegistrationError, match="is taken by"):
            task(name="photos.resize")(other)

    def test_a_function_within_another_needs_a_name(self) -> None:
        def inner() -> None: ...

        with pytest.raises(RegistrationError, match="the function is within another"):
            task(inner)

    @pytest.mark.parametrize("enter", [task, on_channel("thumbnails")])
    def test_only_functions(self, enter: Callable[[Any], Any]) -> None:
        with pytest.raises(RegistrationError, match="Expected: a function"):
            enter(type("Class", (), {}))


def test_what_is_called_again_is_late_from_then_on_and_not_from_when_it_was_enqueued(resize: Any) -> None:
    ticket = resize.enqueue(3)
    long_ago = timezone.now() - timedelta(days=3)
    Task.objects.update(status="failed", created_at=long_ago, ended_at=long_ago)
    assert enqueuing.again([ticket.id]) == [ticket.id]
    assert 0 <= backlog.waits()[0].seconds < 60
