"""Workers that go without one safeguard, to see that the harness would notice."""

from __future__ import annotations

from typing import Any

from django_livesim.runtime.gate import Gate
from django_livesim.runtime.horizon import Horizon
from django_livesim.store import journal, loading

SAFEGUARDS = ("fence", "gate", "horizon", "unseen")


def go_without(safeguard: str) -> None:
    """Take a safeguard out of this process."""
    globals()[f"_no_{safeguard}"]()


def _no_fence() -> None:
    """A write asks for its run, and not whether it is still its own."""
    journal.Run = Unfenced(journal.Run)
    update_each = journal.update_each

    def unfenced(model: Any, match: Any, change: Any, rows: Any, **options: Any) -> int:
        if match == journal.FENCE:
            match, rows = match[:1], [(row[0], *row[len(journal.FENCE) :]) for row in rows]
        return update_each(model, match, change, rows, **options)

    journal.update_each = unfenced


class Unfenced:
    """The model `Run`, for which worker and epoch make no difference."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._wrapped, name)
        return Unfenced(found) if name == "objects" else found

    def filter(self, *args: Any, **kwargs: Any) -> Any:
        if {"worker", "epoch"} <= kwargs.keys():
            kwargs = {name: value for name, value in kwargs.items() if name not in ("worker", "epoch")}
        return self._wrapped.filter(*args, **kwargs)


def _no_gate() -> None:
    """Everything leaves at once, whatever has been written."""
    release = Gate.release

    def at_once(self: Gate) -> Any:
        self.commit(2**62)
        return release(self)

    Gate.release = at_once


def _no_horizon() -> None:
    """Runs reserve no ticks: how far they are is noted afterwards, and they go on as they like."""

    def noted(self: Horizon, tick: int, wanted: int, **how: Any) -> int:
        self.asked = self.granted = tick
        return tick

    Horizon.ask = noted
    Horizon.is_reached = lambda self, tick: False
    Horizon.is_half_used = lambda self, tick: False


def _no_unseen() -> None:
    """Commands are looked for after the last one that was seen."""
    waiting = loading.waiting
    last: dict[Any, int] = {}

    def after_the_last(runs: Any) -> Any:
        found = waiting(runs)
        new = {
            run: [entry for entry in entries if entry.id > last.get(run, 0)]
            for run, entries in found.entries.items()
        }
        last.update({run: max(entry.id for entry in entries) for run, entries in new.items() if entries})
        return found._replace(entries=new)

    loading.waiting = after_the_last
