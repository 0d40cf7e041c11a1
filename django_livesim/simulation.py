"""What authors write: a `Simulation` class, or a loop of their own.

Both ask their host for everything that is not their own rules; the host is
set by whoever steps them, so that a simulation needs no worker, database or
channel layer to be tested.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from django_livesim.protocol import plain
from django_livesim.protocol.names import check_author_channel
from django_livesim.protocol.records import RunInfo
from django_livesim.protocol.tables import Table

if TYPE_CHECKING:
    from django_livesim.portrayal import Layer


@dataclass(frozen=True, kw_only=True)
class Send:
    """A message that an author sends to a channel or group of his own."""

    to_group: bool
    target: str
    message: dict[str, Any]


@dataclass
class Host:
    """Whoever steps a simulation: facts in, effects out. Not for authors."""

    run: RunInfo
    tick: int = 0
    live: bool = True
    events: list[tuple[str, bytes]] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    finished: bool = False
    result: Any = None
    bind: Callable[[dict[str, Any]], dict[str, Any]] = dict
    """Stored parameters to Python values."""
    _random: Random | None = None
    _params_set: dict[str, Any] = field(default_factory=dict)
    _params: Mapping[str, Any] | None = None

    @property
    def params_set(self) -> dict[str, Any]:
        """The live parameters that were set since the start, as they are stored. Replaced, never changed."""
        return self._params_set

    @params_set.setter
    def params_set(self, params: dict[str, Any]) -> None:
        self._params_set, self._params = params, None

    def set_params(self, params_set: dict[str, Any]) -> None:
        """Put `params_set` in its place, bound at once. Raises, and changes nothing, where it cannot be."""
        bound = self.bind({**self.run.params, **params_set})
        self._params_set, self._params = params_set, MappingProxyType(bound)

    @property
    def present_params(self) -> dict[str, Any]:
        """All parameters as they are now, stored."""
        return {**self.run.params, **self._params_set}

    @property
    def params(self) -> Mapping[str, Any]:
        """All parameters as they are now; bound when they are first asked for."""
        if self._params is None:
            self._params = MappingProxyType(self.bind(self.present_params))
        return self._params

    @property
    def random(self) -> Random:
        """Seeded from the run; made at first use."""
        if self._random is None:
            self._random = Random(self.run.seed)
        return self._random

    def random_state(self) -> list[Any] | None:
        """The generator's state as plain data, None where it was never used."""
        if self._random is None:
            return None
        version, internal, gauss = self._random.getstate()
        return [version, list(internal), gauss]

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is asked now is no part of history: it draws no numbers, and lets nothing out."""
        drawn = self._random.getstate() if self._random is not None else None
        events, sends = len(self.events), len(self.sends)
        end = self.finished, self.result
        try:
            yield
        finally:
            del self.events[events:], self.sends[sends:]
            self.finished, self.result = end
            if drawn is None:
                self._random = None
            else:
                self.random.setstate(drawn)

    def restore_random(self, state: list[Any] | None) -> None:
        """Take up a state that `random_state` gave."""
        if state is None:
            self._random = None
        else:
            version, internal, gauss = state
            self.random.setstate((version, tuple(internal), gauss))


class Hosted:
    """What every simulation, class or loop, may ask of its host."""

    _host: Host

    @property
    def run(self) -> RunInfo:
        """The facts of this run."""
        return self._host.run

    @property
    def params(self) -> Mapping[str, Any]:
        """The run's parameters as they are now, read only: Python values, as they are given at the start."""
        return self._host.params

    def changed(self, names: set[str]) -> None:
        """Called when live parameters have been set: do again what you keep of them.

        What it raises refuses the command, and the parameters are what they were; what it changed in the
        state before stays changed.
        """

    @property
    def tick(self) -> int:
        """How many steps have been made."""
        return self._host.tick

    @property
    def live(self) -> bool:
        """False while history is played again; guard effects outside the state with it."""
        return self._host.live

    @property
    def random(self) -> Random:
        """A generator seeded by the run, stored and restored with the state."""
        return self._host.random

    def emit(self, name: str, data: Any = None) -> None:
        """Send an event to everybody watching. `data` is plain JSON data, copied now."""
        self._host.events.append((name, plain.encode(data)))

    def finish(self, result: Any = None) -> None:
        """End the run after this step, with a plain JSON `result`."""
        plain.encode_answer(result)
        self._host.finished, self._host.result = True, result

    def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send `message` (with a `type`) to a channel-layer group of your own, at most once."""
        self._send(True, group, message)

    def channel_send(self, channel: str, message: dict[str, Any]) -> None:
        """Send `message` (with a `type`) to a channel of your own, at most once."""
        self._send(False, channel, message)

    def _send(self, to_group: bool, target: str, message: dict[str, Any]) -> None:
        check_author_channel(target)
        if not isinstance(message.get("type"), str):
            raise ValueError(f"a channel-layer message needs a 'type'; got {sorted(message)}")
        copied = orjson.loads(plain.encode(message))
        self._host.sends.append(Send(to_group=to_group, target=target, message=copied))


@dataclass(frozen=True, kw_only=True)
class CommandSpec:
    """One declared command: what it is called, and what runs when it is applied."""

    name: str
    label: str
    help: str
    function: Callable[..., Any]
    durable: bool = True
    form: Any = None
    """A Django form class in place of the one made from the annotations."""


def command(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str = "",
    label: str = "",
    durable: bool = True,
    form: Any = None,
) -> Any:
    """Mark a method as a command that viewers with the right may send.

    Its annotated parameters become the form. It may return plain JSON data,
    which the sender gets, and may raise `Refused`. It must check before it
    changes: what it changed before it raised stays changed.

    With `durable=False` it is handed to the worker itself: it has no row until
    it has acted, and may be lost before.
    """

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function._livesim_command = _spec(function, name, label, durable, form)  # type: ignore[attr-defined]
        return function

    return mark(function) if function is not None else mark


def _spec(function: Callable[..., Any], name: str, label: str, durable: bool, form: Any) -> CommandSpec:
    name = name or function.__name__
    return CommandSpec(
        name=name,
        label=label or humanise(name),
        help=first_paragraph(function.__doc__),
        function=function,
        durable=durable,
        form=form,
    )


class Declaration:
    """The options of a simulation: class attributes, or arguments of `@register(...)` for a loop."""

    name: str = ""
    label: str = ""
    version: int = 1
    tick_rate: float = 10  # steps per simulated second
    frame_rate: float | None = None  # frames a second to viewers; None: the FRAME_RATE setting
    report_every: int | None = None  # ticks between frames; None: by frame_rate
    frame_on_command: bool = False  # a frame at once where a command has acted, due or not
    queue: str = "default"
    deterministic: bool = True
    recovery: str = "checkpoint"  # or "replay"
    sharing: str = "shared"
    autostart: bool = False
    when_unwatched: str = "run"
    visibility: str = "private"  # of its runs, where their start says nothing: "link", "public"
    may_start: str = "permitted"  # "users", "anyone"
    open_commands: bool = False
    step_timeout: float | None = None  # seconds
    report_to: str | None = None  # a group of the author's own
    tables: Sequence[Table] = ()  # of the view: what is sent as columns
    script: str = ""  # static path of the module that draws the live page

    is_loop: ClassVar[bool]
    is_job: ClassVar[bool] = False
    do_not_call_in_templates = True


OPTIONS = tuple(name for name in Declaration.__annotations__ if name not in ("is_loop", "is_job"))


class Simulation(Hosted, Declaration):
    """A simulation that is stepped: rules over `self.state`, a plain dict.

    One instance is one run. `setup` makes the first state, `step` changes
    it; commands change it between steps. See docs/architecture.md for who
    calls what when.
    """

    is_loop = False
    takes_any_message: ClassVar[bool] = False
    commands: ClassVar[dict[str, CommandSpec]] = {}
    views_by_role: ClassVar[bool] = False
    has_metrics: ClassVar[bool] = False
    description: ClassVar[str] = ""

    state: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.name = cls.__dict__.get("name") or snake_case(cls.__name__)
        cls.label = cls.__dict__.get("label") or humanise(str(cls.name))
        cls.description = first_paragraph(cls.__doc__)
        cls.views_by_role = cls.view is not Simulation.view
        cls.has_metrics = cls.metrics is not Simulation.metrics
        cls.commands = {spec.name: spec for spec in declared_commands(cls)}

    def __init__(self) -> None:
        self.state = {}

    def setup(self) -> None:
        """Make the first state. Annotated parameters become the start form."""

    def step(self, dt: float) -> None:
        """Advance by `dt` simulated seconds, always 1 / tick_rate."""
        raise NotImplementedError(f"{type(self).__name__} has no step(self, dt)")

    def restore(self) -> None:
        """Rebuild what is derived from the state; called after setup and after each load."""

    def view(self, role: str) -> dict[str, Any]:
        """What viewers of `role` (a `protocol.names.Role`) see. The whole state by default."""
        return self.state

    @classmethod
    def portray(cls) -> Layer | Sequence[Layer]:
        """How its page draws the view: `Points`, `Grid`, `Network` or a list of them; nothing by default."""
        return ()

    def metrics(self) -> dict[str, float]:
        """Named figures of the present state, at most 50: plotted, and shown to whoever may watch.

        It is asked by the clock, and more often while somebody watches: what it draws from `random` is drawn
        again, and what it emits, sends or finishes counts for nothing.
        """
        return {}

    def dump(self) -> dict[str, Any]:
        """The state as it is stored: plain JSON data."""
        return self.state

    def load(self, data: dict[str, Any]) -> None:
        """Take up what `dump` gave."""
        self.state = data

    def upgrade(self, state: dict[str, Any], from_version: int) -> dict[str, Any]:
        """What `dump` gave in an older version of this class, as this one would have given it.

        Called before `load` where the stored state is of a version below
        `version`: of exactly `from_version`, which may be any older one. The
        state may be changed in place; the one that is returned is taken up.
        """
        return state


def declared_commands(cls: type) -> Iterator[CommandSpec]:
    """The commands of a class, bases first, an overriding method in its base's place."""
    specs: dict[str, CommandSpec] = {}
    for base in reversed(cls.__mro__):
        for attribute, value in vars(base).items():
            spec = getattr(value, "_livesim_command", None)
            if spec is not None:
                specs[attribute] = spec
            elif attribute in specs:
                specs.pop(attribute)
    yield from specs.values()


class Loop(Declaration):
    """A loop of the author's own, as `@register` makes it of a function.

    `function(sim, **params)` is called once for a run, and again from the top,
    with `sim.resumed` True and the stored `sim.state`, after its process died.
    It takes its messages from `sim.messages()` and ends each tick with
    `sim.sleep(seconds)` (awaited in an `async def`).
    """

    is_loop = True

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        self.function = function
        self.is_async = inspect.iscoroutinefunction(function)
        self.params_form = options.pop("params_form", None)
        for option in OPTIONS:
            setattr(self, option, options.pop(option, getattr(Declaration, option)))
        if options:
            raise TypeError(f"unknown options {sorted(options)}; expected some of {sorted(OPTIONS)}")
        self.deterministic = False
        self.name = self.name or snake_case(function.__name__)
        self.label = self.label or humanise(self.name)
        self.description = first_paragraph(function.__doc__)
        self.commands: dict[str, CommandSpec] = {}
        self.upgrade_function: Callable[[dict[str, Any], int], dict[str, Any]] | None = None
        self.view_function: Callable[..., dict[str, Any]] | None = None
        self.metrics_function: Callable[..., dict[str, float]] | None = None
        self.portray_function: Callable[[], Layer | Sequence[Layer]] | None = None
        self.__module__ = function.__module__
        self.__name__ = self.__qualname__ = function.__name__
        self.__doc__ = function.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The plain function, for tests."""
        return self.function(*args, **kwargs)

    @property
    def views_by_role(self) -> bool:
        return self.view_function is not None

    @property
    def has_metrics(self) -> bool:
        return self.metrics_function is not None

    @property
    def takes_any_message(self) -> bool:
        """Whether messages of any name are for it: it declares none."""
        return not self.commands

    def command(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str = "",
        label: str = "",
        durable: bool = True,
        form: Any = None,
    ) -> Any:
        """Declare a command: `function(sim, **args)`.

        With any declared, only those are accepted. The function runs when the
        loop takes the message, and its value is the reply; the message is then
        yielded by `sim.messages()` all the same, so a body of `...` declares
        the form and leaves the work to the loop.
        """

        def declare(function: Callable[..., Any]) -> Callable[..., Any]:
            spec = _spec(function, name, label, durable, form)
            self.commands[spec.name] = spec
            return function

        return declare(function) if function is not None else declare

    def upgrade(
        self, function: Callable[[dict[str, Any], int], dict[str, Any]]
    ) -> Callable[[dict[str, Any], int], dict[str, Any]]:
        """Declare `function(state, from_version)`: what an older version stored, as this one has it."""
        self.upgrade_function = function
        return function

    def view(self, function: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
        """Declare `function(sim, role)`: what viewers see in place of the state."""
        self.view_function = function
        return function

    def metrics(self, function: Callable[..., dict[str, float]]) -> Callable[..., dict[str, float]]:
        """Declare `function(sim)`: named figures of the present state, as those of a class."""
        self.metrics_function = function
        return function

    def portray(
        self, function: Callable[[], Layer | Sequence[Layer]]
    ) -> Callable[[], Layer | Sequence[Layer]]:
        """Declare `function()`: how its page draws the view, as `Simulation.portray` does."""
        self.portray_function = function
        return function


def snake_case(name: str) -> str:
    """`OrbitBox` as `orbit_box`, `HTTPFlow` as `http_flow`."""
    name = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()


def humanise(name: str) -> str:
    """`add_entity` as `Add entity`."""
    text = name.rpartition(".")[2].replace("_", " ").strip()
    return text[:1].upper() + text[1:]


def first_paragraph(doc: str | None) -> str:
    """The first paragraph of a docstring on one line, empty where there is none."""
    return " ".join(inspect.cleandoc(doc or "").split("\n\n")[0].split())
