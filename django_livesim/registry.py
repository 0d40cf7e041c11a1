"""Which simulations there are, and under which names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, TypeVar, overload

from django.apps import apps
from django.core.exceptions import AppRegistryNotReady, ImproperlyConfigured
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext as _

from django_livesim import declarations
from django_livesim.jobs import Job, JobLoop, of_class
from django_livesim.params.signatures import where
from django_livesim.protocol.errors import RegistrationError, UnknownSimulation
from django_livesim.protocol.names import EXTERNAL
from django_livesim.simulation import OPTIONS, Loop, Simulation, humanise, snake_case

Registered = type[Simulation] | Loop
JOB_OPTIONS = (*OPTIONS, "retries", "backoff")
SimulationClass = TypeVar("SimulationClass", bound=type[Simulation])


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One registered simulation, before names are given out."""

    target: Registered
    name: str
    """What the author called it, or the snake case of the class or function."""
    app: str

    @property
    def source(self) -> Any:
        return self.target.function if isinstance(self.target, Loop) else self.target

    @property
    def chosen(self) -> bool:
        """Whether the author chose the name."""
        return self.name != snake_case(self.source.__name__)

    @property
    def place(self) -> str:
        return declarations.place_of(self.target)


class Registry:
    """Simulations by name. Two apps that share a default name have it prefixed with their labels."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._targets: dict[str, Registered] = {}

    def add(self, target: Registered) -> None:
        """Enter a simulation, in place of one from the same module and name (a reload).

        Raises RegistrationError where it cannot work or its name is taken.
        """
        declarations.check(target)
        if self._targets.get(target.name) is target:
            return
        entry = Entry(target=target, name=target.name, app=_app_of(target.__module__))
        self._take([*(other for other in self._entries if other.place != entry.place), entry])

    def _take(self, entries: list[Entry]) -> None:
        named = name_all(entries)
        for name, target in named.items():
            target.name = name
        self._entries, self._targets = entries, named

    def get(self, name: str) -> Registered:
        """The simulation of that name. Raises UnknownSimulation, which says what there is."""
        try:
            return self._targets[name]
        except KeyError:
            raise UnknownSimulation(self._unknown(name)) from None

    def _unknown(self, name: str) -> str:
        prefixed = sorted(entry.target.name for entry in self._entries if entry.name == name)
        names = prefixed or sorted(self._targets)
        if not names:
            return _(
                "There is no simulation %(name)r: none is registered. Write one in an app's simulations.py."
            ) % {"name": name}
        return _("There is no simulation %(name)r. Expected one of: %(names)s.") % {
            "name": name,
            "names": ", ".join(names),
        }

    def all(self) -> list[Registered]:
        """Every simulation, by name."""
        return [self._targets[name] for name in sorted(self._targets)]

    def remove(self, name: str) -> None:
        """Take a simulation out. Raises UnknownSimulation."""
        target = self.get(name)
        self._take([entry for entry in self._entries if entry.target is not target])


def name_all(entries: Iterable[Entry]) -> dict[str, Registered]:
    """Give out the names. Raises RegistrationError where two want the same one."""
    sharing: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        sharing[entry.name].append(entry)
    named: dict[str, Entry] = {}
    for name, group in sharing.items():
        apart = len(group) > 1 and not any(entry.chosen for entry in group)
        for entry in group:
            own = f"{entry.app}.{name}" if apart else name
            if own == EXTERNAL:
                raise _reserved(entry)
            if own in named:
                raise _taken(own, named[own], entry)
            named[own] = entry
    return {name: entry.target for name, entry in named.items()}


def _reserved(entry: Entry) -> RegistrationError:
    return RegistrationError(
        f"{entry.place}: the name {EXTERNAL!r} is that of runs which publish_state produces. "
        f'Expected a name of its own: @register(name="...").'
    )


def _taken(name: str, first: Entry, second: Entry) -> RegistrationError:
    return RegistrationError(
        f"{second.place}: the name {name!r} is taken by {first.place}. "
        f'Expected a name of its own: @register(name="...").'
    )


def _app_of(module: str) -> str:
    """The label of the app that holds a module, else its top-level package."""
    try:
        config = apps.get_containing_app_config(module)
    except (AppRegistryNotReady, ImproperlyConfigured):
        config = None
    return config.label if config else module.partition(".")[0]


_registry = Registry()
get = _registry.get
all = _registry.all  # noqa: A001  (read as registry.all)
unregister = _registry.remove


@overload
def register(target: SimulationClass, /, **options: Any) -> SimulationClass: ...
@overload
def register(target: FunctionType, /, **options: Any) -> Loop: ...
@overload
def register(target: None = None, /, **options: Any) -> Callable[[Any], Any]: ...
def register(target: Any = None, /, **options: Any) -> Any:
    """Enter a simulation: a `Simulation` class, or a function that is a loop of its own.

    A class comes back as it is, with `options` as its attributes; a function
    comes back as a `Loop`. Raises RegistrationError where it cannot work.
    """

    def enter(target: Any) -> Any:
        with declarations.declared_in(target):
            registered = _registered(target, options)
            _registry.add(registered)
        return target if isinstance(target, type) else registered

    return enter if target is None else enter(target)


def job(function: Any = None, /, **options: Any) -> Any:
    """Enter a function as a job: a run that ends. It comes back as a `JobLoop`; `options` as of `register`,
    and `retries` and `backoff`. A class, a subclass of `Job`, is entered by `register`.

    Raises RegistrationError where it cannot work.
    """

    def enter(function: Any) -> JobLoop:
        with declarations.declared_in(function):
            if not isinstance(function, FunctionType):
                expected = "a function. A class, a subclass of Job, has @register"
                raise RegistrationError(f"@job got {function!r}. Expected: {expected}.")
            declarations.check_known_options(options, where(function), JOB_OPTIONS)
            entered = JobLoop(function, **options)
            _registry.add(entered)
        return entered

    return enter if function is None else enter(function)


def _registered(target: Any, options: dict[str, Any]) -> Registered:
    if isinstance(target, type) and issubclass(target, Job):
        declarations.check_known_options(options, where(target), JOB_OPTIONS)
        return of_class(target, options)
    if not (
        isinstance(target, FunctionType) or (isinstance(target, type) and issubclass(target, Simulation))
    ):
        raise RegistrationError(
            f"@register got {target!r}. "
            f"Expected: a subclass of django_livesim.Simulation or of Job, or a function."
        )
    place = where(target)
    declarations.check_known_options(options, place)
    if isinstance(target, FunctionType):
        if options.get("deterministic"):
            raise RegistrationError(f"{place}: deterministic is True, which a loop of your own cannot be.")
        return Loop(target, **options)
    return _with_options(target, dict(options))


def _with_options(cls: type[Simulation], options: dict[str, Any]) -> type[Simulation]:
    if "params_form" in options:
        options["Params"] = options.pop("params_form")
    if "name" in options and cls.label == humanise(cls.name):
        options.setdefault("label", humanise(str(options["name"])))
    for option, value in options.items():
        setattr(cls, option, value)
    return cls


def autodiscover() -> None:
    """Import every installed app's `simulations` module, then check what they declared.

    Raises RegistrationError where a loop has declared a command that cannot work.
    """
    autodiscover_modules("simulations")
    for target in all():
        with declarations.declared_in(target.function if isinstance(target, Loop) else target):
            declarations.check_commands(target)
