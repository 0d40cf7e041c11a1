"""An author's figures as they are shown and stored, and which of many can be spared; pure."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from django_livesim.protocol.errors import LivesimError
from django_livesim.protocol.plain import MAX_INTEGER, storable

MOST = 50
"""Figures of a run that are taken."""
NAME = 100
"""Characters of a figure's name."""
NAMED = 5
"""Of what is left out, so many are named."""
WHOLE = 500
"""Samples of a run, the newest, that are all kept; of older ones at most as many."""

Number = float | int | None


class Figures(NamedTuple):
    """What `metrics` gave, as far as it can be shown."""

    values: dict[str, Number]
    """By name; None where a number is not finite, or where None was given."""
    unfit: tuple[str, ...]
    """Names of those that are not finite, with what they were."""
    dropped: tuple[str, ...]
    """The first `NAMED` of what is left out: names of what is no number, and of those beyond `MOST`."""


def read(given: Any) -> Figures:
    """The figures of a dict. Raises LivesimError where it is none."""
    if not isinstance(given, Mapping):
        raise LivesimError(f"metrics() gave {type(given).__name__}. Expected: a dict of names and numbers.")
    values: dict[str, Number] = {}
    unfit: list[str] = []
    dropped: list[str] = []
    for name, value in given.items():
        label = _label(name) if isinstance(name, str) else ""
        try:
            figure = number(value)
        except TypeError:
            label = ""
        if not label or label in values or len(values) >= MOST:
            if len(dropped) < NAMED:
                dropped.append(f"{_label(str(name))!r} ({type(value).__name__})")
            continue
        values[label] = figure
        if figure is None and value is not None:
            unfit.append(f'["{label}"] ({_told(value)})')
    return Figures(values, tuple(unfit), tuple(dropped))


def _told(value: Any) -> str:
    """A number that is none for JSON; what is an integer may be too long to be written."""
    return "an integer too large" if isinstance(value, int) else str(value)[:NAME]


def _label(name: str) -> str:
    if len(name) <= NAME and name.isascii() and "\0" not in name:
        return name  # as nearly all are
    return storable(name[:NAME])[:NAME]


def number(value: Any) -> Number:
    """A number as JSON has it, None where it is not finite. Raises TypeError for what is no number.

    Booleans are 0 and 1; numbers of numpy, which need not be there, are what they stand for.
    """
    if value is None:
        return None
    if isinstance(value, float | Decimal | Fraction):
        return _finite(value)
    kind = "i" if isinstance(value, int) else _kind(value)
    if kind in "biu":
        whole = int(value)
        return whole if abs(whole) <= MAX_INTEGER else _finite(whole)
    if kind == "f":
        return _finite(value)
    raise TypeError


def _kind(value: Any) -> str:
    """The kind of number that a scalar of numpy's is; a blank for anything else."""
    if getattr(value, "shape", None) != ():
        return " "
    return str(getattr(getattr(value, "dtype", None), "kind", "")) or " "


def _finite(value: Any) -> float | None:
    try:
        figure = float(value)
    except (OverflowError, ValueError):
        return None
    return figure if math.isfinite(figure) else None


def moment(at: float) -> float:
    """Seconds since 1970, by this host's clock, when `time.monotonic` of this process was `at`."""
    return time.time() - (time.monotonic() - at)


def superfluous(ticks: Sequence[int], newest: int, number: int) -> list[int]:
    """`number` of these ticks, in order: those that leave the smallest gap for their age where they go.

    The first and the last are never among them, so there may be fewer. A gap may be as wide as the root of
    its age: of what is four times as old, half as many are left. So the oldest stay, however long a run
    lives. Were every second of the old ones taken out each time, nothing of a day would be left of a month.
    """
    kept, gone = list(ticks), list[int]()
    while len(gone) < number and len(kept) > 2:
        taken = _narrowest(kept, newest, min(number - len(gone), max(1, len(kept) // 4)))
        gone += (kept[place] for place in taken)
        kept = [tick for place, tick in enumerate(kept) if place not in taken]
    return gone


def _narrowest(ticks: Sequence[int], newest: int, number: int) -> set[int]:
    """Places of so many of them at most, no two of which are neighbours."""
    inner = range(1, len(ticks) - 1)
    gaps = [(ticks[place + 1] - ticks[place - 1]) / math.sqrt(1 + newest - ticks[place]) for place in inner]
    taken: set[int] = set()
    for place in sorted(inner, key=lambda place: gaps[place - 1]):
        if place - 1 not in taken and place + 1 not in taken:
            taken.add(place)
            if len(taken) == number:
                break
    return taken
