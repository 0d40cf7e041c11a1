"""A coroutine each of whose advances is noted: until it waits again, returns or raises."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any
from uuid import UUID

from django_livesim.runtime.ports import Watch


class Noted:
    """Await it in place of the coroutine, once: whoever drives it cannot tell the difference.

    What is yielded, sent, thrown (a cancellation is that), returned and raised goes through as it is. Between
    two advances the coroutine waits, and the event loop runs others: nobody's code is noted then. Tasks that
    it starts are not its own advances, and not noted.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], watch: Watch, run: UUID, epoch: int, limit: float
    ) -> None:
        """`watch` hears of each advance, which may take `limit` seconds; 0: as long as it likes."""
        self._coroutine = coroutine
        self._watch = watch
        self._note = (run, epoch, limit)

    def __await__(self) -> Noted:
        return self

    def __iter__(self) -> Noted:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def send(self, value: Any) -> Any:
        self._watch.enter(*self._note)
        try:
            return self._coroutine.send(value)
        finally:
            self._watch.leave()

    def throw(self, *raised: Any) -> Any:
        self._watch.enter(*self._note)
        try:
            return self._coroutine.throw(*raised)
        finally:
            self._watch.leave()

    def close(self) -> None:
        self._watch.enter(*self._note)
        try:
            self._coroutine.close()
        finally:
            self._watch.leave()
