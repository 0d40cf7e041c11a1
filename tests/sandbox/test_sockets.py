"""What the sockets of the examples make of odd messages, and what they leave behind; in this process."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from channels.layers import get_channel_layer
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser
from django.db import OperationalError

from sandbox.celery_tasks.consumers import TaskStatusConsumer
from sandbox.celery_tasks.routing import websocket_urlpatterns as of_tasks
from sandbox.documents.sockets import MOST
from sandbox.prog.consumers import ProgSocket
from sandbox.prog.routing import websocket_urlpatterns as of_jobs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]

MINUTE = 60.0
TASK, JOB = "/ws/task_status/none/", "/prog/"


class Database:
    """Knows of no task and of no job; or does not answer."""

    away = False

    async def own(self, socket: Any) -> None:
        if self.away:
            raise OperationalError("the server has gone")

    async def look(self, socket: Any) -> tuple[dict[str, Any], bool]:
        return {"state": "PENDING"}, False


@pytest.fixture(autouse=True)
def database(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Database:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    database = Database()
    monkeypatch.setattr(ProgSocket, "_own", lambda socket: database.own(socket))
    monkeypatch.setattr(TaskStatusConsumer, "_look", lambda socket: database.look(socket))
    return database


async def opened(path: str) -> WebsocketCommunicator:
    """A socket that has heard its first word."""
    socket = WebsocketCommunicator(URLRouter([*of_tasks, *of_jobs]), path)
    socket.scope |= {"user": AnonymousUser(), "session": None}
    await socket.connect(timeout=MINUTE)
    await socket.receive_from(MINUTE)
    return socket


async def beside() -> set[asyncio.Task[Any]]:
    """The tasks that a socket has beside it, once there are any."""
    async with asyncio.timeout(MINUTE):
        while not (tasks := {task for task in asyncio.all_tasks() if is_beside(task)}):
            await asyncio.sleep(0)
    return tasks


def is_beside(task: asyncio.Task[Any]) -> bool:
    return task.get_name().startswith(("task-", "answer-"))


async def assert_ended(tasks: set[asyncio.Task[Any]]) -> None:
    _ended, left = await asyncio.wait(tasks, timeout=10)
    for task in left:
        task.cancel()
    assert not left


@pytest.mark.parametrize("path", [TASK, JOB])
async def test_a_socket_whose_handler_raises_leaves_no_task_behind(path: str) -> None:
    socket = await opened(path)
    tasks = await beside()
    layer = get_channel_layer()
    (channel,) = (name for name in layer.channels if name.startswith("specific"))
    await layer.send(channel, {"type": "nothing.known"})
    with pytest.raises(ValueError, match="No handler"):
        await socket.wait(MINUTE)
    await assert_ended(tasks)


@pytest.mark.parametrize("path", [TASK, JOB])
async def test_a_socket_that_its_server_ends_leaves_no_task_behind(path: str) -> None:
    socket = await opened(path)
    tasks = await beside()
    socket.future.cancel()
    await assert_ended(tasks)


@pytest.mark.parametrize("path", [TASK, JOB])
async def test_a_socket_that_is_closed_leaves_no_task_behind(path: str) -> None:
    socket = await opened(path)
    tasks = await beside()
    await socket.disconnect(timeout=MINUTE)
    await assert_ended(tasks)


async def test_a_socket_that_meets_an_outage_of_the_database_leaves_no_task_behind(
    database: Database,
) -> None:
    socket = await opened(JOB)
    tasks = await beside()
    database.away = True
    await socket.send_to(json.dumps({"action": "stop"}))
    with pytest.raises(OperationalError):
        await socket.wait(MINUTE)
    await assert_ended(tasks)


ODD = {
    "nested": "[" * 5000,
    "open": '{"a": ' * 2000,
    "long": f'"{"x" * MOST}"',
    "number": "1" * 10_000,
}


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD)
@pytest.mark.parametrize(
    ("path", "asks"), [(TASK, {"type": "check_task_completion"}), (JOB, {"action": "dance"})]
)
async def test_after_an_odd_message_a_socket_goes_on(path: str, asks: dict[str, str], sent: str) -> None:
    socket = await opened(path)
    await socket.send_to(sent)
    await socket.send_to(json.dumps(asks))
    expected = {TASK: '"PENDING"', JOB: "There is no action 'dance'"}[path]
    async with asyncio.timeout(MINUTE):
        while expected not in await socket.receive_from(MINUTE):
            pass
    await socket.disconnect(timeout=MINUTE)
