"""What the gateway asks of parameters and commands, without its rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from django_livesim import conf, declarations, params, registry
from django_livesim.protocol.errors import UnknownCommand, UnknownSimulation
from django_livesim.runtime.ports import Definition, Options
from django_livesim.simulation import CommandSpec, Loop, Simulation


@contextmanager
def settings_named() -> Iterator[None]:
    """Say what to do where Django cannot go on without settings."""
    try:
        yield
    except ImproperlyConfigured as exc:
        raise ImproperlyConfigured(
            "A parameter or argument is wrong, or its form needs settings, and without settings Django cannot"
            " say so. Set DJANGO_SETTINGS_MODULE, or call django.conf.settings.configure() before."
        ) from exc


def definition_of(simulation: Any) -> Definition:
    """The class or loop that is meant. Raises RegistrationError where it cannot work."""
    definition: Any = registry.get(simulation) if isinstance(simulation, str) else simulation
    is_class = isinstance(definition, type) and issubclass(definition, Simulation)
    if not (is_class or isinstance(definition, Loop)):
        raise TypeError(
            f"A trial got {definition!r}. Expected: a subclass of django_livesim.Simulation, a loop as"
            " @register gives it, or the name of one that is registered."
        )
    declarations.check(definition)
    return definition


def clean_params(definition: Definition, given: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they are stored with a run. Raises BadArgs."""
    with settings_named():
        return params.clean(params.form_class(definition), given)


def clean_args(
    definition: Definition, command: str, given: Mapping[str, Any], present: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments as they are stored with a command, of a run with these parameters now.

    Raises UnknownCommand and BadArgs.
    """
    commands = params.commands(definition)
    spec = commands.get(command)
    if spec is None and not definition.takes_any_message:
        expected = ", ".join(sorted(commands)) or "none; this simulation takes no commands"
        raise UnknownCommand(f"{definition.name} has no command {command!r}. Expected one of: {expected}.")
    if not command:
        raise UnknownCommand("A command needs a name of 1 to 200 characters, none of them NUL.")
    with settings_named():
        return params.clean(None if spec is None else params.form_class(spec), given, present=present)


class Catalogue:
    """Implements `runtime.ports.Catalogue` for one simulation, registered or not.

    `run_as` takes the place of the definition in runs; forms are those of the
    definition itself.
    """

    def __init__(self, definition: Definition, run_as: Definition) -> None:
        self._definition = definition
        self._run_as = run_as

    def find(self, name: str) -> Definition:
        if name != self._definition.name:
            raise UnknownSimulation(name)
        return self._run_as

    def bind_params(self, definition: Definition, given: dict[str, Any]) -> dict[str, Any]:
        return params.bind_stored(params.form_class(self._definition), given)

    def live(self, definition: Definition) -> Collection[str]:
        return params.live(self._definition)

    def bind_args(self, spec: CommandSpec, args: dict[str, Any]) -> dict[str, Any]:
        return params.bind(params.form_class(spec), args)


def options() -> Options:
    """Those of a worker of this project, and every state that is stored is compared with its stored form."""
    try:
        return Options(
            frame_rate=conf.settings.FRAME_RATE,
            report_every=conf.settings.REPORT_EVERY,
            checkpoint_seconds=conf.settings.CHECKPOINT_SECONDS,
            max_state_bytes=conf.settings.MAX_STATE_BYTES,
            poll=conf.settings.POLL,
            grace=conf.settings.GRACE,
            always_check_state=True,
        )
    except ImproperlyConfigured:
        return Options(always_check_state=True)
