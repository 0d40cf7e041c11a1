"""Ready frames on uvicorn's own connections: the same for any client, compressed or not."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.frames import Frame

from django_livesim.bus import wire

TEXTS = ["", "short", "é" * 200, "x" * 125, "x" * 126, "ü" * 40_000, '{"a":[1,2,3]}' * 400]


class Application:
    """Sends `texts` to each socket, by what `wire.sender` gives."""

    def __init__(self) -> None:
        self.texts = TEXTS
        self.direct: list[bool] = []
        self.raised: list[BaseException] = []
        self.allowed = True
        self.taken = 0
        self.connection: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.connection = getattr(send, "__self__", None)
        put = wire.sender(send, direct=self.allowed)
        self.direct.append(getattr(put, "__self__", None).__class__ is wire.Direct)
        try:
            for text in self.texts:
                if (rest := put(text)) is not None:
                    await rest
                self.taken += 1
        except OSError as exc:
            self.raised.append(exc)
            return
        await receive()


@contextlib.asynccontextmanager
async def served(application: Any, **options: Any) -> AsyncIterator[str]:
    config = uvicorn.Config(application, port=0, lifespan="off", log_level="warning", **options)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"ws://127.0.0.1:{port}/"
    server.should_exit = True
    await task


async def heard(url: str, count: int, **options: Any) -> list[Any]:
    async with connect(url, max_size=None, **options) as client:
        return [await asyncio.wait_for(client.recv(), 10) for _ in range(count)]


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("offered", [True, False])
async def test_every_client_hears_every_text_in_order(compression, offered):
    application = Application()
    async with served(application, ws_per_message_deflate=offered) as url:
        for _ in range(2):
            assert await heard(url, len(TEXTS), compression=compression) == TEXTS
    assert application.direct == [True, True]


async def test_each_text_is_compressed_by_itself():
    application = Application()
    application.texts = [
        f'{{"number": {number}, "more": "{"abc" * 700 * (number % 5)}"}}' for number in range(40)
    ]
    async with served(application) as url:
        assert await heard(url, 40, compression="deflate") == application.texts


async def test_switched_off_the_servers_own_way_is_taken():
    application = Application()
    application.allowed = False
    async with served(application) as url:
        assert await heard(url, len(TEXTS)) == TEXTS
    assert application.direct == [False]


async def test_to_anything_else_a_message_is_sent():
    sent = []

    async def send(message: Any) -> None:
        sent.append(message)

    rest = wire.sender(send)("text")
    assert rest is not None
    assert sent == []  # what a host has put around it may need a task
    await rest
    assert sent == [{"type": "websocket.send", "text": "text"}]


async def test_what_a_host_has_put_around_a_servers_own_may_need_a_task_too():
    application = Application()
    begun = []

    async def around(scope: Any, receive: Any, send: Any) -> None:
        @functools.wraps(send)
        async def wrapped(message: Any) -> None:
            begun.append(asyncio.current_task())
            await send(message)

        await application(scope, receive, wrapped)

    async with served(around) as url:
        assert await heard(url, len(TEXTS)) == TEXTS
    assert application.direct == [False]
    assert None not in begun


@pytest.mark.parametrize("missing", ["writable", "disconnected", "close_sent"])
async def test_on_a_connection_that_is_not_as_we_know_it_too(monkeypatch, missing):
    application = Application()
    known = wire._is_known

    def changed(connection: Any) -> bool:
        monkeypatch.delattr(connection, missing)
        try:
            return known(connection)
        finally:
            monkeypatch.undo()

    monkeypatch.setattr(wire, "_is_known", changed)
    async with served(application) as url:
        assert await heard(url, len(TEXTS)) == TEXTS
    assert application.direct == [False]


async def test_one_that_reads_nothing_is_waited_for_and_one_that_has_gone_is_said():
    application = Application()
    application.texts = ["x" * 2**20] * 60
    async with served(application) as url:
        client = await connect(url, max_size=None, max_queue=1, compression=None)
        await asyncio.sleep(0.3)
        assert not application.raised
        client.transport.abort()
        async with asyncio.timeout(10):
            while not application.raised:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("by", ["client", "server"])
async def test_nothing_follows_the_close_of_either_side(by):
    application = Application()
    application.texts = ["x" * 2**20] * 8
    async with served(application) as url:
        reader = await connect(url, max_size=None, max_queue=1, compression=None)
        reader.transport.pause_reading()
        async with asyncio.timeout(10):
            while application.connection is None or application.connection.writable.is_set():
                await asyncio.sleep(0.01)
        if by == "server":
            application.connection.shutdown()
        else:
            reader.protocol.send_close(1000)
            reader.send_data()
            async with asyncio.timeout(10):
                while application.connection.conn.state.name == "OPEN":
                    await asyncio.sleep(0.01)
        application.connection.writable.set()  # as if it had read meanwhile
        async with asyncio.timeout(10):
            while not application.raised:
                await asyncio.sleep(0.01)
        reader.transport.abort()


@given(st.binary(max_size=300))
def test_a_frame_is_that_of_the_rfc(payload):
    text = payload.hex()
    assert wire.frame(text.encode()) == Frame(1, text.encode()).serialize(mask=False)


def test_frames_that_are_kept_take_no_more_than_so_much(monkeypatch):
    monkeypatch.setattr(wire, "KEPT", 10_000)
    frames = wire._Frames()
    for number in range(50):
        text = f"{number:>2000}"
        assert frames.of(text, None) == wire.frame(text.encode())
        assert frames.of(text, 12) == wire.frame(text.encode(), 12)
    kept = sum(sys.getsizeof(made) + sys.getsizeof(text) for (text, _), made in frames._kept.items())
    assert kept <= 10_000
    assert len(frames._kept) >= 2


@pytest.mark.skipif(not hasattr(socket, "TCP_NOTSENT_LOWAT"), reason="the system has no such bound")
@pytest.mark.parametrize("direct", [True, False])
async def test_the_system_holds_little_for_one_that_reads_nothing(direct):
    application = Application()
    application.allowed = direct
    application.texts = ["x" * 8000] * 600  # 4.8 MB
    async with served(application) as url:
        reader = await connect(url, max_size=None, max_queue=1, compression=None)
        reader.transport.pause_reading()
        taken = -1
        while taken < (taken := application.taken):  # as long as any is taken within half a second
            await asyncio.sleep(0.5)
        reader.transport.abort()
    assert 0 < taken * 8000 < 2**20
