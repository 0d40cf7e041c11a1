"""What `vitals`, `lagging` and `backlog` find, within a limit, for however many ask at once.

A look at a layer or a database that hangs may never end, and a server has few
threads. So looks are made in threads of their own, one at a time of each
kind: whoever asks meanwhile waits for the same one, until `LIMIT` seconds after
it began, and gets what it has found by then. That is good for `FRESH` seconds.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.core.signals import setting_changed
from django.db import connections, transaction

from django_livesim import conf
from django_livesim.bus.seldom import Seldom
from django_livesim.gateway import backlog, lagging, vitals
from django_livesim.gateway.vitals import Sign

LIMIT = 1.5  # seconds after its begin for which a look is waited for
FRESH = 1.0  # seconds for which what was found is told again
RENEW = 10.0, 640.0  # seconds after which another look is begun beside one that hangs, at first and at most
IMPATIENCE = {"connect_timeout": 2, "tcp_user_timeout": 3000}  # seconds, milliseconds; libpq's names

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

Look = Callable[[], Sign]


class State(StrEnum):
    """How a part is."""

    OK = "ok"
    FAILING = "failing"
    """It answered, and something is wrong, or it answered with an error."""
    HUNG = "hung"
    """It has not answered in time."""
    UNKNOWN = "unknown"
    """Not looked at, since what it rests on did not answer."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part, as it was found."""

    state: State
    problem: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


class Attempt:
    """Looks one after the other, in a thread of its own; what one raises ends them.

    The thread alone writes `found`, and `ended` last. It is a daemon, so that the process may end while it
    hangs; it has changed nothing then.
    """

    def __init__(self, name: str, looks: Mapping[str, Look]) -> None:
        self.began = time.monotonic()
        self.ended: float | None = None
        self._looks = looks
        self._found: dict[str, Part] = {}
        self._over = threading.Event()
        threading.Thread(target=self._run, name=f"livesim-health-{name}", daemon=True).start()

    def _run(self) -> None:
        try:
            for name, look in self._looks.items():
                self._found[name] = _part(name, look)
                if not self._found[name].figures:
                    break
        finally:
            connections.close_all()
            self.ended = time.monotonic()
            self._over.set()

    def parts(self) -> dict[str, Part]:
        """What is found `LIMIT` seconds after the begin, or when all is."""
        self._over.wait(max(self.began + LIMIT - time.monotonic(), 0.0))
        found = dict(self._found)
        missing = [name for name in self._looks if name not in found]
        if missing and not self._over.is_set():
            late = f"no answer for {time.monotonic() - self.began:.1f} s"
            found[missing.pop(0)] = Part(state=State.HUNG, problem=late)
        return found | {name: Part(state=State.UNKNOWN, problem="not looked at") for name in missing}


def _part(name: str, look: Look) -> Part:
    """What is raised is told by its type alone: its text may hold addresses. The log has it."""
    try:
        sign = look()
    except Exception as exc:
        seldom.warning(f"The look at the {name} failed", exc_info=True)
        return Part(state=State.FAILING, problem=type(exc).__name__)
    state = State.FAILING if sign.problem else State.OK
    return Part(state=state, problem=sign.problem, figures=sign.figures)


class Line:
    """Attempts at the same looks, of which one is under way at a time.

    One that hangs for ever, as on a connection whose other end is no more, is left to itself, and another
    begun beside it, each time after twice as long.
    """

    def __init__(self, name: str, looks: Mapping[str, Look]) -> None:
        self.name = name
        self.looks = looks
        self._lock = threading.Lock()
        self._attempt: Attempt | None = None
        self._patience = RENEW[0]

    def attempt(self) -> Attempt:
        """The one to wait for: under way or fresh, else a new one. Any thread."""
        with self._lock:
            if self._attempt is None or self._is_past(self._attempt):
                self._attempt = Attempt(self.name, self.looks)
            return self._attempt

    def _is_past(self, attempt: Attempt) -> bool:
        now = time.monotonic()
        if attempt.ended is not None:
            self._patience = RENEW[0]
            return now - attempt.ended >= FRESH
        if now - attempt.began < self._patience:
            return False
        self._patience = min(2 * self._patience, RENEW[1])
        return True


def _brief(look: Look) -> Look:
    """With a connection of its own that gives up in time where libpq can, and a server that does."""

    def looking() -> Sign:
        alias = conf.settings.DATABASE
        connection = connections[alias]
        if connection.vendor != "postgresql":
            return look()
        options = connection.settings_dict["OPTIONS"]
        direct = {key: value for key, value in options.items() if key != "pool"}  # a pool is the requests'
        connection.settings_dict = {**connection.settings_dict, "OPTIONS": {**IMPATIENCE, **direct}}
        with transaction.atomic(using=alias):
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {LIMIT * 1000:.0f}")
            return look()

    return looking


def _make() -> dict[str, Line]:
    """By part the line that finds it."""
    waits = lagging.Waits()
    layer = Line("layer", {"layer": vitals.look_at_layer})
    rows = Line(
        "database",
        {
            "database": _brief(vitals.look_at_database),
            "workers": _brief(vitals.look_at_workers),
            "lag": _brief(lambda: lagging.look_at_lag(waits)),
            "tasks": _brief(backlog.look_at_tasks),
        },
    )
    return {name: line for line in (layer, rows) for name in line.looks}


PARTS = ("layer", "database", "workers", "lag", "tasks")
_lines = _make()


def examine(parts: Collection[str] = PARTS) -> dict[str, Part]:
    """How these parts are, within `LIMIT` seconds. Any thread; never raises.

    Parts that share a thread are all in the answer.
    """
    lines = {_lines[name] for name in parts}
    attempts = [line.attempt() for line in lines]
    found = {name: part for attempt in attempts for name, part in attempt.parts().items()}
    return {name: found[name] for name in PARTS if name in found}


def forget(**kwargs: Any) -> None:
    """Look anew: in a forked child, which has no threads of its parent's, and when settings have changed."""
    global _lines
    _lines = _make()


def _setting_changed(*, setting: str, **kwargs: Any) -> None:
    if setting in ("CHANNEL_LAYERS", "DATABASES", "LIVESIM", "DEBUG"):
        forget()


setting_changed.connect(_setting_changed, dispatch_uid="django_livesim.gateway.examining")

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)
