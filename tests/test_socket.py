"""The socket of a run, from handshake to close code; what it says and takes is held against the schemas."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket as stdlib_socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.sessions.backends.db import SessionStore
from django.core.asgi import get_asgi_application
from django.db import OperationalError, connection
from django.test import Client
from django.urls import path

from django_livesim import gateway
from django_livesim.bus import hub, interest, watch
from django_livesim.bus.hubs import Hubs, hubs
from django_livesim.bus.publisher import Publisher
from django_livesim.bus.seldom import Seldom
from django_livesim.consumers import admission, inbox, rows
from django_livesim.consumers import socket as socket_module
from django_livesim.consumers.rows import in_database
from django_livesim.models import Command, Run, Worker
from django_livesim.permissions import hash_session, session_id
from django_livesim.protocol import frames
from django_livesim.protocol.frames import Verdict
from django_livesim.routing import livesim_application, websocket_urlpatterns
from django_livesim.store import batch
from django_livesim.worker import Engine
from scripts import services
from tests.protocol_schemas import check

pytestmark = pytest.mark.django_db(transaction=True)

DEADLINE = 60.0


async def echo_socket(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": f"hello {scope['user']}"})
    await receive()


application = livesim_application(get_asgi_application(), websocket=[path("ws/host/", echo_socket)])


class Socket:
    """A client of the ASGI application, as a server would drive it."""

    def __init__(self, where: UUID | str, *, cookies: str = "", **headers: str) -> None:
        target = f"/ws/livesim/runs/{where}/" if isinstance(where, UUID) else where
        route, _, query = target.partition("?")
        pairs = {"host": "testserver", "cookie": cookies, **headers}
        self.scope = {
            "type": "websocket",
            "path": route,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in pairs.items() if value],
            "scheme": "ws",
            "server": ("testserver", 80),
            "subprotocols": [],
        }
        self.heard: list[dict[str, Any]] = []
        self.raw: list[dict[str, Any]] = []
        self.accepted = False
        self.code: int | None = None
        self.hold = asyncio.Event()
        self.hold.set()
        self._to_app: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task: asyncio.Task[None]

    async def __aenter__(self) -> Socket:
        self._to_app.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(application(self.scope, self._to_app.get, self._send))
        await self.until(lambda: self.accepted or self.code)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.hold.set()
        self._to_app.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await asyncio.wait_for(self.task, DEADLINE)

    async def _send(self, message: dict[str, Any]) -> None:
        self.raw.append(message)
        if message["type"] == "websocket.accept":
            self.accepted = True
        elif message["type"] == "websocket.close":
            self.code = message["code"]
            self._to_app.put_nowait({"type": "websocket.disconnect", "code": self.code})
        else:
            await self.hold.wait()
            self.heard.append(check("server", json.loads(message["text"])))

    def say(self, **message: Any) -> None:
        self.text(json.dumps(check("client", message)))

    def text(self, text: str) -> None:
        self._to_app.put_nowait({"type": "websocket.receive", "text": text})

    def command(self, client_id: str, name: str, **args: Any) -> None:
        self.say(type="command", id=client_id, name=name, args=args)

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [message for message in self.heard if message["type"] == kind]

    def kinds(self) -> list[str]:
        return [
            message["type"]
            for message in self.heard
            if message["type"] not in ("presence", "snapshot", "status")
        ]

    async def until(self, condition: Callable[[], Any], seconds: float = DEADLINE) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < deadline, (self.heard[-5:], self.code)
            await asyncio.sleep(0.005)
        return value

    async def closed(self) -> int:
        await self.until(lambda: self.code)
        await asyncio.wait_for(self.task, DEADLINE)
        assert self.code
        return self.code

    async def error(self, count: int = 1) -> dict[str, Any]:
        await self.until(lambda: len(self.of("error")) >= count)
        return self.of("error")[-1]


@pytest.fixture(autouse=True)
async def nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Every test ends with no hub and none of our tasks."""
    monkeypatch.setattr(hub, "LINGER", 0.05)
    monkeypatch.setattr(interest, "INTERVAL", 1.0)
    monkeypatch.setattr(watch, "INTERVAL", 1.0)
    yield
    deadline = time.monotonic() + DEADLINE
    while len(hubs()) or [task for task in asyncio.all_tasks() if task.get_name().startswith("livesim-")]:
        assert time.monotonic() < deadline, asyncio.all_tasks()
        await asyncio.sleep(0.01)


def make_user(name: str = "ada") -> Any:
    return get_user_model().objects.create_user(name, password="x")


def log_in(user: Any) -> str:
    client = Client()
    client.force_login(user)
    return f"sessionid={client.cookies['sessionid'].value}"


@pytest.fixture
def owner(transactional_db: None) -> Any:
    return make_user()


@pytest.fixture
def cookies(owner: Any) -> str:
    return log_in(owner)


@pytest.fixture
def run(owner: Any) -> Run:
    return gateway.start("counter", {"start": 3}, owner=owner)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    made = Publisher()
    made.start()
    yield made
    made.stop()


# -- the whole way, with a worker ----------------------------------------------------------------


@pytest.mark.parametrize("layer", ["local", "redis"])
async def test_a_viewer_sees_hello_frames_accepted_applied_and_the_state(
    request: pytest.FixtureRequest, layer: str, run: Run, cookies: str
) -> None:
    if layer == "redis":
        request.getfixturevalue("redis_layer")
    engine = Engine()
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        async with Socket(run.id, cookies=cookies) as socket:
            await socket.until(lambda: len(socket.of("snapshot")) >= 3)
            assert [message["type"] for message in socket.heard[:2]] == ["hello", "status"]
            hello = socket.of("hello")[0]
            assert (hello["run"], hello["simulation"], hello["role"]) == (str(run.id), "counter", "owner")
            assert hello["commands"][0]["name"] == "add" and hello["commands"][0]["schema"]["properties"]["n"]
            assert (hello["tick_rate"], hello["frame_rate"], hello["tables"]) == (20, 20, [])
            numbers = [(each["epoch"], each["seq"]) for each in socket.of("snapshot")]
            assert numbers == sorted(set(numbers))

            for number in range(20):
                socket.command(f"c{number}", "add", n=number)
            await socket.until(lambda: len(socket.of("applied")) == 20)
            assert [each["id"] for each in socket.of("applied")] == [f"c{number}" for number in range(20)]
            for number in range(20):
                kinds = [each["type"] for each in socket.heard if each.get("id") == f"c{number}"]
                assert kinds == ["accepted", "applied"]
            await socket.until(lambda: socket.of("snapshot")[-1]["state"]["log"] == list(range(20)))

            socket.command("c0", "add", n=0)
            await socket.until(lambda: len(socket.of("applied")) == 21)
            assert socket.of("applied")[-1] == socket.of("applied")[0]
            socket.command("d", "decline", why="not today")
            refused = (await socket.until(lambda: socket.of("refused")))[0]
            assert (refused["id"], refused["code"], refused["message"]) == ("d", "refused", "not today")

            socket.say(type="control", id="p", action="pause")
            await socket.until(lambda: socket.of("status")[-1]["status"] == "paused")
            await socket.until(lambda: socket.of("applied")[-1]["id"] == "p")
            shown = socket.of("applied")[-1]["tick"]
            socket.say(type="control", id="s", action="step", n=3)
            await socket.until(lambda: socket.of("snapshot")[-1]["tick"] == shown + 3)

            async with Socket(run.id, cookies=cookies) as late:
                await late.until(lambda: late.of("snapshot"))
                assert late.of("snapshot")[-1]["tick"] == shown + 3

            socket.say(type="control", id="r", action="restart")
            end = (await socket.until(lambda: socket.of("end")))[0]
            assert end["status"] == "stopped" and UUID(end["next"]) != run.id
        async with Socket(run.id, cookies=cookies) as after:
            await after.until(lambda: after.of("end") and after.of("snapshot"))
            assert after.of("end")[0]["next"] == end["next"]
            assert after.of("snapshot")[0]["state"]["log"] == list(range(20))
    finally:
        engine.drain()
        await asyncio.to_thread(thread.join, 20)


# -- who may -------------------------------------------------------------------------------------


async def test_a_stranger_is_accepted_and_then_closed(run: Run, cookies: str) -> None:
    async with Socket(run.id) as socket:
        assert (socket.accepted, await socket.closed(), socket.heard) == (True, 4401, [])
    async with Socket(uuid4()) as socket:
        assert await socket.closed() == 4401
    async with Socket(uuid4(), cookies=cookies) as socket:
        assert await socket.closed() == 4404
    other = await sync_to_async(lambda: log_in(make_user("eve")))()
    async with Socket(run.id, cookies=other) as socket:
        assert await socket.closed() == 4404
    async with Socket(run.id, cookies="sessionid=nonsense") as socket:
        assert await socket.closed() == 4401


async def test_who_holds_the_link_views_and_no_more(run: Run) -> None:
    await Run.objects.filter(id=run.id).aupdate(visibility="link", link_token="t" * 32)
    async with Socket(f"/ws/livesim/runs/{run.id}/?key={'t' * 32}") as socket:
        await socket.until(lambda: socket.of("hello"))
        assert socket.of("hello")[0]["role"] == "view"
        socket.command("a", "add", n=1)
        error = await socket.error()
        assert (error["id"], error["code"], error["retry"]) == ("a", "forbidden", None)
        await asyncio.sleep(0.2)
        assert socket.code is None
    async with Socket(f"/ws/livesim/runs/{run.id}/?key=wrong") as socket:
        assert await socket.closed() == 4401
    assert await Command.objects.acount() == 0


async def test_logging_out_closes_at_the_next_command(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        client = Client()
        client.cookies.load(cookies)
        await sync_to_async(client.logout)()
        socket.command("a", "add", n=1)
        assert await socket.closed() == 4403
        assert socket.of("error")[0]["code"] == "forbidden"
    assert await Command.objects.acount() == 0


async def test_a_right_that_is_lost_closes_within_a_minute(
    run: Run, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    monkeypatch.setattr(socket_module, "RECHECK", 0.1)

    def grant(*names: str) -> Any:
        user = get_user_model().objects.get_or_create(username="bob")[0]
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        return user

    user = await sync_to_async(grant)("view_run")
    async with Socket(run.id, cookies=await sync_to_async(log_in)(user)) as socket:
        await socket.until(lambda: socket.of("hello"))
        await sync_to_async(grant)("view_run", "control_run")
        await socket.until(lambda: len(socket.of("hello")) == 2)
        assert [each["role"] for each in socket.of("hello")] == ["view", "control"]
        await sync_to_async(grant)()
        assert await socket.closed() == 4403


async def test_a_session_that_is_gone_closes_the_socket_of_an_owner_without_a_name(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "RECHECK", 0.1)

    def begin() -> SessionStore:
        session = SessionStore()
        session.create()
        owned = hash_session(session_id(session))
        Run.objects.filter(id=run.id).update(owner=None, session=owned)
        return session

    session = await sync_to_async(begin)()
    async with Socket(run.id, cookies=f"sessionid={session.session_key}") as socket:
        await socket.until(lambda: socket.of("hello"))
        assert socket.of("hello")[0]["role"] == "owner"
        await asyncio.sleep(0.3)
        assert socket.code is None
        await sync_to_async(session.flush)()
        assert await socket.closed() == 4403


async def test_a_look_at_the_rights_that_failed_is_taken_again_soon(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "RECHECK_SOON", 0.1)
    await Run.objects.filter(id=run.id).aupdate(visibility="public")
    look, fails = socket_module.aadmit_again, [True]

    async def fail(*args: Any) -> Any:
        if fails.pop() if fails else False:
            raise OperationalError("gone")
        return await look(*args)

    monkeypatch.setattr(socket_module, "aadmit_again", fail)
    async with Socket(run.id) as socket:
        await socket.until(lambda: socket.of("status"))
        await Run.objects.filter(id=run.id).aupdate(visibility="private")
        socket.command("a", "add", n=1)
        assert await socket.closed() == 4403
        assert not fails


async def test_a_deleted_run_is_said_to_be(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        await Run.objects.filter(id=run.id).adelete()
        assert await socket.closed() == 4410


# -- what is wrong with a message ----------------------------------------------------------------


async def test_every_bad_message_gets_a_coded_error_and_changes_nothing(run: Run, cookies: str) -> None:
    cases = [
        ("{", "bad_json", None),
        ('{"id":"q","type":', "bad_json", "q"),
        (
            '{"type":"command","id":"b","name":"add","args":' + '{"a":' * 20 + "1" + "}" * 20 + "}",
            "bad_json",
            "b",
        ),
        ('{"type":"command","id":"c","name":"add","args":{"n":"' + "x" * 20000 + '"}}', "too_large", "c"),
        ('{"type":"shout","id":"d"}', "unknown_command", "d"),
        ('{"type":"livesim.frame","id":"e"}', "unknown_command", "e"),
        ('{"type":"command","id":"f","name":"jump","args":{}}', "unknown_command", "f"),
        ('{"type":"command","id":"f","name":"__init__","args":{}}', "unknown_command", "f"),
        ('{"type":"command","id":"g","name":"add","args":{"n":"x"}}', "bad_args", "g"),
        ('{"type":"command","id":"h","name":"add","args":{"n":1,"m":2}}', "bad_args", "h"),
        ('{"type":"command","id":"i","name":"add","surplus":1}', "bad_args", "i"),
        ('{"type":"command","name":"add"}', "bad_args", None),
        ('{"type":"control","id":"k","action":"explode"}', "bad_args", "k"),
        ('{"type":"control","id":"l","action":"step","n":10000000}', "bad_args", "l"),
    ]
    async with Socket(run.id, cookies=cookies) as socket:
        for count, (text, code, client_id) in enumerate(cases, 1):
            socket.text(text)
            error = await socket.error(count)
            assert (error["code"], error["id"]) == (code, client_id), (text[:80], error)
            if code == "bad_args":
                assert error["fields"], error
        for count, (size, code) in enumerate([(2, "bad_json"), (20000, "too_large")], len(cases) + 1):
            socket._to_app.put_nowait({"type": "websocket.receive", "bytes": b"x" * size})
            assert (await socket.error(count))["code"] == code
        socket.say(type="ping")
        await socket.until(lambda: socket.of("pong"))
        assert socket.code is None
    assert await Command.objects.acount() == 0


async def test_a_message_beyond_all_measure_closes(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        socket.text('{"type":"ping","id":"' + "x" * 300_000 + '"}')
        assert await socket.closed() == 1009
        assert socket.of("error")[0]["code"] == "too_large"
    async with Socket(run.id, cookies=cookies) as socket:
        socket._to_app.put_nowait({"type": "websocket.receive", "bytes": b"x" * 300_000})
        assert await socket.closed() == 1009


async def test_an_ended_run_takes_no_commands_and_tells_how_it_ended(run: Run, cookies: str) -> None:
    await Run.objects.filter(id=run.id).aupdate(status="finished", result={"value": 3}, reason="done")
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("end"))
        assert socket.of("end")[0] == {
            "type": "end",
            "status": "finished",
            "result": {"value": 3},
            "next": None,
        }
        socket.command("a", "add", n=1)
        assert (await socket.error())["code"] == "run_ended"


async def test_an_id_used_for_another_command_is_refused_and_the_first_still_answered(
    run: Run, cookies: str, publisher: Publisher
) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        socket.command("a", "add", n=1)
        socket.command("a", "add", n=2)
        assert (await socket.error())["code"] == "duplicate_id"
        row = await Command.objects.aget()
        verdict = Verdict(sender=row.sender, id="a", command="add", outcome="applied", tick=1, result="4")
        publisher.publish(run.id, "all", verdict.encode())
        await socket.until(lambda: socket.of("applied"))
        assert socket.of("applied")[0]["id"] == "a"


async def test_a_database_that_does_not_answer_is_said(
    run: Run, cookies: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        problems = [OperationalError("gone"), batch.NotKnown("gone"), LookupError("a mistake of ours")]

        def fail(wanted: Any) -> Any:
            if isinstance(problems[0], batch.NotKnown):
                return [problems.pop(0)]
            raise problems.pop(0)

        monkeypatch.setattr(batch, "insert_commands", fail)
        socket.command("a", "add", n=1)
        error = await socket.error()
        assert (error["code"], error["retry"]) == ("db_down", 1)
        assert "nothing was stored" in error["message"]
        socket.command("a", "add", n=1)
        error = await socket.error(2)
        assert (error["code"], error["retry"]) == ("db_down", 1)
        assert "not known whether the command was stored" in error["message"]
        socket.command("b", "add", n=1)
        error = await socket.error(3)
        assert (error["code"], error["retry"]) == ("error", None)
        assert "a mistake of ours" in caplog.text and "a mistake" not in error["message"]
        assert socket.code is None


# -- a database that is away, slow, or busy with others ------------------------------------------


def break_session(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(self: SessionStore) -> Any:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(SessionStore, "load", load)


def break_description(monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(simulation: str) -> Any:
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(admission, "describe", describe)


def break_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def join(*args: Any) -> Any:
        raise LookupError("no such layer")

    monkeypatch.setattr(Hubs, "join", join)


@pytest.mark.parametrize("break_it", [break_session, break_description, break_hub])
async def test_who_cannot_be_let_in_now_is_accepted_and_told_to_come_again(
    run: Run,
    cookies: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    break_it: Callable[[pytest.MonkeyPatch], None],
) -> None:
    monkeypatch.setattr(socket_module, "seldom", Seldom(socket_module.logger))
    break_it(monkeypatch)
    for _ in range(3):
        async with Socket(run.id, cookies=cookies) as socket:
            assert (socket.accepted, await socket.closed(), socket.heard) == (True, 1012, [])
    assert caplog.text.count("A viewer cannot be served") == 1


async def test_a_slow_query_of_somebody_else_holds_up_no_socket(run: Run, cookies: str) -> None:
    over, under_way = threading.Event(), threading.Event()

    def query() -> None:
        under_way.set()
        over.wait(DEADLINE)

    slow = asyncio.create_task(sync_to_async(query)())
    try:
        while not under_way.is_set():
            await asyncio.sleep(0.005)
        async with Socket(run.id, cookies=cookies) as socket:
            socket.command("a", "add", n=1)
            await socket.until(lambda: socket.of("accepted"))
            assert not slow.done()
    finally:
        over.set()
        await slow


async def test_the_sockets_of_a_process_have_so_many_connections_to_the_database_and_keep_none() -> None:
    seen: set[str] = set()

    @in_database
    def look() -> None:
        seen.add(threading.current_thread().name)
        Run.objects.count()

    @in_database
    def is_connected() -> bool:
        return connection.connection is not None

    await asyncio.gather(*(look() for _ in range(50)))
    assert len(seen) <= rows.THREADS
    assert not any(await asyncio.gather(*(is_connected() for _ in range(50))))


async def test_an_admission_that_takes_too_long_is_given_up(
    run: Run, cookies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket_module, "ADMIT_LIMIT", 0.2)
    over = threading.Event()
    monkeypatch.setattr(admission, "describe", lambda name: over.wait(2 * DEADLINE))
    try:
        async with Socket(run.id, cookies=cookies) as socket:
            assert await socket.closed() == 1012
    finally:
        over.set()


async def test_a_command_that_is_not_stored_in_time_may_be_sent_again_and_takes_effect_once(
    run: Run, cookies: str, monkeypatch: pytest.MonkeyPatch, publisher: Publisher
) -> None:
    insert, over = batch.insert_commands, threading.Event()

    def slow(wanted: Any) -> Any:
        rows = insert(wanted)
        over.wait(DEADLINE)
        return rows

    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        monkeypatch.setattr(batch, "insert_commands", slow)
        monkeypatch.setattr(socket_module, "STORE_LIMIT", 0.3)
        socket.command("a", "add", n=1)
        error = await socket.error()
        assert (error["code"], error["retry"]) == ("busy", 1)
        while (row := await Command.objects.afirst()) is None:
            await asyncio.sleep(0.005)
        over.set()
        verdict = Verdict(sender=row.sender, id="a", command="add", outcome="applied", tick=1, result="4")
        publisher.publish(run.id, "all", verdict.encode())
        monkeypatch.setattr(socket_module, "STORE_LIMIT", DEADLINE)
        await asyncio.sleep(0.1)
        socket.command("a", "add", n=1)
        await socket.until(lambda: socket.of("applied"))
        assert socket.kinds() == ["hello", "error", "accepted", "applied"]
    assert await Command.objects.acount() == 1


async def test_sockets_that_leave_while_the_database_hangs_leave_nothing(
    run: Run, cookies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "LEAVE_LIMIT", 0.1)
    go = threading.Event()

    def hang(*args: Any, **kwargs: Any) -> Any:
        go.wait(DEADLINE)
        raise OperationalError("gone")

    try:
        async with Socket(run.id, cookies=cookies) as asks:
            await asks.until(lambda: asks.of("status"))
            monkeypatch.setattr(batch, "insert_commands", hang)
            monkeypatch.setattr(admission, "describe", hang)
            for number in range(30):
                asks.command(f"c{number}", "add", n=1)
            joins = [Socket(run.id, cookies=cookies) for _ in range(20)]
            for socket in joins:
                await socket.__aenter__()
            await asyncio.sleep(0.1)
            began = time.monotonic()
            await asyncio.gather(*(socket.__aexit__() for socket in joins))
        assert time.monotonic() - began < DEADLINE / 2
    finally:
        go.set()


async def test_what_was_said_just_before_leaving_is_still_taken(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        for number in range(5):
            socket.command(f"c{number}", "add", n=number)
    assert await Command.objects.acount() == 5


# -- lanes, pace and floods ----------------------------------------------------------------------


async def test_a_flood_of_messages_is_answered_in_full_and_closes_nothing(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        for _ in range(1000):
            socket.say(type="ping")
        await socket.until(lambda: len(socket.of("pong")) == 1000)
        assert socket.code is None


async def test_who_sends_more_than_its_allowance_is_closed(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        for _ in range(3000):
            socket.say(type="ack", epoch=0, seq=0)
        assert await socket.closed() == 4429


async def test_messages_without_an_answer_leave_turns_to_everybody_else(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("presence"))
        for _ in range(900):
            socket.say(type="ack", epoch=0, seq=0)
        socket.say(type="ping")
        turns = 0
        while not socket.of("pong"):
            turns += 1
            await asyncio.sleep(0)
        assert turns > 20


async def test_a_viewer_that_takes_nothing_for_too_long_is_closed(
    run: Run, cookies: str, settings: Any
) -> None:
    settings.LIVESIM = {"SLOW_VIEWER": 0.2}
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        socket.hold.clear()
        socket.say(type="ping")
        assert await socket.closed() == 4408


async def test_a_result_that_overtakes_its_row_comes_after_accepted(
    run: Run, cookies: str, monkeypatch: pytest.MonkeyPatch, publisher: Publisher
) -> None:
    """The worker is quicker than the answer of our own INSERT."""
    insert = batch.insert_commands

    def slow(wanted: Any) -> Any:
        rows = insert(wanted)
        sender = wanted[0]["sender"]
        verdict = Verdict(sender=sender, id="a", command="add", outcome="applied", tick=1, result="4")
        publisher.publish(run.id, "all", verdict.encode())
        time.sleep(0.1)
        return rows

    monkeypatch.setattr(batch, "insert_commands", slow)
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        socket.command("a", "add", n=1)
        await socket.until(lambda: socket.of("applied"))
        assert socket.kinds() == ["hello", "accepted", "applied"]


async def test_a_result_whose_message_was_lost_is_read_from_its_row(run: Run, cookies: str) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        socket.command("a", "add", n=1)
        await socket.until(lambda: socket.of("accepted"))
        await Command.objects.aupdate(
            outcome="refused", code="refused", message="no", apply_tick=9, apply_seq=1
        )
        refused = (await socket.until(lambda: socket.of("refused")))[0]
        assert (refused["id"], refused["tick"], refused["message"]) == ("a", 9, "no")


async def test_events_and_others_results_reach_everyone(run: Run, cookies: str, publisher: Publisher) -> None:
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("presence"))
        text = frames.event("boom", {"n": 1}, 4)
        publisher.publish(run.id, "all", {"type": "livesim.lane", "kind": "event", "text": text})
        verdict = Verdict(sender="p:cli", id="z", command="add", outcome="applied", tick=1, result="4")
        publisher.publish(run.id, "all", verdict.encode())
        await socket.until(lambda: socket.of("applied"))
        assert socket.of("event")[0]["data"] == {"n": 1}
        by = {"kind": "process", "name": "cli"}  # for the owner
        told = {"type": "applied", "id": None, "command": "add", "tick": 1, "by": by}
        assert socket.of("applied")[0] == told
        assert socket.of("presence")[0]["viewers"] == 1


async def test_resync_rate_and_ack_are_taken(run: Run, cookies: str, publisher: Publisher) -> None:
    worker = await Worker.objects.acreate()
    await Run.objects.filter(id=run.id).aupdate(worker=worker, status="running", epoch=1)

    def show(seq: int) -> None:
        message = {"type": "livesim.frame", "role": "all", "epoch": 1, "seq": seq, "tick": seq}
        publisher.publish(run.id, "all", message | {"text": frames.snapshot(1, seq, seq, b"{}")})

    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("presence"))
        show(1)
        await socket.until(lambda: len(socket.of("snapshot")) == 1)
        socket.say(type="resync")
        await socket.until(lambda: len(socket.of("snapshot")) == 2)
        socket.say(type="ack", epoch=1, seq=1)
        socket.say(type="rate", fps=50)
        for seq in (2, 3, 4):
            show(seq)
            await asyncio.sleep(0.05)
        assert [each["seq"] for each in socket.of("snapshot")] == [1, 1, 2, 3]
        socket.say(type="ack", epoch=1, seq=3)
        await socket.until(lambda: socket.of("snapshot")[-1]["seq"] == 4)


async def test_a_simulation_whose_code_is_not_here_is_watched_all_the_same(owner: Any, cookies: str) -> None:
    run = await Run.objects.acreate(simulation="elsewhere", owner=owner)
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        hello = socket.of("hello")[0]
        assert (hello["commands"], hello["tick_rate"], hello["frame_rate"]) == ([], None, None)
        socket.command("a", "add", n=1)
        error = await socket.error()
        assert error["code"] == "error" and "lacks the code" in error["message"]
        socket.say(type="control", id="p", action="pause")
        await socket.until(lambda: socket.of("applied"))


async def test_a_restart_of_an_ended_run_is_told_to_those_who_watch_it(run: Run, cookies: str) -> None:
    await sync_to_async(gateway.stop)(run)
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("end"))
        await sync_to_async(gateway.restart)(run.id)
        await socket.until(lambda: len(socket.of("end")) == 2)
        assert socket.of("end")[0]["next"] is None and UUID(socket.of("end")[1]["next"]) != run.id


async def test_one_channel_is_taken_for_all_viewers(
    run: Run, cookies: str, redis_layer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from channels.layers import get_channel_layer

    made: list[str] = []
    layer = get_channel_layer()
    new_channel = layer.new_channel

    async def count(*args: Any) -> Any:
        made.append("one")
        return await new_channel(*args)

    monkeypatch.setattr(layer, "new_channel", count, raising=False)
    async with Socket(run.id, cookies=cookies) as a, Socket(run.id, cookies=cookies) as b:
        await a.until(lambda: a.of("presence") and b.of("presence"))
    assert made == ["one"]


# -- handshake and routes ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origin", "let_in"),
    [
        ("http://testserver", True),
        ("http://testserver:80", True),
        ("https://testserver", False),
        ("http://testserver:8000", False),
        ("http://evil.example", False),
        ("http://testserver.evil.example", False),
        ("http://evil.example@testserver", False),
        ("http://[::1", False),
        ("http://testserver:port", False),
        ("null", False),
        ("testserver", False),
        ("\xff\xfe", False),
        ("https://trusted.example", True),
        ("http://trusted.example", False),
        ("https://a.wild.example", True),
        ("https://wild.example.evil.example", False),
        ("", True),
    ],
)
async def test_only_the_sites_own_pages_may_open_a_socket(
    run: Run, settings: Any, origin: str, let_in: bool
) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://trusted.example", "https://*.wild.example"]
    async with Socket(run.id, origin=origin) as socket:
        assert socket.accepted is let_in
        assert await socket.closed() == (4401 if let_in else 4403)


async def test_a_host_that_is_not_ours_makes_no_origin_good(run: Run) -> None:
    async with Socket(run.id, origin="http://evil.example", host="evil.example") as socket:
        assert not socket.accepted


async def test_behind_a_proxy_that_ends_tls_the_scheme_is_what_django_says(run: Run, settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    headers = {"x-forwarded-proto": "https"}
    async with Socket(run.id, origin="https://testserver", **headers) as socket:
        assert socket.accepted


async def test_an_unknown_path_is_closed_and_the_hosts_own_is_served(cookies: str) -> None:
    for where in ("/ws/nowhere/", "/ws/livesim/runs/5/", "/"):
        async with Socket(where) as socket:
            assert (socket.accepted, await socket.closed()) == (True, 4404)
    async with Socket("/ws/livesim/runs/not-a-uuid/?key=" + "a=b&" * 50) as socket:
        assert await socket.closed() == 4404
    own = Socket("/ws/host/", cookies=cookies)
    own._send = lambda message: _note(own, message)  # type: ignore[method-assign]
    async with own:
        await own.until(lambda: len(own.raw) == 2)
        assert own.raw[1]["text"] == "hello ada"


async def _note(socket: Socket, message: dict[str, Any]) -> None:
    socket.raw.append(message)
    socket.accepted = True


async def test_a_query_that_is_too_long_holds_no_key(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    await Run.objects.filter(id=run.id).aupdate(visibility="link", link_token="t" * 32)
    query = "a=b&" * 50 + "key=" + "t" * 32
    async with Socket(f"/ws/livesim/runs/{run.id}/?{query}") as socket:
        assert await socket.closed() == 4401
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_viewer_that_leaves_before_it_is_let_in_leaves_nothing(run: Run, cookies: str) -> None:
    socket = Socket(run.id, cookies=cookies)
    async with socket:
        pass
    assert socket.task.done()


def test_the_routes_can_be_imported_without_django() -> None:
    code = "import django_livesim.routing as r; print(r.websocket_urlpatterns, list(r.channel_routes))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": "."}
    )
    assert "livesim.runs" in done.stdout, done.stderr
    assert len(websocket_urlpatterns) == 2


# -- real servers --------------------------------------------------------------------------------

SERVERS = {
    "uvicorn": ["-m", "uvicorn", "tests.asgi:application", "--log-level", "warning", "--port"],
    "daphne": ["-m", "daphne", "tests.asgi:application", "-v", "0", "-p"],
}


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, process_env: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """A server process; gives its port."""
    pytest.importorskip(request.param)
    port, log = services.free_port(), tmp_path / "log"
    with log.open("wb") as output:
        command = [sys.executable, *SERVERS[request.param], str(port)]
        process = subprocess.Popen(command, env=process_env, stdout=output, stderr=output)

    def answers() -> bool:
        with contextlib.suppress(OSError):
            stdlib_socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        return False

    try:
        services.wait_for(answers, process, log)
        yield port
    finally:
        services.stop(process)


async def test_a_client_that_is_not_ours_on_a_real_server(run: Run, cookies: str, server: int) -> None:
    websockets = pytest.importorskip("websockets")
    url = f"ws://127.0.0.1:{server}/ws/livesim/runs/"
    async with websockets.connect(f"{url}{run.id}/", additional_headers={"Cookie": cookies}) as client:
        kinds = [check("server", json.loads(await client.recv()))["type"] for _ in range(2)]
        assert kinds == ["hello", "status"]
        await client.send(json.dumps({"type": "command", "id": "a", "name": "add", "args": {"n": 1}}))
        while (message := check("server", json.loads(await client.recv())))["type"] != "accepted":
            pass
        assert message["id"] == "a"
        await Run.objects.filter(id=run.id).adelete()
        await asyncio.wait_for(client.wait_closed(), DEADLINE)
        assert client.close_code == 4410
    for where, code in ((f"{url}{run.id}/", 4401), (f"ws://127.0.0.1:{server}/nowhere/", 4404)):
        async with websockets.connect(where) as client:
            await asyncio.wait_for(client.wait_closed(), DEADLINE)
            assert client.close_code == code
    with pytest.raises(websockets.InvalidStatus):
        await websockets.connect(f"{url}{run.id}/", origin="http://evil.example")
