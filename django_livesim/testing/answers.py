"""What a trial gives back: answers to commands, what left the run, and its failure."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

import orjson

from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.protocol.names import Outcome
from django_livesim.protocol.records import Entry, Verdict
from django_livesim.testing.memory import MemoryLedger


class RunFailed(LivesimError):
    """A simulation failed in a trial; its own exception is the cause."""


class Frame(NamedTuple):
    """What viewers got of a tick; `role` is "all" where everybody sees the same."""

    tick: int
    view: Any
    role: str


class Event(NamedTuple):
    """What the simulation emitted."""

    name: str
    data: Any
    tick: int


class Answer:
    """What became of a command; it changes when that is decided."""

    def __init__(self, ledger: MemoryLedger, run: UUID, entry: Entry) -> None:
        self._ledger = ledger
        self._run = run
        self._entry = entry

    @property
    def _verdict(self) -> Verdict | None:
        return self._ledger.verdict(self._run, self._entry)

    @property
    def waiting(self) -> bool:
        """Neither applied nor refused yet."""
        return self._entry in self._ledger.commands[self._run]

    @property
    def applied(self) -> bool:
        return self._verdict is not None and self._verdict.outcome is Outcome.APPLIED

    @property
    def refused(self) -> bool:
        return not (self.waiting or self.applied)

    @property
    def result(self) -> Any:
        """What the command gave its sender."""
        return orjson.loads(self._verdict.result) if self._verdict is not None else None

    @property
    def code(self) -> str:
        """Why it was refused, one of `protocol.errors.Code`; empty where it was not."""
        if self._verdict is not None:
            return self._verdict.code
        return "" if self.waiting else str(Code.RUN_ENDED)

    @property
    def message(self) -> str:
        """The same in words."""
        if self._verdict is not None:
            return self._verdict.message
        return "" if self.waiting else "The run ended before the command could be applied."

    @property
    def tick(self) -> int | None:
        """The tick after which it was applied or refused."""
        return None if self._verdict is None else self._verdict.apply_tick

    def __repr__(self) -> str:
        if self.waiting:
            became = "waits"
        elif self.applied:
            became = f"applied at tick {self.tick}: {self.result!r}"
        else:
            became = f"refused with {self.code!r}: {self.message}"
        return f"<Answer to {self._entry.name!r}: {became}>"
