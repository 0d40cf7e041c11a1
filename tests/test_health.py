"""`livesim:health`: what it says, to whom, and how soon."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import Count
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from django_livesim import gateway
from django_livesim.gateway import backlog, examining, vitals
from django_livesim.models import Command, Run, Task, Worker
from django_livesim.store.moments import Moment
from scripts import services

pytestmark = pytest.mark.django_db(transaction=True)

WITHIN = 20.0  # seconds for an answer: two, and what a busy machine takes
TOKEN = "a-secret-for-the-monitor"


@pytest.fixture(autouse=True)
def _anew(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is known yet; and what is well may take its time to say so, on a busy machine."""
    examining.forget()
    if "in_time" not in request.fixturenames:
        monkeypatch.setattr(examining, "LIMIT", WITHIN)
        monkeypatch.setattr(vitals.look_at_layer, "__defaults__", (WITHIN,))
    yield
    examining.forget()


@pytest.fixture
def in_time() -> None:
    """For a test of what hangs: looks are given up as ever."""


@pytest.fixture
def worker() -> Worker:
    row = Worker.objects.create(host="a-host", pid=7, queues=["default"], load={"runs": 0, "cpu": 0.1})
    Worker.objects.update(beat_at=Moment())
    return row


@pytest.fixture
def monitor(settings: Any) -> Client:
    settings.LIVESIM = {"HEALTH_TOKEN": TOKEN}
    return Client(headers={"authorization": f"Bearer {TOKEN}"})


def ask(client: Client, parts: str = "", method: str = "get") -> Any:
    return getattr(client, method)(reverse("livesim:health"), {"parts": parts} if parts else {})


def parts(client: Client) -> Any:
    return ask(client).json()["parts"]


def states(client: Client) -> dict[str, str]:
    return {name: part["state"] for name, part in parts(client).items()}


@contextmanager
def deaf_port() -> Iterator[int]:
    """A port whose connections are taken by the kernel, and that nobody answers on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield listening.getsockname()[1]


@contextmanager
def stopped(url: str) -> Iterator[Callable[[], None]]:
    """The Redis at `url` stands still, as in SIGSTOP; calling what is given has it go on."""
    import redis

    with redis.Redis.from_url(url) as client:
        pid = client.info("server")["process_id"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield lambda: os.kill(pid, signal.SIGCONT)
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.fixture
def own_redis(settings: Any) -> Iterator[str]:
    """A Redis that a test may stop, as the channel layer."""
    try:
        with services.redis() as url:
            host = {"address": url, "socket_timeout": None}
            backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
            settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [host]}}}
            yield url
    except services.Missing as exc:
        pytest.skip(str(exc))


# -- to whom it says what -----------------------------------------------------------------------


def test_anybody_hears_that_all_is_well_and_nothing_else(client, redis_layer, worker):
    response = ask(client)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert "no-store" in response["Cache-Control"] and not response.cookies


def test_anybody_hears_that_something_is_not_and_not_what(client, redis_layer):
    response = ask(client)
    assert (response.status_code, response.json()) == (503, {"status": "failing"})


def test_a_head_request_has_the_status_alone(client, redis_layer, worker):
    response = ask(client, method="head")
    assert (response.status_code, response.content) == (200, b"")
    assert ask(client, method="post").status_code == 405


def test_who_may_see_workers_sees_the_figures(client, redis_layer, worker, django_user_model):
    from django.contrib.auth.models import Permission

    ann = django_user_model.objects.create_user("ann", is_staff=True)
    client.force_login(ann)
    assert ask(client).json() == {"status": "ok"}
    ann.user_permissions.add(Permission.objects.get(codename="view_worker"))
    told = parts(client)
    assert list(told) == ["layer", "database", "workers", "lag", "tasks"]
    assert told["workers"]["each"][0]["name"] == "a-host:7"


def test_the_token_opens_the_figures_and_another_does_not(monitor, redis_layer, worker):
    told = parts(monitor)
    assert told["layer"]["backend"] == "RedisPubSubChannelLayer" and told["layer"]["ms"] < 1000
    assert told["database"]["vendor"] == connection.vendor and told["database"]["ms"] > 0
    assert told["workers"]["queues"] == {"default": 1}
    assert told["workers"]["each"][0]["load"] == {"runs": 0, "cpu": 0.1}
    assert told["lag"]["runs"] == {"waiting": 0, "oldest": 0.0, "each": []}
    for wrong in ("Bearer ", f"Bearer {TOKEN}x", TOKEN, "Bearer ä"):
        assert ask(Client(headers={"authorization": wrong})).json() == {"status": "ok"}


def test_without_a_token_in_the_settings_no_header_opens_anything(client, redis_layer, worker):
    for header in ("Bearer None", "Bearer ", ""):
        assert ask(Client(headers={"authorization": header})).json() == {"status": "ok"}


def test_what_an_error_says_is_kept_to_the_log(monitor, settings, worker):
    host = {"address": "redis://:open-sesame@127.0.0.1:1", "socket_timeout": None}
    backend = "channels_redis.pubsub.RedisPubSubChannelLayer"
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": backend, "CONFIG": {"hosts": [host]}}}
    response = ask(monitor)
    assert response.json()["parts"]["layer"] == {"state": "failing", "problem": "ConnectionError"}
    assert b"sesame" not in response.content and b"127.0.0.1" not in response.content


# -- parts --------------------------------------------------------------------------------------


def test_a_probe_may_ask_for_some_parts_alone(client, redis_layer):
    assert ask(client).status_code == 503  # there is no worker
    assert ask(client, "database").status_code == 200
    assert ask(client, "database,layer").status_code == 200
    assert ask(client, "workers").status_code == 503


def test_a_part_that_there_is_not_is_refused_with_those_there_are(client):
    response = ask(client, "databse")
    assert response.status_code == 400
    expected = ["layer", "database", "workers", "lag", "tasks"]
    assert response.json() == {"status": "unknown", "unknown": "databse", "expected": expected}


def test_a_layer_in_the_process_is_well_under_debug_alone(monitor, settings, worker):
    settings.CHANNEL_LAYERS = {}
    assert states(monitor)["layer"] == "failing"
    settings.DEBUG = True
    assert states(monitor)["layer"] == "ok"


def test_silent_and_leaving_workers_are_told_apart_from_those_that_take_runs(monitor, redis_layer, worker):
    Worker.objects.create(queues=["slow"], state="draining")
    Worker.objects.create(queues=["slow"], state="gone")
    silent = Worker.objects.create(queues=["slow"])
    Worker.objects.update(beat_at=Moment())
    Worker.objects.filter(id=silent.id).update(beat_at=timezone.now() - timedelta(seconds=60))
    told = parts(monitor)["workers"]
    assert (told["alive"], told["draining"], told["silent"]) == (1, 1, 1)
    assert told["queues"] == {"default": 1} and 59 < told["oldest_beat"] < 90
    Worker.objects.filter(id=worker.id).update(state="draining")
    examining.forget()
    assert parts(monitor)["workers"]["problem"] == "no worker is alive"


def test_an_attached_process_is_no_worker_that_takes_runs(monitor, redis_layer, worker):
    Worker.objects.update(queues=[])
    assert states(monitor)["workers"] == "failing"


def test_a_command_that_is_due_and_not_applied_is_lag(monitor, redis_layer, worker):
    run = gateway.start("counter")
    Run.objects.update(worker=worker, status="running")
    gateway.send(run, "add")
    gateway.send(run, "add", delay=3600)
    lag = parts(monitor)["lag"]
    assert lag["state"] == "ok" and lag["commands"]["due"] == 1
    Command.objects.filter(due_at=None).update(created_at=timezone.now() - timedelta(seconds=60))
    examining.forget()
    lag = parts(monitor)["lag"]
    assert lag["state"] == "failing" and 59 < lag["commands"]["oldest"] < 90
    assert lag["problem"].endswith(" s and not applied")
    Command.objects.filter(due_at=None).update(outcome="applied", apply_seq=1)
    examining.forget()
    assert states(monitor)["lag"] == "ok"


def test_a_run_that_waits_for_a_worker_is_lag_after_a_while(monitor, redis_layer, worker):
    run = gateway.start("counter")
    runs = parts(monitor)["lag"]["runs"]
    assert runs["waiting"] == 1 and runs["each"][0]["run"] == str(run.id)
    assert states(monitor)["lag"] == "ok"
    Run.objects.update(created_at=timezone.now() - timedelta(seconds=60))
    examining.forget()
    told = ask(monitor)
    assert told.status_code == 503 and "waits for a worker" in told.json()["parts"]["lag"]["problem"]
    Run.objects.update(worker=worker)
    examining.forget()
    assert states(monitor)["lag"] == "ok"


def test_a_run_of_yesterday_that_was_just_let_go_is_not_late(monitor, redis_layer, worker):
    gateway.start("counter")
    yesterday = timezone.now() - timedelta(days=1)
    Run.objects.update(created_at=yesterday, started_at=yesterday, status="running")
    runs = parts(monitor)["lag"]["runs"]
    assert runs["waiting"] == 1 and runs["oldest"] < 60


@pytest.fixture
def caller() -> Worker:
    """One that calls the task `resize`, and the handler of `thumbnails`, of the queue `default`."""
    told = {"running": 2, "threads": 4, "names": ["resize"], "channels": ["thumbnails"]}
    return Worker.objects.create(host="a-host", pid=8, queues=["default"], load={"tasks": told})


def enqueued(name: str = "resize", seconds: float = 0, **fields: Any) -> Task:
    """A task that has been due for so many seconds."""
    row = Task.objects.create(name=name, **fields)
    since = timezone.now() - timedelta(seconds=seconds)
    Task.objects.filter(pk=row.pk).update(created_at=since if row.due_at is None else row.created_at)
    return row


def test_tasks_that_are_due_are_counted(monitor, redis_layer, worker, caller):
    enqueued(seconds=50)
    enqueued()
    enqueued("thumbnails", kind="message")
    enqueued(due_at=timezone.now() + timedelta(hours=1))
    for status in ("running", "finished", "failed", "cancelled"):
        enqueued(seconds=500, status=status)
    told = parts(monitor)["tasks"]
    assert told["state"] == "ok" and (told["waiting"], told["running"], told["threads"]) == (3, 2, 4)
    assert 49 < told["oldest_due"] < 59
    first = told["each"][0]
    assert (first["name"], first["queue"], first["due"]) == ("resize", "default", 2)


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({}, "ok"),  # a worker calls it, and is behind
        ({"queue": "heavy"}, "failing"),
        ({"name": "removed"}, "failing"),
        ({"name": "thumbnails"}, "failing"),  # a task of that name, and no channel
        ({"queue": "heavy", "seconds": 30}, "ok"),
    ],
)
def test_what_is_due_for_a_minute_with_no_worker_for_it_is_a_fault(
    monitor, redis_layer, worker, caller, fields, state
):
    enqueued(**({"seconds": 75} | fields))
    told = ask(monitor).json()
    assert (told["parts"]["tasks"]["state"], told["status"]) == (state, state)
    named = fields.get("name", "resize")
    assert state == "ok" or f"{named} is due for 7" in told["parts"]["tasks"]["problem"]


def test_while_its_worker_is_replaced_nothing_is_at_fault(monitor, redis_layer, worker, caller):
    enqueued(seconds=500)
    Worker.objects.filter(id=caller.id).update(state="gone")
    assert states(monitor)["tasks"] == "ok"
    Worker.objects.filter(id=caller.id).update(beat_at=timezone.now() - timedelta(seconds=61))
    examining.forget()
    assert states(monitor)["tasks"] == "failing"


def test_a_worker_that_calls_tasks_is_none_that_takes_runs(monitor, redis_layer, caller):
    told = parts(monitor)["workers"]
    assert told["problem"] == "no worker is alive" and told["alive"] == 1
    assert told["each"][0]["load"] == {"tasks": {"running": 2, "threads": 4}}


def test_tasks_that_have_ended_are_not_read(worker, caller):
    """By the partial index of those that wait; a table may have millions of the others."""
    Task.objects.bulk_create(Task(name=f"t{number % 7}", status="finished") for number in range(5000))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE livesim_task")
    assert "livesim_task_waiting" in backlog.due().values("name").annotate(Count("pk")).order_by().explain()
    with CaptureQueriesContext(connection) as queries:
        backlog.look_at_tasks()
    assert len([each for each in queries if "livesim_task" in each["sql"]]) == 1


def test_a_migration_that_is_not_applied_is_named(monitor, redis_layer, worker):
    applied = MigrationRecorder(connection).migration_qs.filter(app="livesim")
    last = applied.order_by("name").last()
    last.delete()
    try:
        database = parts(monitor)["database"]
    finally:
        MigrationRecorder(connection).record_applied("livesim", last.name)
    assert database["state"] == "failing" and database["missing_migrations"] == [last.name]
    examining.forget()
    assert states(monitor)["database"] == "ok"


# -- what hangs ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_time")
def test_a_redis_that_stands_still_is_named_within_two_seconds_and_well_when_it_goes_on(
    monitor, own_redis, worker, wait
):
    wait(lambda: states(monitor)["layer"] == "ok")
    with stopped(own_redis) as go_on:
        examining.forget()
        began = time.monotonic()
        told = parts(monitor)
        assert time.monotonic() - began < WITHIN
        assert told["layer"]["state"] in ("hung", "failing") and told["database"]["state"] == "ok"
        assert told["layer"]["problem"] == "TimeoutError" or "no answer" in told["layer"]["problem"]
        go_on()
        wait(lambda: states(monitor)["layer"] == "ok")


@pytest.fixture
def deaf_database(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database takes new connections and says nothing; the test's own connection is as it was."""
    pytest.importorskip("psycopg")
    with deaf_port() as port:
        there = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": port, "NAME": "none"}
        deaf = {**connections.settings["default"], "USER": "x", "PASSWORD": "x", "OPTIONS": {}, **there}
        monkeypatch.setitem(connections.settings, "default", deaf)
        yield


def looks() -> set[threading.Thread]:
    return {each for each in threading.enumerate() if each.name.startswith("livesim-health")}


def health_threads() -> list[str]:
    return [each.name for each in looks()]


@pytest.mark.usefixtures("in_time")
def test_a_database_that_hangs_is_named_and_the_layer_is_well(monitor, deaf_database, redis_layer, wait):
    began = time.monotonic()
    response = ask(monitor)
    assert time.monotonic() - began < WITHIN and response.status_code == 503
    found = {name: part["state"] for name, part in response.json()["parts"].items()}
    assert found == {"layer": "ok", "database": "hung", "workers": "unknown", "lag": "unknown"} | {
        "tasks": "unknown"
    }
    wait(lambda: not health_threads())  # a connection that is not answered is given up


@pytest.mark.usefixtures("in_time")
def test_many_probes_of_what_hangs_share_one_look_and_are_all_answered(deaf_database, redis_layer, wait):
    def probe(_number: int) -> int:
        return int(ask(Client(), "database").status_code)

    began = time.monotonic()
    with ThreadPoolExecutor(40) as pool:
        answers = pool.map(probe, range(40))
        wait(health_threads)
        assert health_threads() == ["livesim-health-database"]
        assert set(answers) == {503}
    assert time.monotonic() - began < WITHIN
    hangs, began = looks(), time.monotonic()
    if hangs:  # under way for longer than anybody waits: the next one is answered at once
        assert probe(0) == 503
        took = time.monotonic() - began
        assert took < 1.9 or not hangs & looks()  # and not two, unless it ended and another was begun
    wait(lambda: not health_threads())


@pytest.mark.usefixtures("in_time")
def test_a_table_that_is_locked_hangs_the_part_that_reads_it(monitor, redis_layer, worker, row_locks, wait):
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE livesim_worker IN ACCESS EXCLUSIVE MODE")
        found = states(monitor)
        assert found["database"] == "ok" and found["workers"] in ("hung", "failing")
        assert found["lag"] == "unknown"
    wait(lambda: states(monitor)["workers"] == "ok")


def test_another_look_is_begun_beside_one_that_hangs_for_long_and_not_too_soon(wait):
    ends = threading.Event()
    begun: list[float] = []

    def hang() -> Any:
        begun.append(time.monotonic())
        ends.wait(30)
        return examining.Sign(figures={"ms": 1})

    line = examining.Line("test", {"layer": hang})
    try:
        first = line.attempt()
        assert line.attempt() is first
        first.began -= examining.RENEW[0]
        second = line.attempt()
        assert second is not first
        second.began -= examining.RENEW[0]  # twice as long now
        assert line.attempt() is second
    finally:
        ends.set()
    wait(lambda: second.parts()["layer"].state == "ok")


# -- in hosts of every make ---------------------------------------------------------------------


def test_no_login_is_asked_for_where_the_host_asks_for_one_everywhere(client, settings, redis_layer, worker):
    login = "django.contrib.auth.middleware.LoginRequiredMiddleware"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, login]
    assert client.get(reverse("livesim:run-list")).status_code == 302
    assert ask(client).json() == {"status": "ok"}


def test_it_is_no_part_of_the_transaction_of_a_request(client, redis_layer, worker, monkeypatch):
    monkeypatch.setitem(connections["default"].settings_dict, "ATOMIC_REQUESTS", True)
    assert ask(client).status_code == 200


def test_it_is_found_under_a_prefix(client, redis_layer, worker):
    response = client.get("/livesim/health/", SCRIPT_NAME="/sub")
    assert json.loads(response.content) == {"status": "ok"}
