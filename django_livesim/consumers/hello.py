"""What a viewer is told of a simulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django_livesim import conf, params, registry
from django_livesim.models import Run
from django_livesim.protocol import frames
from django_livesim.protocol.errors import UnknownSimulation
from django_livesim.protocol.names import EXTERNAL, Role


@dataclass(frozen=True, kw_only=True)
class Description:
    """A simulation as a browser may know it.

    The defaults hold for one whose code is not installed here: it can be
    watched and controlled, but nobody here can check a command to it.
    """

    commands: tuple[dict[str, Any], ...] = ()
    tick_rate: float | None = None
    frame_rate: float | None = None
    by_role: bool = True
    tables: tuple[dict[str, Any], ...] = ()


def describe(simulation: str) -> Description:
    """The description of the simulation so named."""
    try:
        definition = registry.get(simulation)
    except UnknownSimulation:
        return Description(by_role=simulation != EXTERNAL)
    return Description(
        commands=tuple(_command(spec) for spec in params.commands(definition).values()),
        tick_rate=definition.tick_rate,
        frame_rate=_frame_rate(definition),
        by_role=definition.views_by_role,
        tables=tuple(table.tell() for table in definition.tables),
    )


def _command(spec: Any) -> dict[str, Any]:
    schema = params.schema(params.form_class(spec))
    return {"name": spec.name, "label": str(spec.label), "schema": schema, "durable": spec.durable}


def _frame_rate(definition: Any) -> float | None:
    """Frames a second: the simulation's own wish before the settings, ticks before seconds."""
    if definition.report_every:
        return definition.tick_rate / definition.report_every
    if definition.frame_rate:
        return definition.frame_rate
    if every := conf.settings.REPORT_EVERY:
        return definition.tick_rate / every
    return conf.settings.FRAME_RATE or definition.tick_rate


def hello(run: Run, role: Role, description: Description) -> str:
    """The first message to a viewer."""
    return frames.hello(
        run=run.id,
        simulation=run.simulation,
        status=run.status,
        role=role,
        commands=description.commands,
        tick_rate=description.tick_rate,
        frame_rate=description.frame_rate,
        tables=description.tables,
    )
