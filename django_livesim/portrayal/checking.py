"""Whether what an author declared of a picture can be drawn, and its clicks sent."""

from __future__ import annotations

from typing import Any

from django_livesim import params
from django_livesim.portrayal import Click, layers_of
from django_livesim.protocol.errors import RegistrationError

EXPECTED = "Expected: Points, Grid or Network, or a list of them"


def check(target: Any, place: str) -> None:
    """Raise RegistrationError, saying what was expected, unless its picture can be drawn."""
    try:
        layers = layers_of(target)
    except ValueError as exc:
        raise RegistrationError(f"{place}: portray: {exc}") from exc
    except Exception as exc:
        raise RegistrationError(
            f"{place}: portray cannot be called, or {exc} ({type(exc).__name__}). "
            f"{EXPECTED}, from a classmethod, or a function, that takes nothing else."
        ) from exc
    if layers and target.is_job:
        raise RegistrationError(f"{place}: portray: the page of a job shows its progress, and no picture.")
    for layer in layers:
        if layer.click is not None:
            _check_click(target, layer.click, place)


def _check_click(target: Any, click: Click, place: str) -> None:
    if target.takes_any_message:
        return
    spec = target.commands.get(click.command)
    if spec is None:
        known = ", ".join(map(repr, target.commands)) or "none: it takes no commands"
        raise RegistrationError(
            f"{place}: portray: there is no command {click.command!r}. Expected one of: {known}."
        )
    form = params.form_class(spec)
    unwanted = [name for name in click.names() if name not in form.base_fields]
    if unwanted:
        taken = ", ".join(form.base_fields) or "none"
        raise RegistrationError(
            f"{place}: portray: Click({click.command!r}) sends {', '.join(unwanted)}, "
            f"which the command does not take. Expected some of: {taken}."
        )
    missing = [name for name in params.required(form) if name not in click.names()]
    if missing:
        raise RegistrationError(
            f"{place}: portray: Click({click.command!r}) sends no {', '.join(missing)}, "
            f"which the command wants. Expected it as the name of x, y or id, or in args."
        )
