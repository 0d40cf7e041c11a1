"""A bad network between processes and a server on loopback: connections that lag, are cut, or go silent.

A thread with an event loop owns the connections; what is asked of a proxy is done there before the call
returns. Each direction of a connection holds at most `MOST` pieces: a silent one costs bounded memory.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

PIECE = 65536  # bytes read at once
MOST = 64  # pieces under way in one direction
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: whoever is at the other end gets a reset
ANSWER = 10.0  # seconds for the thread to do what is asked


class _Way:
    """One direction of a connection: pieces are read, wait for their time, and are written."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._pieces: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST)
        self.silent = False
        """What is read is swallowed, its end too: the other end hears nothing more, for ever."""

    async def read(self, delay: Callable[[], float]) -> None:
        """Until the end of what is read, which is passed on as an empty piece."""
        loop, data = asyncio.get_running_loop(), b" "
        while data:
            data = await self._reader.read(PIECE)
            if not self.silent:
                await self._pieces.put((loop.time() + delay(), data))
        if self.silent:
            await asyncio.Event().wait()  # not closed before the proxy is

    async def write(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, data = await self._pieces.get()
            await asyncio.sleep(max(0.0, due - loop.time()))
            if self.silent:
                continue
            if not data:
                return
            self._writer.write(data)
            await self._writer.drain()


class _Connection:
    """Both directions; closed where one of them ends, and neither is silent."""

    def __init__(self, number: int, client: Any, server: Any) -> None:
        self.number = number
        self._writers = (client[1], server[1])
        self.asking, self.answering = _Way(client[0], server[1]), _Way(server[0], client[1])

    async def carry(self, delay: Callable[[], float]) -> None:
        ways = (self.asking, self.answering)
        work = [each for way in ways for each in (way.read(delay), way.write())]
        tasks = [asyncio.ensure_future(each) for each in work]
        try:
            await self._until_over(tasks)
        finally:
            for writer in self._writers:
                writer.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _until_over(self, tasks: list[asyncio.Task[None]]) -> None:
        """A reader that is at its end has that passed on by its writer; whatever else ends is an error."""
        running = set(tasks)
        while running:
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            over = any(task.exception() or task in tasks[1::2] for task in done)
            if over and not (self.asking.silent or self.answering.silent):
                return

    def reset(self) -> None:
        for writer in self._writers:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()


class Proxy:
    """Listens on a port of its own, and leads to `target` on loopback. A context manager."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._delay = 0.0
        self._mute = False
        self._numbers = itertools.count()
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._accepted: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self.port = 0

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = self._do(self._listen())
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *exc: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(ANSWER)
        self._loop.close()

    def leading(self, url: str) -> str:
        """A server's address with the port of this proxy."""
        return url.replace(f":{self._target}/", f":{self.port}/")

    # what the network does; any thread

    def lag(self, seconds: float) -> None:
        """Each piece takes so long, each way; the order is kept."""
        self._delay = seconds

    def cut(self) -> None:
        """All connections are reset; new ones are served."""
        self._do(self._cut())

    def half_open(self, *, both: bool = False) -> None:
        """New connections are accepted and nothing is passed; of those there are each loses one direction.

        One after the other in turn what is asked, and what is answered; or each loses `both`. That is never
        heard of again, not even its end, also after `heal`.
        """
        self._do(self._half_open(both))

    def heal(self) -> None:
        """New connections are served, at once; what is silent stays so."""
        self._mute, self._delay = False, 0.0

    @property
    def silent(self) -> int:
        """How many connections are silent, and have not been closed by who asks."""
        return sum(each.asking.silent or each.answering.silent for each in list(self._connections))

    # its thread

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(ANSWER)

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Known from the moment on which there is a connection, not only from when its task begins."""
        self._accepted.add(writer)
        task = self._loop.create_task(self._serve_until_lost(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve_until_lost(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._serve(reader, writer)
        except OSError:
            writer.transport.abort()
        self._accepted.discard(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._mute:
            while await reader.read(PIECE):
                pass
            return writer.close()
        server = await asyncio.open_connection("127.0.0.1", self._target)
        connection = _Connection(next(self._numbers), (reader, writer), server)
        self._connections.add(connection)
        try:
            await connection.carry(lambda: self._delay)
        finally:
            self._connections.discard(connection)

    async def _cut(self) -> None:
        for each in list(self._connections):
            each.reset()

    async def _half_open(self, both: bool) -> None:
        self._mute = True
        for each in list(self._connections):
            each.asking.silent |= both or each.number % 2 == 1
            each.answering.silent |= both or each.number % 2 == 0

    async def _close(self) -> None:
        self._server.close()
        await asyncio.sleep(0)  # what was being accepted has been
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._accepted:
            writer.transport.abort()
        await asyncio.sleep(0)  # and they are closed
