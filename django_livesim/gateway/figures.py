"""The simulation's own figures over its ticks, as they are stored."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _

from django_livesim.gateway.finding import SERVER, get
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import BadArgs
from django_livesim.protocol.figures import MOST, NAME
from django_livesim.store import sampling

FURTHEST = 2**63


def series(
    run: Run | UUID | str,
    *,
    actor: Actor | None = None,
    names: Collection[str] | None = None,
    since: int | None = None,
) -> dict[str, Any]:
    """The stored figures as columns: `{"ticks": [...], "at": [...], "series": {name: [...]}}`.

    `at` are seconds since 1970; each series has a value for each tick, None where there was none. One sample
    a second at most, the newest 500 whole, older ones wider apart the older they are: about a thousand of a
    run that has gone on for months. `names` asks for these figures alone, in this order, else those that
    the newest samples have, at most 50, come in alphabetical order; `since` for ticks after that one.

    Whoever may watch the run may see them. Raises `BadArgs`, and what `get` raises.
    """
    row = get(run, actor=actor or SERVER)
    wanted = None if names is None else list(dict.fromkeys(_checked(names)))
    if since is not None and not (isinstance(since, int) and abs(since) < FURTHEST):
        raise _bad("since", _("Expected a tick, an integer. Got: %(value)s."), since)
    rows = sampling.after(row.id, since)
    if wanted is None:
        wanted = sorted(_newest_names(rows), key=_alphabetical)
    return {
        "ticks": [tick for tick, _at, _values in rows],
        "at": [_seconds(at) for _tick, at, _values in rows],
        "series": {name: [values.get(name) for _tick, _at, values in rows] for name in wanted},
    }


def _newest_names(rows: Sequence[tuple[int, datetime, dict[str, Any]]]) -> Collection[str]:
    """At most as many as one sample has: a simulation may name its figures after things that come and go."""
    names: dict[str, None] = {}
    for _tick, _at, values in reversed(rows):
        names |= dict.fromkeys(values)
        if len(names) >= MOST:
            break
    return list(names)[:MOST]


def newest_figures(run: Run) -> tuple[int, datetime, list[tuple[str, Any]]] | None:
    """Tick, moment and figures, by name, of the newest sample; None where there is none yet."""
    found = sampling.newest(run.id)
    if found is None:
        return None
    return found.tick, found.created_at, sorted(found.values.items(), key=lambda each: _alphabetical(each[0]))


def _checked(names: Collection[str]) -> Collection[str]:
    if len(names) > MOST:
        raise _bad("name", _("Expected at most %(most)s names. Got: %(value)s."), len(names), most=MOST)
    for name in names:
        if not isinstance(name, str) or not 0 < len(name) <= NAME:
            text = _("Expected a figure's name, 1 to %(most)s characters. Got: %(value)s.")
            raise _bad("name", text, name, most=NAME)
    return names


def _bad(field: str, text: str, value: Any, **places: Any) -> BadArgs:
    told = text % {"value": repr(value)[:100], **places}
    return BadArgs(f"{field}: {told}", fields={field: [told]})


def _alphabetical(name: str) -> tuple[str, str]:
    return name.casefold(), name


def _seconds(at: datetime) -> float:
    return round((timezone.make_aware(at) if timezone.is_naive(at) else at).timestamp(), 3)
