"""Senders through `gateway.asend`, in a process of their own: `... chaos.gateway FILE RUN:USER ...`.

Everything is written to FILE before it is done and after it is answered, so
that whoever is started again with the same FILE goes on with the same ids.
When there is a FILE.leave, it sends nothing new, and ends when everything is answered.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import django

from tests.reliability.chaos.records import Sent

DELAYS = (0.4, 4.0)  # seconds for which each fifth command of a patient sender waits, in turn
SLOW = 0.05  # seconds between INSERT and COMMIT of the host's own transaction
SLOW_EVERY = 0.7  # seconds between two of these
GAP = float(os.environ.get("CHAOS_GAP", 0.03))  # seconds between an answer and the next command
AGAIN = 0.1  # seconds before a command is tried again
ANSWER = 3.0  # seconds after which an answer is asked for by sending again


class Book:
    """The file of one process: what was sent, accepted and told, line by line."""

    def __init__(self, path: Path) -> None:
        self.sent: dict[str, Sent] = read(path)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._leave = leave_file(path)

    @property
    def is_closing(self) -> bool:
        """Whether nothing new is to be sent. A file: a signal might come before its handler is there."""
        return self._leave.exists()

    def write(self, kind: str, ref: str, **facts: Any) -> None:
        line = json.dumps({"kind": kind, "ref": ref, "now": time.monotonic(), **facts}) + "\n"
        os.write(self._file, line.encode())


def leave_file(path: Path) -> Path:
    return path.with_suffix(".leave")


def read(path: Path) -> dict[str, Sent]:
    """What the file says, by reference; a line that was cut off by a kill is passed over."""
    found: dict[str, Sent] = {}
    if not path.exists():
        return found
    for line in path.read_text().splitlines():
        try:
            note = json.loads(line)
        except ValueError:
            continue
        kind, ref, now = note.pop("kind"), note.pop("ref"), note.pop("now")
        if kind == "sent":
            found[ref] = Sent(run=UUID(note.pop("run")), ref=ref, at=now, **note)
        elif kind == "accepted":
            found[ref].accepted_at = found[ref].accepted_at or now
        elif not found[ref].outcome:
            found[ref].told_at, found[ref].outcome = now, note["outcome"]
            found[ref].tick, found[ref].result = note["tick"], note["result"]
    return found


class Sender:
    """One user who sends to one run, a command at a time, each until it is answered."""

    def __init__(self, book: Book, run: UUID, user: Any, kind: str) -> None:
        self.name = f"{kind}{user.pk}"
        self._book, self._run, self._user, self._kind = book, run, user, kind
        mine = [sent for sent in book.sent.values() if sent.sender == self.name]
        self._later: list[asyncio.Future[None]] = []
        self._open = [sent for sent in mine if sent.open]
        self._numbers = itertools.count(max((sent.n for sent in mine), default=0) + 1)

    async def live(self) -> None:
        for sent in self._open:
            await self._until_answered(sent)
        while not self._book.is_closing:
            n = next(self._numbers)
            delayed = self._kind == "patient" and n % 5 == 0
            sent = Sent(self._run, self.name, n, f"{self.name}-{n}", 0.0, delayed)
            facts = {"run": str(self._run), "sender": self.name, "n": n, "delayed": delayed}
            self._book.write("sent", sent.ref, **facts)
            waiting = self._until_answered(sent)
            if delayed:
                self._later.append(asyncio.ensure_future(waiting))  # and others meanwhile
            else:
                await waiting
            await asyncio.sleep(max(SLOW_EVERY, GAP) if self._kind == "slow" else GAP)
        await asyncio.gather(*self._later)

    async def _until_answered(self, sent: Sent) -> None:
        from django_livesim import gateway

        while True:
            try:
                row = await self._send(sent)
                self._book.write("accepted", sent.ref)
                row = await gateway.await_outcome(row, ANSWER)
            except Exception as exc:  # whatever it is, it is sent again under the same id
                sys.stderr.write(f"{sent.ref}: {type(exc).__name__}: {exc}\n")
                await asyncio.sleep(AGAIN)
                continue
            if row.outcome:
                facts = {"outcome": row.outcome, "tick": row.apply_tick, "result": row.result}
                self._book.write("told", sent.ref, **facts)
                return

    def _send(self, sent: Sent) -> Awaitable[Any]:
        from channels.db import database_sync_to_async
        from django.db import transaction

        from django_livesim import gateway

        arguments: tuple[Any, ...] = (self._run, "note", {"ref": sent.ref})
        options = {"user": self._user, "id": sent.ref}
        if sent.delayed:
            return gateway.asend(*arguments, **options, delay=DELAYS[sent.n // 5 % 2])
        if self._kind != "slow":
            return gateway.asend(*arguments, **options)

        def in_a_transaction() -> Any:
            with transaction.atomic():
                row = gateway.send(*arguments, **options)
                time.sleep(SLOW)
                return row

        return database_sync_to_async(in_a_transaction, thread_sensitive=False)()


async def main(path: str, *who: str) -> None:
    from django.contrib.auth import get_user_model

    users = {user.pk: user async for user in get_user_model().objects.all()}
    book = Book(Path(path))
    senders: list[Callable[[], Awaitable[None]]] = []
    for one in who:
        run, user, kind = one.split(":")
        senders.append(Sender(book, UUID(run), users[int(user)], kind).live)
    await asyncio.gather(*(live() for live in senders))


if __name__ == "__main__":
    django.setup()
    asyncio.run(main(*sys.argv[1:]))
