"""Named points in a worker at which it kills or stops its own process.

A point is passed `before` a statement of its kind, `in` its transaction (the
statement done, the COMMIT not), and `after` the COMMIT, of which nobody has
been told yet:

- `journal`: what became of commands; `checkpoint`; `horizon`: how far runs may
  be shown, where nothing else is written; `claim`: an heir takes a run;
- `publish`: a message to viewers, before, in and after its sending;
- `write.begin`, `reserve.begin`: before the transaction of a write, or of a
  further horizon, where nothing is locked yet.

Armed from outside: a file with a JSON object, and SIGUSR1. What happened is
noted in another file, with the moment, before the signal is sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from django_livesim.bus.publisher import Publisher
from django_livesim.store import journal
from django_livesim.worker import Engine

KINDS = ("journal", "checkpoint", "publish")
PLACES = ("before", "in", "after")
POINTS = tuple(f"{kind}.{place}" for kind in (*KINDS, "horizon") for place in PLACES)
CLAIMS = tuple(f"claim.{place}" for place in PLACES)

LEDGER = "livesim-ledger"


class Points:
    """Which point is armed, and how often it may still be passed. Any thread passes, one arms."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._armed: dict[str, Any] = {}
        self.engine: Engine | None = None

    def arm(self, *_: Any) -> None:
        """Read what is asked for; a signal handler."""
        self._armed = json.loads(arm_file(self._folder, os.getpid()).read_text())

    def passed(self, point: str) -> None:
        """Called at each pass of a point; does not return from the pass that was asked for, if it kills."""
        if self._armed.get("point") != point:
            return
        with self._lock:
            self._armed["passes"] -= 1
            if self._armed["passes"]:
                return
            armed, self._armed = self._armed, {}
        time.sleep(armed.get("linger", 0.0))
        self._note(point)
        os.kill(os.getpid(), getattr(signal, armed["signal"]))

    def _note(self, point: str) -> None:
        note = {"point": point, "at": time.monotonic(), "runs": [run.hex for run in self._held()]}
        with mark_file(self._folder, os.getpid()).open("a") as file:
            file.write(json.dumps(note) + "\n")

    def _held(self) -> list[UUID]:
        while self.engine:
            try:
                return list(self.engine.supervisor.runners)
            except RuntimeError:  # the step thread has changed it meanwhile
                continue
        return []


def arm_file(folder: Path, pid: int) -> Path:
    return folder / f"{pid}.arm"


def mark_file(folder: Path, pid: int) -> Path:
    return folder / f"{pid}.mark"


def kind_of(sql: str) -> str:
    """What a statement of the ledger does; empty for what is no point."""
    changes = sql.partition(" WHERE ")[0]
    if sql.startswith('INSERT INTO "livesim_checkpoint"'):
        return "checkpoint"
    if sql.startswith('UPDATE "livesim_command"') and '"apply_seq"' in changes:
        return "journal"
    if sql.startswith('UPDATE "livesim_run"'):
        if '"epoch" = ' in changes:
            return "claim"
        if '"horizon" = ' in changes and '"next_seq" = ' not in changes:
            return "horizon"
    return ""


def install(folder: Path) -> Points:
    """Have this process pass the points."""
    points = Points(folder)
    _watch_statements(points)
    _watch_publisher(points)
    _watch_engine(points)
    signal.signal(signal.SIGUSR1, points.arm)
    return points


def _watch_statements(points: Points) -> None:
    done: set[str] = set()  # kinds of statement in the transaction of the ledger's thread

    def statement(execute: Any, sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
        kind = kind_of(sql)
        if not kind:
            return execute(sql, params, many, context)
        points.passed(f"{kind}.before")
        result = execute(sql, params, many, context)
        if context["connection"].in_atomic_block:
            done.add(kind)
            points.passed(f"{kind}.in")
        else:
            points.passed(f"{kind}.after")
        return result

    def created(connection: Any, **_: Any) -> None:
        if threading.current_thread().name == LEDGER and statement not in connection.execute_wrappers:
            connection.execute_wrappers.append(statement)

    commit, rollback = BaseDatabaseWrapper._commit, BaseDatabaseWrapper._rollback

    def committed(self: Any) -> None:
        commit(self)
        if threading.current_thread().name == LEDGER:
            for kind in sorted(done):
                points.passed(f"{kind}.after")
            done.clear()

    def rolled_back(self: Any) -> None:
        if threading.current_thread().name == LEDGER:
            done.clear()
        rollback(self)

    BaseDatabaseWrapper._commit, BaseDatabaseWrapper._rollback = committed, rolled_back
    connection_created.connect(created, weak=False)
    connections.close_all()

    write, reserve = journal.write, journal.reserve

    def begun_to_write(*args: Any, **kwargs: Any) -> Any:
        points.passed("write.begin")
        return write(*args, **kwargs)

    def begun_to_reserve(worker: Any, held: Any) -> Any:
        if any(position.horizon is not None for position in held.values()):
            points.passed("reserve.begin")
        return reserve(worker, held)

    journal.write, journal.reserve = begun_to_write, begun_to_reserve


def _watch_publisher(points: Points) -> None:
    send = Publisher._send

    async def sent(self: Publisher, name: str, *args: Any) -> None:
        points.passed("publish.before")
        sending = asyncio.ensure_future(send(self, name, *args))
        await asyncio.sleep(0)
        points.passed("publish.in")
        await sending
        points.passed("publish.after")

    Publisher._send = sent


def _watch_engine(points: Points) -> None:
    init = Engine.__init__

    def made(self: Engine, **options: Any) -> None:
        init(self, **options)
        points.engine = self

    Engine.__init__ = made
