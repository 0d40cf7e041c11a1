"""A frame of a WebSocket, built once and written to every connection that is to have it.

A server builds one for each, though all are the same: on uvicorn that is most of what a delivery costs. Where
uvicorn's own connection is what we send to, ready bytes go to its transport, by the rules by which it writes
itself; anywhere else, and where one of its parts is not as we know it, its `send` is called. Both keep their
order, since each writes at once what it is given.

A connection that has agreed on compression gets large frames compressed, once for all (RFC 7692, section
7.2.3.1: each message may begin with an empty window). So on such a connection all texts go this way: the
server's compressor must not refer to what it has not seen. RFC 6455, section 5.2, has the frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import sys
import zlib
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from django_livesim.bus.starting import started

UVICORN = "uvicorn.protocols.websockets.websockets_sansio_impl"
COMPRESSED = 1024  # bytes from which on a text is compressed
LEVEL = 1  # of zlib: most of the gain for the least time
KEPT = 2**22  # bytes of frames that are kept, for the next connection
UNSENT = 2**16  # bytes that wait in the system for one that does not read; what waits here is passed over
SHARED = 256  # characters from which on a text may be one that many get

SERVERS = {"uvicorn", "daphne", "hypercorn"}

FINAL_TEXT = 0x81
FINAL_TEXT_COMPRESSED = 0xC1
SMALLEST = 9  # bits of a window that zlib can keep to
TAIL = b"\x00\x00\xff\xff"

logger = logging.getLogger(__name__)

Send = Callable[[str], Coroutine[Any, Any, None] | None]
"""Begins to send a text: None where that is over, else the rest, which is to be run in a task.

It is called outside of all tasks, and raises what the sending raises."""


def sender(send: Callable[[dict[str, Any]], Awaitable[Any]], *, direct: bool = True) -> Send:
    """What sends texts to a connection whose ASGI `send` this is; not `direct`: by that alone.

    That of the servers we know is begun outside of a task (`starting`). What a host has put around it may
    need one.
    """
    send = _without_session(send)
    connection = getattr(send, "__self__", None)
    _bound(getattr(connection, "transport", None))
    if direct and connection is not None and _is_known(connection):
        return Direct(connection).begin
    own = getattr(send, "func", send)
    module = getattr(own, "__module__", None) or ""
    if module.partition(".")[0] in SERVERS and not hasattr(own, "__wrapped__"):
        return ByServer(send).begin

    async def by_task(text: str) -> None:
        await send({"type": "websocket.send", "text": text})

    return by_task


def _without_session(send: Any) -> Any:
    """That around which Channels' sessions have put theirs, which has nothing to do for a socket."""
    wrapper = getattr(sys.modules.get("channels.sessions"), "InstanceSessionWrapper", None)
    while wrapper is not None and type(getattr(send, "__self__", None)) is wrapper:
        send = send.__self__.real_send
    return send


def _bound(transport: Any) -> None:
    """Have the system hold little that it has not sent, where it and the server let us say so.

    It takes megabytes otherwise, which are old by the time that they are read.
    """
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is None or not isinstance(transport, asyncio.Transport):
        return
    connection = transport.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):  # as where it is no TCP
        connection.setsockopt(socket.IPPROTO_TCP, option, UNSENT)


def _is_known(connection: Any) -> bool:
    """Whether it is uvicorn's, with all that we touch."""
    module = sys.modules.get(UVICORN)
    if module is None or type(connection) is not getattr(module, "WebSocketsSansIOProtocol", None):
        return False
    try:
        known = (
            isinstance(connection.writable, asyncio.Event)
            and isinstance(connection.disconnected, bool)
            and isinstance(connection.close_sent, bool)
            and connection.handshake_complete is True
            and callable(connection.transport.write)
            and isinstance(connection.conn.state.name, str)
        )
        _window(connection.conn.extensions)
    except AttributeError:
        known = False
    if not known:
        logger.info("uvicorn is not as we know it; frames are sent by its own way")
    return known


def _window(extensions: Any) -> int | None:
    """How many bits of window the other side keeps for us, None where nothing is to be compressed."""
    for extension in extensions or ():
        if type(extension).__name__ != "PerMessageDeflate":
            raise AttributeError(type(extension).__name__)
        bits = int(extension.local_max_window_bits)
        return bits if bits >= SMALLEST else None
    return None


class Bare:
    """What begins sends in which nothing of the host's runs: they need no context of their own."""

    __slots__ = ()


class ByServer(Bare):
    """One connection of a server that we know, by its own `send`."""

    __slots__ = ("_send",)

    def __init__(self, send: Callable[[dict[str, Any]], Awaitable[Any]]) -> None:
        self._send = send

    def begin(self, text: str) -> Coroutine[Any, Any, None] | None:
        return started(self._send({"type": "websocket.send", "text": text}))


class Direct(Bare):
    """One connection of uvicorn's."""

    __slots__ = ("_conn", "_connection", "_gone", "_open", "_transport", "_window", "_writable")

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._conn, self._transport = connection.conn, connection.transport
        self._writable = connection.writable
        self._window = _window(connection.conn.extensions)
        from uvicorn.protocols.utils import ClientDisconnected
        from websockets.protocol import State

        self._gone, self._open = ClientDisconnected, State.OPEN

    def begin(self, text: str) -> Coroutine[Any, Any, None] | None:
        """As the server's own, with the same waiting and the same exception."""
        if not self._writable.is_set():
            return self._wait(text)
        self._write(text)
        return None

    async def _wait(self, text: str) -> None:
        await self._writable.wait()
        self._write(text)

    def _write(self, text: str) -> None:
        if self._connection.disconnected or self._conn.state is not self._open:
            raise self._gone
        if not self._connection.close_sent:
            self._transport.write(_frames.of(text, self._window))


class _Frames:
    """The frames of the texts that were sent last."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int | None], bytes] = {}
        self._size = 0
        self._last: tuple[str | None, int | None, bytes] = None, None, b""

    def of(self, text: str, window: int | None) -> bytes:
        last, its_window, made = self._last
        if text is last and window == its_window:
            return made
        made = self._made(text, window)
        self._last = text, window, made
        return made

    def _made(self, text: str, window: int | None) -> bytes:
        if len(text) < SHARED:
            return frame(text.encode())
        if len(text) < COMPRESSED:
            window = None
        made = self._kept.get((text, window))
        if made is None:
            made = self._kept[text, window] = frame(text.encode(), window)
            self._size += sys.getsizeof(made) + sys.getsizeof(text)
            while self._size > KEPT and len(self._kept) > 1:
                (oldest, _), gone = next(iter(self._kept.items()))
                self._size -= sys.getsizeof(gone) + sys.getsizeof(oldest)
                del self._kept[next(iter(self._kept))]
        return made


_frames = _Frames()


def frame(payload: bytes, window: int | None = None) -> bytes:
    """A text as one frame of a server; compressed for a window of so many bits, where that is given."""
    first = FINAL_TEXT
    if window is not None:
        deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -window)
        payload = (deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)
        first = FINAL_TEXT_COMPRESSED
    size = len(payload)
    if size < 126:
        head = bytes((first, size))
    elif size < 2**16:
        head = bytes((first, 126)) + size.to_bytes(2)
    else:
        head = bytes((first, 127)) + size.to_bytes(8)
    return head + payload
