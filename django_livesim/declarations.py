"""Whether what an author declared can work; said when it is declared, not when it fails."""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.utils.functional import Promise

from django_livesim import params
from django_livesim.jobs import JobLoop
from django_livesim.params.setting import live_of
from django_livesim.params.signatures import ParamsForm, author_parameters, where
from django_livesim.portrayal import checking
from django_livesim.protocol.errors import RegistrationError
from django_livesim.protocol.names import SET, check_author_channel
from django_livesim.protocol.tables import Table
from django_livesim.simulation import OPTIONS, CommandSpec, Loop, Simulation

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,199}\Z")
GROUP = re.compile(r"[A-Za-z0-9_.-]{1,99}\Z")

JOB_OPTIONS: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("retries", "how often it is tried again, an integer from 0 to 1000", lambda value: _count(value, 1000)),
    ("backoff", "seconds before the first retry, a number above 0", lambda value: _positive(value)),
)

Target = type[Simulation] | Loop
Check = Callable[[Any], bool]


def _positive(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0


def _whole(value: Any) -> bool:
    return isinstance(value, int) and _positive(value) and value < 2**31


def _count(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _group(value: Any) -> bool:
    if not (isinstance(value, str) and GROUP.match(value)):
        return False
    try:
        check_author_channel(value)
    except ValueError:
        return False
    return True


def _tables(value: Any) -> bool:
    if not (isinstance(value, list | tuple) and all(isinstance(each, Table) for each in value)):
        return False
    return len({each.name for each in value}) == len(value)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _one_of(*values: str) -> tuple[Check, str]:
    return lambda value: value in values, "one of: " + ", ".join(map(repr, values))


EXPECTED: dict[str, tuple[Check, str]] = {
    "name": (
        lambda value: isinstance(value, str) and bool(NAME.match(value)),
        "letters, digits, '_', '-' and '.', at most 200, beginning with a letter",
    ),
    "label": (lambda value: isinstance(value, str | Promise), "a text"),
    "version": (_whole, "an integer from 1"),
    "tick_rate": (_positive, "steps per simulated second, a number above 0"),
    "frame_rate": (_or_none(_positive), "frames a second, a number above 0, or None"),
    "report_every": (_or_none(_whole), "a number of ticks, an integer from 1, or None"),
    "frame_on_command": (_truth, "True or False"),
    "queue": (lambda value: isinstance(value, str) and 0 < len(value) <= 64, "a text of 1 to 64 characters"),
    "deterministic": (_truth, "True or False"),
    "recovery": _one_of("checkpoint", "replay"),
    "sharing": _one_of("shared", "per_user", "per_session"),
    "autostart": (_truth, "True or False"),
    "when_unwatched": _one_of("run", "pause", "stop"),
    "visibility": _one_of("private", "link", "public"),
    "may_start": _one_of("permitted", "users", "anyone"),
    "open_commands": (_truth, "True or False"),
    "step_timeout": (_or_none(_positive), "seconds, a number above 0, or None"),
    "report_to": (
        _or_none(_group),
        "a group of your own, named in at most 99 letters, digits, '_', '-' and '.', or None",
    ),
    "tables": (_tables, 'a list of Table("name", ...), each of another name'),
    "script": (lambda value: isinstance(value, str), "the static path of a script"),
}


def check(target: Target) -> None:
    """Raise RegistrationError, naming the class, parameter or option, unless `target` can work."""
    _check_options(target)
    if isinstance(target, Loop):
        _check_loop(target)
        _check_form(target, target.function)
    else:
        _check_class(target)
        _check_form(target, target.setup, _names_in(target))
    _check_autostart(target)
    check_commands(target)


def check_commands(target: Target) -> None:
    """The same for its commands, and its picture; a loop declares them after it is registered."""
    if isinstance(target, Loop) and target.upgrade_function is not None:
        _check_upgrade(target.upgrade_function)
    _check_live(target)
    namespace = None if isinstance(target, Loop) else _names_in(target)
    for spec in target.commands.values():
        place = where(spec.function)
        if not NAME.match(spec.name):
            raise RegistrationError(
                f"{place}: {spec.name!r} cannot be a command's name. Expected {EXPECTED['name'][1]}."
            )
        _check_plain(spec.function)
        _check_form(spec, spec.function, namespace)
        _check_not_live(spec)
    checking.check(target, place_of(target))


def _check_live(target: Target) -> None:
    live = params.live(target)
    if live and SET in target.commands:
        raise RegistrationError(
            f"{place_of(target)} has live parameters ({', '.join(live)}), which the built-in command {SET!r} "
            f"changes, and declares a command of that name. Expected: another name for its own."
        )


def _check_not_live(spec: CommandSpec) -> None:
    form = params.form_class(spec)
    live = live_of(form) if issubclass(form, ParamsForm) else ()
    if live:
        place, remedy = where(spec.function, live[0]), "param(live=True) on parameters of the run alone"
        raise RegistrationError(f"{place} is live, which an argument cannot be. Expected: {remedy}.")


def place_of(target: Target) -> str:
    """How an error names a simulation."""
    return where(target.function if isinstance(target, Loop) else target)


@contextmanager
def declared_in(source: Any) -> Iterator[None]:
    """Note at a RegistrationError the file of `source`, a class or function or what takes their place."""
    try:
        yield
    except RegistrationError as exc:
        code = getattr(source, "__code__", None)
        module = sys.modules.get(getattr(source, "__module__", ""))
        exc.filename = code.co_filename if code else getattr(module, "__file__", None)
        raise


def check_known_options(options: Mapping[str, Any], place: str, known: Iterable[str] = OPTIONS) -> None:
    """Raise RegistrationError for an option that no simulation has."""
    unknown = sorted(options.keys() - {*known, "params_form"})
    if unknown:
        raise RegistrationError(
            f"{place}: unknown options {', '.join(unknown)}. "
            f"Expected some of: {', '.join(sorted([*known, 'params_form']))}."
        )


def _check_options(target: Target) -> None:
    for option, (fits, expected) in EXPECTED.items():
        value = getattr(target, option)
        if not fits(value):
            raise RegistrationError(f"{place_of(target)}: {option} is {value!r}. Expected {expected}.")
    if target.autostart and target.sharing != "shared":
        raise RegistrationError(
            f"{place_of(target)}: autostart is True and sharing is {target.sharing!r}, "
            f"so that nobody is there whose run it would be. Expected sharing = 'shared'."
        )
    if getattr(target, "recovery", "") == "replay" and not getattr(target, "deterministic", False):
        raise RegistrationError(
            f"{place_of(target)}: recovery is 'replay', which needs a deterministic simulation "
            f"that is stepped. Expected 'checkpoint'."
        )


def _check_autostart(target: Target) -> None:
    """What starts by itself is given no parameters."""
    required = params.required(params.form_class(target)) if target.autostart else []
    if required:
        raise RegistrationError(
            f"{place_of(target)}: autostart is True, and nobody is there to give it {', '.join(required)}. "
            f"Expected: a default for each parameter."
        )


def _check_class(cls: type[Simulation]) -> None:
    if cls.step is Simulation.step:
        raise RegistrationError(f"{place_of(cls)} has no step. Expected: def step(self, dt: float).")
    for method in (cls.setup, cls.step, cls.restore, cls.view, cls.metrics, cls.dump, cls.load, cls.changed):
        _check_plain(method)
    apart = isinstance(inspect.getattr_static(cls, "upgrade"), staticmethod | classmethod)
    _check_upgrade(cls.upgrade, *(() if apart else ("self",)))
    twice = [name for name, times in Counter(_command_names(cls)).items() if times > 1]
    if twice:
        raise RegistrationError(f"{place_of(cls)} has more than one command named {twice[0]!r}.")


def _command_names(cls: type[Simulation]) -> Iterator[str]:
    for _attribute, value in inspect.getmembers(cls):
        spec = getattr(value, "_livesim_command", None)
        if isinstance(spec, CommandSpec):
            yield spec.name


def _check_plain(function: Callable[..., Any]) -> None:
    """A step or command is called and has returned; it is neither awaited nor iterated."""
    if _is_suspended(function) or inspect.iscoroutinefunction(function):
        raise RegistrationError(
            f"{where(function)} is a coroutine or a generator. Expected: a plain def; "
            f"what must wait belongs in a loop of your own (@register on an async def)."
        )


def _check_upgrade(function: Callable[..., Any], *first: str) -> None:
    """It is called with a state and the version that has stored it, after `first` where it is a method."""
    _check_plain(function)
    try:
        inspect.signature(function).bind(*first, {}, 1)
    except TypeError:
        expected = ", ".join([*first, "state", "from_version"])
        raise RegistrationError(
            f"{where(function)} does not take a state and a version. Expected: def upgrade({expected})."
        ) from None


def _check_job(job: JobLoop) -> None:
    for option, expected, fits in JOB_OPTIONS:
        value = getattr(job, option)
        if not fits(value):
            raise RegistrationError(f"{place_of(job)}: {option} is {value!r}. Expected {expected}.")
    _check_plain(job.job_class.changed)


def _check_loop(loop: Loop) -> None:
    if isinstance(loop, JobLoop):
        _check_job(loop)
    if _is_suspended(loop.function):
        raise RegistrationError(
            f"{place_of(loop)} is a generator. "
            f"Expected: a def or async def that ends its ticks with sim.sleep()."
        )
    author_parameters(loop.function)


def _is_suspended(function: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def _names_in(cls: type) -> dict[str, Any]:
    """The names of a class body, which the annotations of its methods may use."""
    return {name: value for base in reversed(cls.__mro__) for name, value in vars(base).items()}


def _check_form(
    target: Target | CommandSpec, function: Callable[..., Any], namespace: Mapping[str, Any] | None = None
) -> None:
    form = params.form_class(target, namespace=namespace)
    accepted = {parameter.name: parameter for parameter in author_parameters(function)}
    place = where(function) if isinstance(target, CommandSpec) else f"{place_of(target)}: {function.__name__}"
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    unwanted = [] if open_ended else sorted(form.base_fields.keys() - accepted.keys())
    if unwanted:
        raise RegistrationError(
            f"{place} does not take {', '.join(unwanted)}, which its form {form.__name__} gives."
        )
    missing = [
        name for name, parameter in accepted.items() if name not in form.base_fields and _wanted(parameter)
    ]
    if missing:
        raise RegistrationError(
            f"{place} wants {', '.join(missing)}, which its form {form.__name__} does not give."
        )


def _wanted(parameter: inspect.Parameter) -> bool:
    variable = parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    return parameter.default is parameter.empty and not variable
