"""`livesim tasks`, and what `livesim doctor` says of tasks that nobody calls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from django_livesim import task
from django_livesim.background import handlers
from django_livesim.cli.doctor import processes
from django_livesim.cli.doctor import tasks as looking
from django_livesim.cli.doctor.finding import Finding
from django_livesim.models import Task, Worker
from tests.test_cli import livesim, misused, refused

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


def enqueued(name: str = "resize", seconds: float = 0, **fields: Any) -> Task:
    """A task that was enqueued so many seconds ago."""
    row = Task.objects.create(**({"name": name, "args": [[7], {}]} | fields))
    Task.objects.filter(pk=row.pk).update(created_at=timezone.now() - timedelta(seconds=seconds))
    return row


def caller(running: int = 0, **fields: Any) -> Worker:
    told = {"running": running, "threads": 4, "names": ["resize"], "channels": ["thumbnails"]}
    made = {"host": "here", "pid": 8, "queues": ["default"], "load": {"tasks": told}} | fields
    return Worker.objects.create(**made)


# -- the verb -----------------------------------------------------------------------------------


def test_they_are_listed_newest_first_with_how_many_wait_and_for_how_long() -> None:
    worker = caller()
    failed = enqueued(
        status="failed", attempts=2, error="Traceback ...\n  in resize\nValueError: \x1b[31m too wide\n"
    )
    runs = enqueued("thumbnails", kind="message", status="running", worker=worker)
    enqueued(seconds=75)
    printed = livesim("tasks")
    first, head, *rows = printed.out.splitlines()
    assert first.startswith("1 are due, the oldest for 7")
    assert head.split()[:3] == ["TASK", "STATUS", "NAME"]
    assert [row.split()[1:3] for row in rows] == [
        ["waiting", "resize"],
        ["running", "thumbnails"],
        ["failed", "resize"],
    ]
    assert rows[1].split()[0] == str(runs.pk) and rows[1].endswith("here:8")
    assert rows[2].split()[0] == str(failed.pk) and rows[2].endswith(r"ValueError: \x1b[31m too wide")
    assert printed.err == ""


def test_without_any_it_says_so() -> None:
    assert livesim("tasks").out == "None is due\n"


def test_they_are_narrowed_by_status_and_name_and_to_so_many() -> None:
    made = [enqueued(status=each) for each in ("failed", "waiting", "failed")]
    other = enqueued("other", status="failed")

    def listed(*options: str) -> list[int]:
        return [each["task"] for each in livesim("tasks", "--json", *options).json["tasks"]]

    assert listed("--status=failed") == [other.pk, made[2].pk, made[0].pk]
    assert listed("--status=failed", "--name=resize") == [made[2].pk, made[0].pk]
    assert listed("--limit=1") == [other.pk]
    assert "invalid choice: 'stopped'" in misused("tasks", "--status=stopped")


def test_json_has_the_figures_and_all_of_each() -> None:
    row = enqueued(key="k", seconds=75)
    printed = livesim("tasks", "--json").json
    assert (printed["waiting"], printed["running"], printed["each"][0]["name"]) == (1, 0, "resize")
    assert 74 < printed["oldest_due"] < 90
    (fact,) = printed["tasks"]
    assert (fact["task"], fact["key"], fact["args"], fact["worker"]) == (row.pk, "k", [[7], {}], None)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, ""),
        (
            {"queue": "heavy"},
            "resize. Start a worker for its queue: python manage.py livesim_worker --queues heavy",
        ),
        ({"name": "removed"}, "removed. The code here does not know it either"),
        ({"name": "other", "kind": "message"}, "channel other. The code here does not know it either"),
        ({"queue": "heavy", "due_at": timezone.now() + timedelta(hours=1)}, ""),
    ],
)
def test_where_nobody_calls_what_is_due_it_says_what_to_do(fields: dict[str, Any], told: str) -> None:
    caller()
    enqueued(**fields)
    printed = livesim("tasks").err
    assert printed.startswith(f"Nobody calls {told}") if told else printed == ""


@pytest.mark.parametrize("worker", [{}, {"state": "gone"}, {"state": "draining"}, {"load": {}}])
def test_without_a_worker_that_calls_tasks_it_says_how_to_start_one(worker: dict[str, Any]) -> None:
    if worker:
        caller(**worker)
    enqueued()
    assert livesim("tasks").err == "Nobody calls resize. Start one: python manage.py livesim_worker\n"


def test_a_worker_with_older_code_is_to_be_started_anew() -> None:
    @task(name="newer")
    def newer() -> None: ...

    try:
        caller()
        enqueued("newer")
        assert "have them leave by livesim drain" in livesim("tasks").err
    finally:
        handlers.tasks.pop(newer.name)


def test_one_that_waits_is_cancelled_and_called_again() -> None:
    row = enqueued()
    assert livesim("tasks", f"--cancel={row.pk}").out == f"resize #{row.pk} is cancelled\n"
    assert refused("tasks", f"--cancel={row.pk}") == (
        f"refused: resize #{row.pk} is cancelled. Only one that waits can be cancelled"
    )
    assert livesim("tasks", f"--again={row.pk}", "--json").json["status"] == "waiting"
    assert refused("tasks", f"--again={row.pk}") == (
        f"refused: resize #{row.pk} is waiting. Only one that failed or was cancelled is called again"
    )


def test_one_that_is_not_there_and_what_is_no_number() -> None:
    assert refused("tasks", "--cancel=12345") == "no_run: there is no task 12345. See: livesim tasks"
    assert refused("tasks", f"--again={10**30}").startswith("no_run: there is no task 1000")
    assert "is not a whole number" in misused("tasks", "--cancel=all")
    assert "not allowed with" in misused("tasks", "--cancel=1", "--again=1")


# -- the doctor ---------------------------------------------------------------------------------


def only() -> Finding:
    (finding,) = looking.look()
    return finding


def test_what_is_due_for_less_than_a_minute_is_well() -> None:
    assert (only().status, only().message) == ("ok", "0 are due, none for longer than 60 s")
    enqueued(seconds=50)
    enqueued(seconds=500, due_at=timezone.now() + timedelta(hours=1))
    assert (only().status, only().message) == ("ok", "1 are due, none for longer than 60 s")


@pytest.mark.parametrize(
    ("fields", "message", "hint"),
    [
        ({"queue": "heavy"}, "no worker has the queue heavy", "livesim_worker --queues heavy"),
        ({"name": "removed"}, "no worker of the queue default has the code", "install its app"),
    ],
)
def test_what_no_worker_calls_is_a_problem_with_what_to_do(
    fields: dict[str, Any], message: str, hint: str
) -> None:
    enqueued(**({"seconds": 75} | fields))
    assert only().message.endswith(": no worker calls tasks")
    assert only().hint == "Start one: python manage.py livesim_worker"
    caller()
    assert only().status == "problem" and only().message.endswith(f": {message}") and hint in only().hint


def test_workers_whose_threads_are_all_busy() -> None:
    enqueued(seconds=75)
    caller(running=4)
    assert only().status == "advice"
    assert only().message.endswith(": all 4 threads of the workers that call them are busy")
    assert '"TASK_THREADS": 8' in only().hint
    caller(running=3, queues=["heavy"])
    assert "are busy" in only().message
    caller(running=3)
    assert only().message.startswith("1 of resize are due, the oldest for 7") and "logs" in only().hint


@pytest.mark.parametrize(
    ("first", "told"),
    [
        ({"status": "running"}, "is being handled still"),
        ({"attempts": 1, "due_at": timezone.now() + timedelta(hours=1)}, "waits to be tried again"),
    ],
)
def test_messages_that_wait_for_the_one_before_them(first: dict[str, Any], told: str) -> None:
    caller(running=4)
    held = enqueued("thumbnails", kind="message", **first)
    enqueued("thumbnails", kind="message", seconds=75)
    assert f": message {held.pk}" in only().message and told in only().message


def test_more_kinds_than_are_named_are_counted() -> None:
    for number in range(5):
        enqueued(f"removed{number}", seconds=75)
    *named, rest = looking.look()
    assert len(named) == 3 and rest.message == "2 more kinds are due"


def test_a_worker_that_calls_tasks_says_so() -> None:
    caller(running=1)
    _none_steps, finding = processes.look_at_workers()
    assert finding.message == "here:8 is alive with 1 of 4 tasks at once, queues default"
