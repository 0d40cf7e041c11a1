"""The commands of one viewer whose outcome is still to be told: each once, and after *accepted*."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field

from django_livesim.protocol.frames import Verdict

ASKED_LIMIT = 1024  # commands of one viewer whose outcome is waited for
ANSWERED_LIMIT = 1024  # outcomes that are remembered, so that a doubled one is told once
FIRST_QUERY = 2.0  # seconds after which an outcome that did not come is read from the rows
LONGEST_QUERY = 30.0  # seconds between two readings, at most


@dataclass
class _Asked:
    """A command under way: noted before its row is inserted, so that no outcome can overtake it."""

    accepted: bool = False
    early: Verdict | None = None
    """The outcome, where it came before *accepted* was said."""
    query_at: float = field(default_factory=lambda: time.monotonic() + FIRST_QUERY)
    wait: float = FIRST_QUERY


class Outcomes:
    """Knows what is to be told and what is overdue; the viewer tells it."""

    __slots__ = ("_answered", "_asked")

    def __init__(self) -> None:
        self._asked: OrderedDict[str, _Asked] = OrderedDict()
        self._answered: OrderedDict[str, None] = OrderedDict()

    def expect(self, client_id: str) -> bool:
        """Note a command before it is stored; False where it is under way already."""
        if client_id in self._asked:
            return False
        self._answered.pop(client_id, None)
        if len(self._asked) >= ASKED_LIMIT:  # the oldest is still answered when the worker says so
            self._asked.popitem(last=False)
        self._asked[client_id] = _Asked()
        return True

    def forget(self, client_id: str) -> None:
        """The command was not stored after all."""
        self._asked.pop(client_id, None)

    def accept(self, client_id: str) -> Verdict | None:
        """The viewer knows that it is stored; its outcome, where that came first."""
        asked = self._asked.get(client_id)
        if asked is None:
            return None
        asked.accepted = True
        return asked.early

    def take(self, verdict: Verdict) -> bool:
        """Whether the outcome is to be told now: not before *accepted*, and not again."""
        asked = self._asked.get(verdict.id)
        if asked and not asked.accepted:
            asked.early = verdict
            return False
        if asked is None and verdict.id in self._answered:
            return False
        self._asked.pop(verdict.id, None)
        self._answered[verdict.id] = None
        if len(self._answered) > ANSWERED_LIMIT:
            self._answered.popitem(last=False)
        return True

    def overdue(self, now: float) -> list[str]:
        """The commands whose outcome should be read from the rows now; each less and less often."""
        late = [each for each, asked in self._asked.items() if asked.accepted and asked.query_at <= now]
        for client_id in late:
            asked = self._asked[client_id]
            asked.wait = min(asked.wait * 2, LONGEST_QUERY)
            asked.query_at = now + asked.wait
        return late

    def next_query_at(self) -> float | None:
        """When the first of its commands will be overdue."""
        if not self._asked:
            return None
        return min((asked.query_at for asked in self._asked.values() if asked.accepted), default=None)

    def hurry(self) -> None:
        """Outcomes may have been missed: all that are waited for are overdue."""
        for asked in self._asked.values():
            asked.query_at, asked.wait = 0.0, FIRST_QUERY
