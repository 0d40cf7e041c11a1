"""People at their browsers: real WebSocket clients that send, retry and write down what they see."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import websockets
from websockets.asyncio.client import ClientConnection, connect

from django_livesim.protocol.mirror import Mirror
from tests.reliability.chaos.records import Frame, Seen, Sent

AGAIN = 0.1  # seconds before a connection is tried again
OVERDUE = 3.0  # seconds without an answer after which everything unanswered is sent again
GAP = 0.05  # seconds between two looks whether there is something to send
OPEN_LIMIT = 3.0  # seconds for a handshake
FRAMES = ("snapshot", "delta")


class Person:
    """One socket of one user to one run, opened again whenever it is lost.

    Keeps up to `window` commands unanswered; 0 only watches. What is
    unanswered after a new connection, an error or `OVERDUE` is sent again
    under the same ids, in order. Frames are acknowledged, as by a page: else what one
    that cannot keep up sees is what the kernel has kept for it, older and older.
    """

    def __init__(self, name: str, run: UUID, url: str, cookie: str, *, window: int = 0, gap: float = GAP):
        self.name = name
        self.sent: dict[str, Sent] = {}
        self.seen = Seen(run=run, viewer=name)
        self.leaving = False
        self.errors: list[str] = []
        self.reasons: set[str] = set()
        """That were given for a status of the run."""
        self._url = f"{url}/ws/livesim/runs/{run}/"
        self._cookie = cookie
        self._window, self._gap = window, gap
        self._unanswered: dict[str, Sent] = {}
        self._again_at = 0.0
        self._mirror = Mirror()
        self._connection = 0

    async def live(self) -> None:
        """Until cancelled."""
        headers = {"Cookie": self._cookie}
        while True:
            self._connection += 1
            try:
                async with connect(
                    self._url,
                    additional_headers=headers,
                    compression=None,
                    open_timeout=OPEN_LIMIT,
                    close_timeout=0.1,
                    ping_interval=None,
                    max_size=None,
                ) as socket:
                    await self._serve(socket)
            except (OSError, TimeoutError, websockets.WebSocketException):
                await asyncio.sleep(AGAIN)

    @property
    def answered(self) -> bool:
        return not self._unanswered

    async def _serve(self, socket: ClientConnection) -> None:
        self._again_at = 0.0
        self._mirror = Mirror()
        writing = asyncio.create_task(self._write(socket))
        try:
            async for text in socket:
                message = json.loads(text)
                self._hear(message)
                if message["type"] in FRAMES:
                    numbers = {name: message[name] for name in ("epoch", "seq")}
                    await socket.send(json.dumps({"type": "ack", **numbers}))
                    if self._mirror.number < (message["epoch"], message["seq"]):  # one was lost
                        await socket.send(json.dumps({"type": "resync"}))
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _write(self, socket: ClientConnection) -> None:
        while True:
            now = time.monotonic()
            if self._unanswered and now >= self._again_at:
                self._again_at = now + OVERDUE
                for sent in list(self._unanswered.values()):
                    await self._send(socket, sent)
            if self._window > len(self._unanswered) and not self.leaving:
                if not self._unanswered:
                    self._again_at = now + OVERDUE
                await self._send(socket, self._new())
            await asyncio.sleep(self._gap)

    def _new(self) -> Sent:
        n = len(self.sent) + 1
        sent = Sent(self.seen.run, self.name, n, f"{self.name}-{n}", time.monotonic())
        self.sent[sent.ref] = self._unanswered[sent.ref] = sent
        return sent

    @staticmethod
    async def _send(socket: ClientConnection, sent: Sent) -> None:
        message = {"type": "command", "id": sent.ref, "name": "note", "args": {"ref": sent.ref}}
        await socket.send(json.dumps(message))

    def _hear(self, message: dict[str, Any]) -> None:
        now = time.monotonic()
        match message["type"]:
            case "snapshot" | "delta" if self._mirror.take(message) and (shown := self._mirror.picture):
                numbers = {name: message[name] for name in ("epoch", "seq", "tick")}
                self.seen.frames.append(Frame(at=now, connection=self._connection, **numbers, **shown.state))
            case "accepted" if sent := self.sent.get(message["id"]):
                sent.accepted_at = sent.accepted_at or now
            case "applied" | "refused" if sent := self._unanswered.pop(message["id"], None):
                sent.told_at, sent.outcome, sent.tick = now, message["type"], message["tick"]
                sent.result = message.get("result")
                self._again_at = now + OVERDUE
            case "status":
                self.reasons.add(message["reason"])
            case "error":
                self._hear_error(message, now)

    def _hear_error(self, message: dict[str, Any], now: float) -> None:
        self.errors.append(message["code"])
        if message["retry"] is not None:
            self._again_at = now + message["retry"]
            if sent := self.sent.get(message["id"] or ""):
                sent.again = True
        elif sent := self._unanswered.pop(message["id"] or "", None):
            sent.error, sent.told_at = message["code"], now


class Crowd:
    """Persons, in an event loop of a thread of their own."""

    def __init__(self, persons: Iterable[Person]) -> None:
        self.persons = list(persons)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crowd", daemon=True)
        self._tasks: list[Future[None]] = []

    def start(self) -> None:
        self._thread.start()
        self._tasks = [asyncio.run_coroutine_threadsafe(each.live(), self._loop) for each in self.persons]

    def leave(self) -> None:
        """Nobody sends anything new."""
        for person in self.persons:
            person.leaving = True

    @property
    def answered(self) -> bool:
        return all(person.answered for person in self.persons)

    def check(self) -> None:
        """Raise what ended a person, which is a fault of this file."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        asyncio.run_coroutine_threadsafe(self._ended(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @staticmethod
    async def _ended() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)
