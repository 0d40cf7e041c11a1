"""The card of a run's parameters: a form of those that are live, and the others as facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.forms import Form
from django.forms.utils import pretty_name
from django.http import HttpRequest

from django_livesim import params, permissions
from django_livesim.forms import command_form
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol.names import SET
from django_livesim.views.respond import key_query


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A parameter as a text."""

    name: str
    label: str
    value: Any
    """As it is stored."""


def parameters_context(
    request: HttpRequest, actor: Actor, run: Run, simulation: Any, bound: Form | None = None, prefix: str = ""
) -> dict[str, Any]:
    """What the card shows to `actor`; `bound` is the form that had errors.

    `simulation` is None where its code is not installed here: then nothing is known to be live. `prefix` is
    that of the place where it is shown.
    """
    live = () if simulation is None else params.live(simulation)
    sees_all = permissions.may_see_params(actor, run)
    may_set = bool(live) and permissions.may_set(actor, run)
    others = [name for name in run.present_params if name not in live]
    return {
        "run": run,
        "key_query": key_query(request),
        "prefix": prefix,
        "set_form": (bound or set_form(run, simulation, prefix=prefix)) if may_set else None,
        "live_params": _facts(run, simulation, live) if permissions.may_see_live(actor, run) else [],
        "fixed_params": _facts(run, simulation, others) if sees_all else [],
    }


def set_form(run: Run, simulation: Any, data: Any = None, prefix: str = "") -> Form:
    """The form of a run's live parameters, with their present values."""
    return command_form(params.commands(simulation)[SET], data, run.present_params, prefix)


def _facts(run: Run, simulation: Any, names: Iterable[str]) -> list[Fact]:
    present = run.present_params
    fields = {} if simulation is None else params.form_class(simulation).base_fields
    labels = {name: str(field.label) for name, field in fields.items() if field.label}
    return [
        Fact(name=name, label=labels.get(name, pretty_name(name)), value=present[name])
        for name in names
        if name in present
    ]
