"""What the log of a run's page begins with: the newest commands, as far as who asks may know of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import TextField
from django.db.models.functions import Cast, Substr

from django_livesim import params, permissions
from django_livesim.forms import CONTROL_LABELS
from django_livesim.gateway.senders import names_of
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor
from django_livesim.protocol import frames
from django_livesim.protocol.cutting import MARK, brief, cut
from django_livesim.protocol.frames import By
from django_livesim.protocol.names import INSPECT, Kind, Verb

SHOWN = 20
"""Commands that the log begins with."""
MOST = 300
"""Characters of arguments, result and message that it shows of each."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One command of the log."""

    row: Command
    label: str
    own: bool
    by: By | None
    """Who sent it; None where that is not for who asks."""
    args: str = ""
    """On one line, as the page's script writes them; empty where there are none, or not for who asks."""
    result: str = ""
    """The same."""
    message: str = ""


def newest(actor: Actor, run: Run, simulation: Any) -> list[Line]:
    """The newest commands, `simulation` being None where its code is not installed here.

    What is long is cut in the database: it may be megabytes.
    """
    rows = list(
        run.commands.exclude(kind=Kind.CONTROL, name=INSPECT)
        .order_by("-id")
        .defer("args", "result", "message")
        .annotate(
            args_text=Substr(Cast("args", TextField()), 1, MOST + 1),
            result_text=Substr(Cast("result", TextField()), 1, MOST + 1),
            message_text=Substr("message", 1, MOST + 1),
        )[:SHOWN]
    )
    inspects = bool(rows) and permissions.may_inspect(actor, run)
    names = _names(rows) if permissions.role(actor, run) in permissions.KNOW_SENDERS else None
    return [_line(row, actor, label(row, simulation), names, inspects) for row in rows]


def _names(rows: Sequence[Command]) -> dict[str, str]:
    return names_of(row.sender for row in rows)


def label(row: Command, simulation: Any) -> str:
    """What people call a command, `simulation` being None where its code is not installed here."""
    if row.kind == Kind.CONTROL:
        return str(CONTROL_LABELS.get(row.name, row.name))
    spec = params.commands(simulation).get(row.name) if simulation is not None else None
    return str(spec.label) if spec is not None else row.name


def _line(row: Any, actor: Actor, label: str, names: dict[str, str] | None, inspects: bool) -> Line:
    own = row.sender == actor.sender
    told = own or inspects
    return Line(
        row=row,
        label=label,
        own=own,
        by=None if own or names is None else frames.sender(row.sender, names.get(row.sender, "")),
        args=_given(row) if told else "",
        result=_shown(row.result_text) if told else "",
        message=cut(row.message_text, MOST) or row.code,
    )


def _given(row: Any) -> str:
    """Arguments by their names; of those of a control what a person has chosen."""
    text = row.args_text or ""
    args = _parsed(text)
    if not isinstance(args, dict):
        return _shown(text)
    if row.kind == Kind.CONTROL:
        args = {name: args[name] for name in ("n", "x") if name in args}
        if row.name == Verb.SPEED and args.get("x") == 0:
            args["x"] = "max"
    told = ", ".join(f"{name}: {'' if value is None else brief(value)}" for name, value in args.items())
    whole = brief(told, MOST)
    return whole if whole != told or len(text) <= MOST else f"{told}{MARK}"


def _parsed(text: str) -> Any:
    """JSON as a database writes it; of an object that is cut, what there is of it. None where that fails."""
    whole = re.sub(r"(\\u[dD][89abAB][0-9a-fA-F]{2})?(\\(u[0-9a-fA-F]{0,3})?)?$", "", text)
    for end in ("", '"}', "}"):
        try:
            return json.loads(whole + end)
        except ValueError:
            continue
    return None


def _shown(text: str | None) -> str:
    """A result as a database writes it, perhaps cut, on one line as people read it; nothing is empty."""
    if text is None or text in ("", "{}", "null"):
        return ""
    try:
        return brief(json.loads(text), MOST)
    except ValueError:
        return f"{text[:MOST]}{MARK}"
