"""What a run's code does to the process that steps it."""

from __future__ import annotations

from dataclasses import dataclass


class StepTimeout(BaseException):
    """The code of a run took longer than its `step_timeout`. An author's `except Exception` lets it pass."""

    def __init__(self, limit: float) -> None:
        super().__init__(f"took longer than {limit:g} s in one step")


@dataclass(frozen=True, kw_only=True)
class Harm:
    """A strike against the run: it is dropped from memory, held back, and loaded again."""

    why: str
    """Goes on from "its code ...", as in "ran out of memory"."""
    stack: str
    """Where it was."""
