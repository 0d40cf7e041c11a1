"""What Celery's signals tell, with its own tracer in place of a worker's child, and a broker in memory."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, signals
from celery.app.task import Context
from celery.app.trace import trace_task
from celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from django.db import OperationalError, connection, connections, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError as ConnectionRefused

from django_livesim import BadArgs, gateway, publish_state
from django_livesim.contrib.celery import LivesimTask, key_of, owned_by, receivers, telling
from django_livesim.models import Command, Run
from tests.test_socket import make_user

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def polls_are_shown(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.LIVESIM = {"CELERY": ["polls.*"]}
    monkeypatch.setattr(telling, "_silent_until", 0.0)
    monkeypatch.setattr(telling, "seldom", telling.Seldom(telling.logging.getLogger(telling.__name__)))


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("tests", broker="memory://", task_cls=LivesimTask, set_as_current=False) as app:
        yield app


@pytest.fixture
def task(app: Celery) -> Callable[..., Any]:
    """`task(function)` is it, as a task `polls.<its name>` that gets itself."""
    return lambda function: app.task(bind=True, name=f"polls.{function.__name__}")(function)


def work(task: Any, task_id: str, header: dict[str, Any] | None = None, **request: Any) -> None:
    """Run it as a worker's child does."""
    request |= {"id": task_id, "delivery_info": {}, "is_eager": False, "args": [], "kwargs": {}}
    trace_task(task, task_id, (), {}, request=request | ({"livesim": header} if header else {}), app=task.app)


def run_of(task_id: str) -> Run | None:
    return Run.objects.filter(simulation="external", key=key_of(task_id)).first()


def told(task_id: str) -> tuple[str, str]:
    """The run's status, and Celery's name for it."""
    run = run_of(task_id)
    assert run
    view = gateway.stored_view(run, "view")
    assert view
    return run.status, view[1]["state"]


def nothing(self: Any) -> str:
    return "nothing"


def in_another_thread(function: Callable[..., Any], *args: Any) -> None:
    """As in another process: with a connection of its own."""

    def call() -> None:
        try:
            function(*args)
        finally:
            connections.close_all()

    thread = threading.Thread(target=call)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()


# which, and without Celery


def test_without_the_setting_celery_is_not_imported():
    code = "import django; django.setup(); import django_livesim, sys; sys.exit('celery' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_with_the_setting_and_without_celery_it_is_said_what_to_install(process_env):
    code = "import sys; sys.modules['celery'] = None; import django; django.setup()"
    env = process_env | {"LIVESIM": '{"CELERY": ["polls.*"]}'}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    expected = 'LIVESIM["CELERY"] names tasks, and there is no Celery: pip install "django-livesim[celery]"'
    assert expected in done.stderr


def test_tasks_that_are_not_named_are_not_shown(app, settings, task):
    shown = task(nothing)
    settings.LIVESIM = {"CELERY": ["shop.*"]}
    work(shown, shown.delay().id)
    assert not Run.objects.exists()


# the sender


def test_what_the_broker_has_taken_waits_and_is_its_senders(task):
    ada = make_user()
    with owned_by(ada, visibility="public"):
        sent = task(nothing).delay()
    run = run_of(sent.id)
    assert told(sent.id) == ("waiting", "PENDING")
    assert (run.owner_id, run.visibility, run.name) == (ada.pk, "public", "polls.nothing")
    assert run_of(task(nothing).delay().id).owner_id is None


def test_what_the_broker_refuses_is_not_told():
    with Celery("tests", broker="redis://127.0.0.1:1/0", set_as_current=False) as app:
        with pytest.raises(ConnectionRefused, match="refused"):
            app.send_task("polls.nothing", retry=False)
    assert not Run.objects.exists()


def test_what_is_sent_in_a_transaction_is_told_after_it_or_by_the_worker(task):
    ada = make_user()
    task = task(nothing)
    with transaction.atomic(), owned_by(ada):
        kept = task.delay().id
        assert run_of(kept) is None
    assert told(kept) == ("waiting", "PENDING")
    with transaction.atomic():
        undone = task.delay().id
        transaction.set_rollback(True)
    assert run_of(undone) is None
    work(task, undone, {"owner": str(ada.pk), "visibility": None})
    assert (told(undone), run_of(undone).owner_id) == (("finished", "SUCCESS"), ada.pk)


def test_one_that_runs_or_is_done_before_its_sender_comes_to_tell_of_it_waits_no_more(task):
    def late(self):
        in_another_thread(receivers._was_sent, "polls.late", {"id": self.request.id})
        seen.append(told(self.request.id))

    seen: list[tuple[str, str]] = []
    work(task(late), task_id := str(uuid4()))
    receivers._was_sent("polls.late", {"id": task_id})
    assert (seen, told(task_id)) == ([("running", "STARTED")], ("finished", "SUCCESS"))


def test_who_may_watch_is_checked_where_it_is_said():
    with pytest.raises(BadArgs), owned_by(None, visibility="all"):
        pass


def test_tasks_that_a_task_sends_are_its_owners(task):
    def parent(self):
        children.append(child.delay().id)

    ada, children = make_user(), []
    child, parent = task(nothing), task(parent)
    work(parent, str(uuid4()), {"owner": str(ada.pk), "visibility": "public"})
    run = run_of(children[0])
    assert (run.owner_id, run.visibility, run.status) == (ada.pk, "public", "waiting")


# the child


def test_progress_is_told_as_it_is_and_does_not_go_back(task):
    def count(self):
        for current in (3, 1):
            meta = {"current": current, "total": 4, "description": f"row {current}"}
            self.update_state(state="PROGRESS", meta=meta)
            run = run_of(self.request.id)
            seen.append(
                (run.status, run.progress, run.reason, gateway.stored_view(run, "view")[1]["current"])
            )

    seen: list[Any] = []
    work(task(count), task_id := str(uuid4()))
    assert seen == [("running", 0.75, "row 3", 3), ("running", 0.75, "row 1", 1)]
    assert (told(task_id), run_of(task_id).progress) == (("finished", "SUCCESS"), 1.0)


@pytest.mark.parametrize("meta", [None, "half", {"current": "x", "total": None}, {"current": 9, "total": 4}])
def test_whatever_is_told_as_progress_the_task_goes_on(task, meta, caplog):
    def odd(self):
        self.update_state(state="PROGRESS", meta=meta)
        self.update_state(state="GRINDING", meta=meta)

    work(task(odd), task_id := str(uuid4()))
    assert told(task_id) == ("finished", "SUCCESS")
    assert [record for record in caplog.records if record.name == telling.__name__] == []


def test_progress_in_a_transaction_is_told_after_it_and_locks_nothing(task):
    def change(self):
        with transaction.atomic():
            self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
            seen.append(run_of(self.request.id).progress)
        seen.append(run_of(self.request.id).progress)

    seen: list[Any] = []
    work(task(change), str(uuid4()))
    assert seen == [None, 0.5]


def test_somebodys_stop_is_seen_by_the_task(task):
    def patient(self):
        seen.append(self.asked_to_stop)
        gateway.stop(run_of(self.request.id))
        self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
        seen.append(self.asked_to_stop)

    seen: list[bool] = []
    work(task(patient), task_id := str(uuid4()))
    assert seen == [False, True]
    assert told(task_id) == ("finished", "SUCCESS")


def test_a_stop_that_has_ended_the_run_is_seen_by_the_task(task):
    def patient(self):
        gateway.stop(run_of(self.request.id))
        Command.objects.update(applied_at=timezone.now() - timedelta(minutes=1))
        gateway.stop(run_of(self.request.id))
        for current in (1, 2):
            self.update_state(state="PROGRESS", meta={"current": current, "total": 2})
            seen.append(self.asked_to_stop)

    seen: list[bool] = []
    work(task(patient), task_id := str(uuid4()))
    assert (run_of(task_id).status, seen) == ("stopped", [True, True])


@pytest.mark.parametrize(
    ("result", "shown"),
    [({"rows": [1]}, {"rows": [1]}), ({1, 2}, "{1, 2}"), (b"\x00", "b'\\x00'"), ("x" * 5000, "x" * 5000)],
)
def test_a_result_that_is_no_plain_json_is_told_as_its_repr(task, result, shown):
    def returning(self):
        return result

    work(task(returning), task_id := str(uuid4()))
    assert (told(task_id), run_of(task_id).result) == (("finished", "SUCCESS"), shown)


def test_a_result_that_is_too_large_is_cut(task, settings):
    settings.LIVESIM = {"CELERY": ["polls.*"], "MAX_STATE_BYTES": 2048}

    def large(self):
        return ["x" * 100] * 100

    work(task(large), task_id := str(uuid4()))
    assert told(task_id) == ("finished", "SUCCESS")
    assert len(run_of(task_id).result) <= 2 * telling.REPR


def test_another_attempt_waits_before_its_message_is_sent(task, app, monkeypatch):
    def again(self):
        try:
            raise ConnectionError("nobody answers")
        except ConnectionError as exc:
            self.retry(exc=exc, countdown=5)

    def send_task_message(*args, **kwargs):
        publish(*args, **kwargs)
        seen.append(told(task_id))
        work(nothing_more, task_id)  # as it would be where the next attempt is quicker than the end of this

    seen: list[Any] = []
    task_id = str(uuid4())
    nothing_more, again, publish = task(nothing), task(again), app.amqp.send_task_message
    monkeypatch.setattr(app.amqp, "send_task_message", send_task_message)
    work(again, task_id)
    assert seen == [("waiting", "RETRY")]
    assert told(task_id) == ("finished", "SUCCESS")


@pytest.mark.parametrize("leaves", ["the block", "the task"])
def test_another_attempt_that_is_asked_for_in_a_transaction_waits_when_this_one_is_over(task, leaves):
    def again(self):
        with transaction.atomic():
            self.update_state(state="PROGRESS", meta={"current": 1, "total": 2})
            retry = self.retry(exc=ValueError("busy"), countdown=3600, throw=False)
            if leaves == "the block":
                raise retry
        raise retry

    work(task(again), task_id := str(uuid4()))
    assert told(task_id) == ("waiting", "RETRY")
    assert run_of(task_id).reason == "it is to be tried again"
    view = gateway.stored_view(run_of(task_id), "view")
    assert (view[1]["retries"], 3590 <= view[1]["retry_in"] <= 3600) == (1, True)


def test_another_attempt_that_begins_before_the_one_that_asked_for_it_is_over_is_not_said_to_wait(task):
    def again(self):
        try:
            with transaction.atomic():
                self.retry(countdown=0)
        finally:
            request = Context(id=self.request.id, retries=1)
            begins = SimpleNamespace(name="polls.again", request=request)
            in_another_thread(receivers._begins, self.request.id, begins)

    work(task(again), task_id := str(uuid4()))
    assert told(task_id) == ("running", "STARTED")


@pytest.mark.parametrize("in_a_transaction", [False, True])
def test_one_that_is_replaced_by_another_goes_on(task, in_a_transaction):
    def first(self):
        with transaction.atomic() if in_a_transaction else nullcontext():
            self.replace(second.s())

    second, first = task(nothing), task(first)
    work(first, task_id := str(uuid4()))
    assert told(task_id) == ("waiting", "RETRY")
    work(second, task_id)
    assert told(task_id) == ("finished", "SUCCESS")


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (Ignore(), ("stopped", "IGNORED")),
        (Reject("bad", requeue=True), ("waiting", "PENDING")),
        (Reject("bad", requeue=False), ("failed", "FAILURE")),
        (KeyError("secret"), ("failed", "FAILURE")),
    ],
)
def test_what_it_raises_says_how_it_ends(task, raised, expected):
    def leave(self):
        raise raised

    work(task(leave), task_id := str(uuid4()))
    assert told(task_id) == expected
    assert "secret" not in run_of(task_id).reason


def test_what_fails_in_celery_itself_is_told(task):
    def trace(*args: Any) -> None:
        raise RuntimeError("secret")

    broken = task(nothing)
    broken.__trace__ = trace
    with pytest.warns(RuntimeWarning, match="Exception raised outside body"):
        work(broken, task_id := str(uuid4()))
    assert told(task_id) == ("failed", "FAILURE")
    assert run_of(task_id).reason == "its code raised RuntimeError"


def test_an_end_is_final(task):
    task = task(nothing)
    work(task, task_id := str(uuid4()))
    work(task, task_id)
    receivers._failed(task, task_id, RuntimeError("late"))
    assert told(task_id) == ("finished", "SUCCESS")


# when something goes wrong


def test_where_the_database_is_away_the_task_goes_on_and_the_log_says_it_once(task, caplog):
    def count(self):
        for current in range(100):
            self.update_state(state="PROGRESS", meta={"current": current, "total": 100})
        done.append(True)

    def refuse(execute, sql, params, many, context):
        asked.append(sql)
        raise OperationalError("the server has gone")

    asked, done = [], []
    with connection.execute_wrapper(refuse):
        work(task(count), task_id := str(uuid4()))
    assert done == [True]
    assert len(asked) < 20  # its beginning and its end, and no progress after the first
    lines = [record for record in caplog.records if record.name == telling.__name__]
    assert [line.getMessage() for line in lines] == [
        "What became of a Celery task could not be told; the task goes on"
    ]
    assert run_of(task_id) is None


def test_a_connection_that_has_died_since_is_made_anew(task, row_locks):
    def long(self):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            (mine,) = cursor.fetchone()
        in_another_thread(kill, mine)

    def kill(backend):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", [backend])

    work(task(long), task_id := str(uuid4()))
    assert told(task_id) == ("finished", "SUCCESS")


@pytest.mark.parametrize(
    "header", [{"owner": "nobody at all"}, {"visibility": "all"}, {"owner": None}, "mine"]
)
def test_whatever_the_header_says_the_task_goes_on(task, header):
    def note(self):
        done.append(True)

    done: list[bool] = []
    work(task(note), task_id := str(uuid4()), header)
    assert done == [True]
    run = run_of(task_id)
    assert run is None or run.owner_id is None


def test_a_soft_time_limit_is_the_tasks_own(task):
    def slow(self):
        def over(*args):
            raise SoftTimeLimitExceeded

        try:
            with connection.execute_wrapper(over):
                self.update_state(state="PROGRESS", meta={})
        except SoftTimeLimitExceeded:
            caught.append(True)

    caught: list[bool] = []
    work(task(slow), task_id := str(uuid4()))
    assert (caught, told(task_id)) == ([True], ("finished", "SUCCESS"))


BEAT, WITHIN_A_WORKER = signals.beat_init, signals.beat_embedded_init


@pytest.mark.parametrize(
    ("beat", "open_before"), [(BEAT, False), (BEAT, True), (WITHIN_A_WORKER, False), (None, False)]
)
def test_beat_leaves_no_connection_open_that_it_did_not_have(task, monkeypatch, beat, open_before):
    def send() -> None:
        if open_before:
            connection.ensure_connection()
        sent.append(nothing_more.delay().id)
        is_open.append(connection.connection is not None)

    monkeypatch.setattr(receivers, "_is_beat", False)
    if beat:
        beat.send(sender=None)
    sent, is_open = [], []
    nothing_more = task(nothing)
    in_another_thread(send)
    assert told(sent[0]) == ("waiting", "PENDING")
    assert is_open == [open_before or not beat]


def test_somebody_elses_run_under_the_key_of_a_task_is_left_alone(task):
    ada = make_user()
    task_id = str(uuid4())
    publish_state(key_of(task_id), owner=ada, text="mine")
    work(task(nothing), task_id, {"owner": str(make_user("eve").pk)})
    assert (run_of(task_id).status, run_of(task_id).reason) == ("running", "mine")
