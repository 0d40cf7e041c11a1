"""Tasks of Celery as runs: a real worker with two forked children, a real web server, many sockets."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
import redis
from asgiref.sync import sync_to_async
from celery import Celery
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.db import transaction
from django.urls import path
from django.utils import timezone
from websockets.asyncio.client import connect

from django_livesim import gateway, publish_state
from django_livesim.contrib.celery import key_of, owned_by
from django_livesim.models import Run
from sandbox.celery_tasks.consumers import LOOK, TaskStatusConsumer
from sandbox.celery_tasks.views import FORGOTTEN, MOST
from scripts.check_sandbox import Visitor
from tests.conftest import database_url
from tests.contrib import site
from tests.test_socket import log_in, make_user

pytestmark = pytest.mark.django_db(transaction=True)

TASKS = "sandbox.celery_tasks.tasks."
MINUTE = 60.0
MANY = 500

Send = Callable[..., str]


@pytest.fixture(scope="module")
def url(django_db_setup: None, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The sandbox on the database of the tests, with tasks; shared by the tests of this file."""
    env = site.environment(database_url(), redis_url)
    with site.running(env, tmp_path_factory.mktemp("celery")) as url:
        yield url


@pytest.fixture
def app(url: str, settings: Any, redis_url: str, redis_layer: Any) -> Iterator[Celery]:
    """This process sends tasks, and tells of them, as a web process does."""
    settings.LIVESIM = {"CELERY": [f"{TASKS}*"]}
    with Celery("tests", broker=redis_url, set_as_current=False) as app:
        yield app


@pytest.fixture
def send(app: Celery) -> Send:
    """`send("count", total=5)` sends a task that everybody may watch, or `owner`'s; its id."""

    def send(name: str, owner: Any = None, task_id: str | None = None, **kwargs: Any) -> str:
        with owned_by(owner, visibility="public"):
            return str(app.send_task(f"{TASKS}{name}", kwargs=kwargs, task_id=task_id or str(uuid4())).id)

    return send


def run_of(task_id: str) -> Run | None:
    return Run.objects.filter(simulation="external", key=key_of(task_id)).first()


def words_of(run: Run) -> Any:
    found = gateway.stored_view(run, "view")
    return found[1] if found else None


@pytest.fixture
def ended(wait: Callable[..., Any]) -> Callable[[str], Run]:
    def ended(task_id: str) -> Run:
        run: Run = wait(lambda: (run := run_of(task_id)) and run.ended and run)
        return run

    return ended


class Viewer:
    """One socket of a task, and all it was told."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.heard: list[dict[str, Any]] = []

    async def until(self, fits: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        async with asyncio.timeout(MINUTE):
            while True:
                self.heard.append(json.loads(await self.socket.recv()))
                if fits(self.heard[-1]):
                    return self.heard[-1]

    async def end(self) -> dict[str, Any]:
        return await self.until(lambda status: status["complete"] and status["state"] != "RETRY")

    def states(self) -> list[str]:
        states = [status["state"] for status in self.heard]
        return [state for before, state in zip([None, *states], states, strict=False) if state != before]


@asynccontextmanager
async def viewer(url: str, task_id: str, path: str = "task_status", cookie: str = "") -> Any:
    address = f"{url.replace('http', 'ws', 1)}/ws/{path}/{task_id}/"
    headers = {"Cookie": cookie} if cookie else {}
    async with connect(
        address, origin=url, additional_headers=headers, open_timeout=MINUTE, proxy=None
    ) as one:
        yield Viewer(one)


async def test_children_tell_their_tasks_again_and_again_and_each_is_watched_from_beginning_to_end(
    url: str, send: Send
) -> None:
    """More is heard than the looks at the row, every five seconds, could tell."""
    for _ in range(4):  # two children: each more than once
        task_id = str(uuid4())
        async with viewer(url, task_id) as one, viewer(url, task_id, "progress") as other:
            assert (await one.until(bool))["progress"]["pending"]  # there is no such task yet
            await sync_to_async(send)("count", task_id=task_id, total=10, seconds=2)
            end = await one.end()
            assert (end["state"], end["success"], end["result"]) == ("SUCCESS", True, {"counted": 10})
            assert await other.end() == end
        assert one.states() in (
            ["PENDING", "STARTED", "PROGRESS", "SUCCESS"],
            ["PENDING", "PROGRESS", "SUCCESS"],
        )
        progress = [each["progress"] for each in one.heard if each["state"] == "PROGRESS"]
        percents = [each["percent"] for each in progress]
        assert len(percents) >= 3 and percents == sorted(percents)
        assert progress[-1] | {"percent": 0} == {
            "pending": False,
            "current": progress[-1]["percent"] / 10,
            "total": 10,
            "percent": 0,
            "description": f"number {progress[-1]['current']}",
        }


def test_a_task_that_has_returned_is_a_finished_run_of_its_owner(send: Send, ended: Any) -> None:
    ada = make_user()
    run = ended(send("count", owner=ada, total=2, seconds=0.1))
    assert (run.status, run.progress, run.result, run.error) == ("finished", 1.0, {"counted": 2}, "")
    assert (run.owner_id, run.visibility, run.name) == (ada.pk, "public", f"{TASKS}count")
    assert words_of(run) == {
        "task": f"{TASKS}count",
        "state": "SUCCESS",
        "retries": 0,
        "current": 2,
        "total": 2,
        "description": "number 2",
    }


def test_one_whose_senders_transaction_was_rolled_back_is_its_owners_by_what_its_message_says(
    send: Send, ended: Any
) -> None:
    ada = make_user()
    with transaction.atomic():
        task_id = send("at_once", owner=ada)
        transaction.set_rollback(True)
    run = ended(task_id)
    assert (run.status, run.owner_id, run.visibility) == ("finished", ada.pk, "public")


async def test_one_that_raises_has_failed_and_its_owner_reads_why(url: str, send: Send, ended: Any) -> None:
    ada = await sync_to_async(make_user)()
    task_id = await sync_to_async(send)("fail", owner=ada)
    async with viewer(url, task_id) as anybody:
        end = await anybody.end()
    assert (end["state"], end["success"]) == ("FAILURE", False)
    assert end["error"] == end["result"] == "its code raised ValueError"
    cookie = await sync_to_async(log_in)(ada)
    async with viewer(url, task_id, cookie=cookie) as owner:
        assert (await owner.end())["error"] == "ValueError: it cannot be divided"
    run = await sync_to_async(ended)(task_id)
    assert (run.status, run.progress) == ("failed", 0.5)
    assert 'raise ValueError("it cannot be divided")' in run.error


async def test_one_that_is_tried_again_waits_and_may_begin_anew(url: str, send: Send, ended: Any) -> None:
    task_id = str(uuid4())
    async with viewer(url, task_id) as one:
        await sync_to_async(send)("try_again", task_id=task_id, seconds=2)
        again = await one.until(lambda status: status["state"] == "RETRY")
        assert again["result"] == {
            "next_retry_seconds": 2,
            "message": "its code raised ConnectionError; it is to be tried again",
        }
        assert again["progress"]["current"] == 3
        assert (await one.end())["result"] == 1
    run = await sync_to_async(ended)(task_id)
    assert (run.status, run.progress, run.result) == ("finished", 1.0, 1)
    assert (await sync_to_async(words_of)(run))[
        "current"
    ] == 1  # of four, where it had been at the third before


def test_one_that_is_revoked_has_stopped_whether_it_ran_or_waited(
    app: Celery, send: Send, ended: Any, wait: Any
) -> None:
    running = send("count", total=600, seconds=600)
    wait(lambda: (run := run_of(running)) and run.status == "running")
    app.control.revoke(running, terminate=True)
    run = ended(running)
    assert (run.status, run.reason, words_of(run)["state"]) == ("stopped", "terminated", "REVOKED")
    unseen = str(uuid4())
    app.control.revoke(unseen)
    send("at_once", task_id=unseen)
    run = ended(unseen)
    assert (run.status, run.reason, words_of(run)["state"]) == ("stopped", "revoked", "REVOKED")


def test_one_whose_child_was_killed_has_failed_and_the_next_child_tells_of_others(
    send: Send, ended: Any
) -> None:
    run = ended(send("die"))
    assert (run.status, words_of(run)["state"]) == ("failed", "FAILURE")
    assert run.reason.startswith("Worker exited prematurely: signal 9 (SIGKILL)")
    assert [ended(send("at_once")).result for _ in range(4)] == ["done"] * 4


def test_a_name_that_no_worker_knows_is_told(send: Send, ended: Any) -> None:
    run = ended(send("nothing"))
    assert (run.status, run.reason) == ("failed", "no worker knows a task of this name")


async def test_of_one_task_all_viewers_hear_the_end(url: str, send: Send) -> None:
    task_id = str(uuid4())
    async with AsyncExitStack() as stack:
        viewers = [await stack.enter_async_context(viewer(url, task_id)) for _ in range(40)]
        await sync_to_async(send)("count", task_id=task_id, total=3, seconds=0.5)
        ends = await asyncio.gather(*(each.end() for each in viewers))
    assert [end["result"] for end in ends] == [{"counted": 3}] * 40


async def test_of_a_task_of_somebody_else_is_said_what_is_said_of_one_that_there_is_not(
    url: str, send: Send, ended: Any
) -> None:
    ada = await sync_to_async(make_user)()
    theirs, none = str(uuid4()), str(uuid4())
    await sync_to_async(publish_state)(key_of(theirs), owner=ada, state={"state": "STARTED"})
    async with viewer(url, theirs) as one, viewer(url, none) as other:
        assert await one.until(bool) == await other.until(bool)
        assert one.heard[0]["state"] == "PENDING"
    cookie = await sync_to_async(log_in)(ada)
    async with viewer(url, theirs, cookie=cookie) as owner:
        assert (await owner.until(bool))["state"] == "STARTED"


async def test_server_code_may_send_to_the_group_and_a_browser_may_not(url: str, redis_layer: Any) -> None:
    """What is sent wakes the socket, which reads the row, and asks for the right to, again."""
    task_id = str(uuid4())
    run = await sync_to_async(publish_state)(key_of(task_id), state={"state": "STARTED"}, visibility="public")
    async with viewer(url, task_id) as one, viewer(url, task_id) as other:
        await one.until(bool), await other.until(bool)
        for forged in ("livesim.lane", "livesim_look", "update_task_status", "group_send"):
            data = {"state": "SUCCESS", "complete": True}
            await one.socket.send(json.dumps({"type": forged, "group": run.group_name, "data": data}))
        for noise in ("{", "[]", '"check_task_completion"', ""):
            await one.socket.send(noise)
        await one.socket.send(json.dumps({"type": "check_task_completion"}))
        assert await one.until(bool) == one.heard[0]
        began = time.monotonic()
        for visibility, state in [("private", "PENDING"), ("public", "STARTED")] * 4:
            await Run.objects.filter(id=run.id).aupdate(visibility=visibility)
            await get_channel_layer().group_send(run.group_name, {"type": "livesim.look"})
            await other.until(lambda status, state=state: status["state"] == state)
        assert time.monotonic() - began < 4 * LOOK  # eight looks that nobody asked for take twice as long
    assert {each["state"] for each in one.heard + other.heard} == {"PENDING", "STARTED"}


async def test_an_id_of_no_task_is_looked_for_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.celery_tasks.consumers.SEARCH", 0.02)
    monkeypatch.setattr("sandbox.celery_tasks.consumers.LONGEST", 0.2)
    looks: list[float] = []
    enough = asyncio.Event()

    class Counting(TaskStatusConsumer):  # type: ignore[misc]
        async def _look(self) -> tuple[dict[str, Any], bool]:
            looks.append(time.monotonic())
            if len(looks) == 7:
                enough.set()
            return {"state": "PENDING"}, False

    socket = WebsocketCommunicator(URLRouter([path("<str:task_id>/", Counting.as_asgi())]), "/none/")
    await socket.connect(timeout=MINUTE)
    async with asyncio.timeout(MINUTE):
        await enough.wait()
    await socket.disconnect(timeout=MINUTE)
    gaps = [later - earlier for earlier, later in pairwise(looks)]
    least = [0.02, 0.04, 0.08, 0.16, 0.2, 0.2]
    assert all(gap > 0.9 * expected for gap, expected in zip(gaps, least, strict=True)), gaps


def test_only_so_many_of_the_examples_are_open_at_once_and_those_that_are_lost_do_not_count(
    url: str, wait: Any
) -> None:
    visitor = Visitor(url)
    visitor.get("/documents/celery/")
    for number in range(MOST):
        publish_state(key_of(f"lost-{number}"), name=f"{TASKS}count", status="waiting", visibility="public")
    with pytest.raises(urllib.error.HTTPError, match="429") as refused:
        start(visitor, "at_once")
    assert f"{MOST} wait or run already." in refused.value.read().decode()
    Run.objects.filter(key=key_of("lost-0")).update(created_at=timezone.now() - FORGOTTEN)
    start(visitor, "at_once")
    wait(lambda: Run.objects.filter(status="finished").exists())


def start(visitor: Visitor, task: str) -> None:
    """Send the form of the page."""
    form = {"task": task, "csrfmiddlewaretoken": visitor.cookie("csrftoken")}
    data = urllib.parse.urlencode(form).encode()
    visitor.opener.open(f"{visitor.base}/documents/celery/", data, timeout=MINUTE).close()


async def test_a_socket_that_has_closed_has_left_the_group(url: str, redis_url: str, wait: Any) -> None:
    task_id = str(uuid4())
    run = await sync_to_async(publish_state)(key_of(task_id), visibility="public")
    with redis.Redis.from_url(redis_url) as client:

        def listening() -> Any:
            return client.pubsub_channels(f"*{run.group_name}")

        async with viewer(url, task_id) as one:
            await one.until(bool)
            assert listening()
        await sync_to_async(wait)(lambda: not listening())


@pytest.mark.timeout(600)
async def test_of_500_tasks_that_end_before_while_and_after_viewers_connect_none_is_left_hanging(
    url: str, send: Send
) -> None:
    sent = sync_to_async(send, thread_sensitive=True)
    ids = [str(uuid4()) for _ in range(MANY)]
    early, meanwhile, late = ids[::3], ids[1::3], ids[2::3]
    opening = asyncio.Semaphore(20)  # handshakes at a time

    async def watch(task_id: str, connected: asyncio.Event | None = None) -> tuple[str, Any]:
        async with AsyncExitStack() as stack:
            async with opening:
                one = await stack.enter_async_context(viewer(url, task_id))
                await one.until(bool)
            if connected:
                connected.set()
            end = one.heard[-1] if one.heard[-1]["complete"] else await one.end()
            return end["state"], end["result"]

    async def send_when(task_id: str, connected: asyncio.Event) -> None:
        await connected.wait()
        await sent("at_once", task_id=task_id)

    for task_id in early:
        await sent("at_once", task_id=task_id)
    events = {task_id: asyncio.Event() for task_id in late}
    async with asyncio.TaskGroup() as group:
        watching = [group.create_task(watch(task_id)) for task_id in (*meanwhile, *early)]
        watching += [group.create_task(watch(task_id, events[task_id])) for task_id in late]
        for task_id in meanwhile:
            group.create_task(sent("at_once", task_id=task_id))
        for task_id, connected in events.items():
            group.create_task(send_when(task_id, connected))
    assert [each.result() for each in watching] == [("SUCCESS", "done")] * MANY
