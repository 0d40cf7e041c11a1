"""What the beat of a worker tells of the runs that cost it most, and of those that keep it busy.

It is kept small, for each beat stores it anew: `{"each": {"<32 hex digits>": [0.25, 3, 0.012, 8124, 0.0113,
20.0, 2]}, "stepping": {"<32 hex digits>": 14.2}, "not_finite": {"<32 hex digits>": 2}, "unsent":
{"dropped": 0, "too_large": 7}}`. Any part may be missing, and the end of a list: an older worker wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

LONG = 2.0
"""Seconds after which it is told that code of a run is still being called."""


@dataclass(frozen=True, kw_only=True)
class RunLoad:
    """One run, since the beat before where nothing else is said."""

    cpu: float
    """Share of one core that the step thread was at work for it."""
    late: int
    """Ticks passed over since it was taken up: they would have come more than a period late."""
    behind: float
    """Seconds by which the latest of its ticks was late, or the next one is by now."""
    size: int
    """Bytes of its state as it was stored last; 0 where it was not yet."""
    step: float
    """Seconds that a step took, on average; 0 where none was made, and for own loops."""
    rate: float | None = None
    """Ticks a second that it has come further; None where that is not known, or history is played again."""
    viewers: int | None = None
    """How many watch; None where that is not told."""

    def encode(self) -> list[float | None]:
        rate = None if self.rate is None else round(self.rate, 1)
        cost = [round(self.cpu, 4), self.late, round(self.behind, 3), self.size, round(self.step, 6)]
        return [*cost, rate, self.viewers]

    @classmethod
    def decode(cls, told: Any) -> RunLoad:
        """What more a newer worker tells is passed over. Raises ValueError where it is something else."""
        try:
            cpu, late, behind, size, step, *more = told
            rate, viewers = [*more, None, None][:2]
            return cls(
                cpu=float(cpu),
                late=int(late),
                behind=float(behind),
                size=int(size),
                step=float(step),
                rate=None if rate is None else float(rate),
                viewers=None if viewers is None else int(viewers),
            )
        except TypeError as exc:
            raise ValueError(f"not the load of a run: {told!r}") from exc


def load_of(load: Mapping[str, Any], run: UUID) -> RunLoad | None:
    """What a worker has told of a run; None where nothing."""
    try:
        return RunLoad.decode((load.get("each") or {})[run.hex])
    except (KeyError, ValueError):
        return None


def stepping(load: Mapping[str, Any], run: UUID) -> float:
    """For how many seconds code of the run had been called, when the worker told; 0 where it was not."""
    return float((load.get("stepping") or {}).get(run.hex, 0.0))


@dataclass(frozen=True, kw_only=True)
class Unsent:
    """What a worker has not sent as it was meant, since it began."""

    dropped: int = 0
    """Messages that the channel layer has not taken: it is full, slow or gone."""
    too_large: int = 0
    """Views, events and results that are larger than MAX_FRAME_BYTES."""
    not_finite: int = 0
    """Numbers of the views of the runs it has, as far as these were looked through, that are null there."""


def unsent(load: Mapping[str, Any]) -> Unsent:
    told, found = load.get("unsent") or {}, load.get("not_finite") or {}
    return Unsent(
        dropped=int(told.get("dropped", 0)),
        too_large=int(told.get("too_large", 0)),
        not_finite=sum(map(int, found.values())),
    )


def told_stepping(seconds: Mapping[UUID, float]) -> dict[str, float]:
    """What is told of code that is being called for so long: of what is called for long."""
    return {run.hex: round(since, 1) for run, since in seconds.items() if since > LONG}
