"""The picture on the page of a run, and the author's own template of that page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django_livesim import params, portrayal
from django_livesim.portrayal import Click

PORTRAYAL = "django_livesim/portrayal.js"
"""The static path of the module that draws what `portray` declares."""


def picture(simulation: Any) -> dict[str, Any] | None:
    """What draws a simulation: the author's `script`, else what it portrays; None where it has no picture.

    `script` is a static path. `layers` are those of `portray`, as JSON, and `clicks` the labels of the
    commands that clicks send; an own script has neither.
    """
    if simulation is None or simulation.is_job:
        return None
    if simulation.script:
        return {"script": simulation.script, "layers": [], "clicks": []}
    layers = portrayal.layers_of(simulation)
    if not layers:
        return None
    clicks = [layer.click for layer in layers if layer.click is not None]
    return {
        "script": PORTRAYAL,
        "layers": [_told(simulation, layer) for layer in layers],
        "clicks": list(dict.fromkeys(_labels(simulation, clicks))),
    }


def _told(simulation: Any, layer: portrayal.Layer) -> dict[str, Any]:
    told = layer.tell()
    if layer.click is not None:
        told["click"]["whole"] = _takes_integers(simulation, layer.click)
    return told


def _takes_integers(simulation: Any, click: Click) -> bool:
    """Whether a place is sent as integers."""
    spec = simulation.commands.get(click.command)
    if spec is None:
        return False
    types = params.schema(params.form_class(spec)).get("properties", {})
    return any(types.get(name, {}).get("type") == "integer" for name in (click.x, click.y))


def _labels(simulation: Any, clicks: list[Click]) -> Iterator[str]:
    for click in clicks:
        spec = simulation.commands.get(click.command)
        yield str(spec.label) if spec is not None else click.command


def templates(simulation: Any) -> list[str]:
    """Where the page of a run is looked for: first a template of the simulation's own."""
    own = [] if simulation is None else [f"django_livesim/simulations/{simulation.name}.html"]
    return [*own, "django_livesim/run_detail.html"]
