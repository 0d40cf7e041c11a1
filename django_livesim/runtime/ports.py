"""What the runtime takes in and gives out, and from whom.

The values that come from and go to the database are in `protocol.records`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django_livesim.protocol.names import Status
from django_livesim.protocol.records import Committed, Held, Passed, Poll, Position, Verdict, Write
from django_livesim.runtime.harm import Harm
from django_livesim.simulation import CommandSpec, Loop, Send, Simulation

Definition = type[Simulation] | Loop

AUTHOR_ERRORS = (Exception, SystemExit)
"""What an author's code may raise without more harm than to its own run."""


class Program(Protocol):
    """The author's code, as every kind of it is asked."""

    def begin(self, state: dict[str, Any] | None, version: int) -> None:
        """Set up anew, or take up a state that `version` of the code has stored."""

    def dump(self) -> dict[str, Any]: ...

    def view(self, role: str) -> dict[str, Any]: ...

    def metrics(self) -> dict[str, float]: ...


@dataclass(frozen=True, kw_only=True)
class FrameOut:
    """The view of one role (or `all`) at a tick, as encoded JSON."""

    role: str
    tick: int
    body: bytes
    """What is in no table,"""
    tables: bytes = b""
    """and the tables by name; empty where there are none."""
    whole: bool = False
    """Whether somebody has asked for a snapshot."""


@dataclass(frozen=True, kw_only=True)
class StatusOut:
    status: Status
    tick: int
    speed: float
    reason: str
    progress: float | None = None


@dataclass(frozen=True, kw_only=True)
class EventOut:
    name: str
    data: bytes
    tick: int


@dataclass(frozen=True, kw_only=True)
class MetricsOut:
    """The author's figures at a tick, as JSON: name to number or null."""

    tick: int
    at: float
    """By the clock of the run's supervisor."""
    values: bytes
    problem: str = ""
    """Why there are none."""


@dataclass(frozen=True, kw_only=True)
class VerdictOut:
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class EndOut:
    status: Status
    result: bytes
    next: UUID | None


@dataclass(frozen=True, kw_only=True)
class SendOut:
    send: Send


Output = FrameOut | StatusOut | EventOut | MetricsOut | VerdictOut | EndOut | SendOut


class Outlet(Protocol):
    """Where outputs leave the process. Never blocks, never raises."""

    def put(self, run: UUID, epoch: int, outputs: Sequence[Output]) -> None: ...


class Ledger(Protocol):
    """The database, from the step thread: nothing blocks; answers come by callback in the step thread."""

    def poll(
        self, held: Mapping[UUID, Position], claiming: bool, done: Callable[[Poll | None], None]
    ) -> None:
        """Look for work, and note how far the held runs are; None comes where the database did not answer."""
        ...

    def write(self, write: Write, done: Callable[[Committed], None]) -> None:
        """Commit one fenced write; `done` gets a value of `Committed`."""
        ...

    def strike(self, run: UUID, epoch: int, harm: Harm) -> None:
        """Note what a run has done, under its fence; it was dropped from memory."""
        ...

    def load_again(self, run: UUID, passed: tuple[Passed, ...], done: Callable[[Held | None], None]) -> None:
        """Read a held run once more, without the checkpoints in `passed`; None where it cannot be read."""
        ...


class Watch(Protocol):
    """Who is told whose code runs in a thread, so that it is known what a process hung in or died of."""

    def enter(self, run: UUID, epoch: int, limit: float = 0.0) -> None:
        """Code of `run` is called from here on, and may take `limit` seconds; 0: as long as it likes.

        A second `enter` without a `leave` between takes the place of the first. Whoever has been told of a
        limit may raise `StepTimeout` in this thread once it is over, until `leave` is called.
        """
        ...

    def leave(self) -> None:
        """It has returned, or raised."""
        ...


class Unnoticed:
    """A `Watch` where nobody watches."""

    def enter(self, run: UUID, epoch: int, limit: float = 0.0) -> None:
        pass

    def leave(self) -> None:
        pass


class Catalogue(Protocol):
    """The simulations that this process has the code of."""

    def find(self, name: str) -> Definition:
        """Raises `UnknownSimulation`."""
        ...

    def bind_params(self, definition: Definition, params: dict[str, Any]) -> dict[str, Any]: ...

    def live(self, definition: Definition) -> Collection[str]:
        """The names of the parameters that can be changed while a run goes on."""
        ...

    def bind_args(self, spec: CommandSpec, args: dict[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings that the runtime needs; times in seconds."""

    frame_rate: float | None = 10.0
    """Frames a second where the simulation says nothing; None: one for each tick."""
    report_every: int | None = None
    checkpoint_seconds: float = 10.0
    max_state_bytes: int = 8 * 1024 * 1024
    always_check_state: bool = False
    poll: float = 1.0
    grace: float = 20.0
    step_timeout: float | None = None
    """Of simulations that say nothing; None: no limit."""
    interest_ttl: float = 15.0
