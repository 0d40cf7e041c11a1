"""What the runtime takes in and gives out, and from whom.

Everything that crosses is a frozen value, so that it may cross a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from django_livesim.protocol.names import Kind, Outcome, Status
from django_livesim.simulation import CommandSpec, Loop, RunInfo, Send, Simulation

Definition = type[Simulation] | Loop


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A command as the runtime sees it. Applied ones carry their position."""

    id: int
    client_id: str
    sender: str
    kind: Kind
    name: str
    args: dict[str, Any]
    due_tick: int | None = None
    apply_seq: int | None = None
    apply_tick: int | None = None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of an entry, and at which position."""

    entry: Entry
    apply_seq: int
    apply_tick: int
    outcome: Outcome
    code: str = ""
    message: str = ""
    result: bytes = b"null"


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A state at a position. `data` is empty where the simulation cannot be stored."""

    tick: int
    apply_seq: int
    version: int
    data: bytes
    hash: str
    views: bytes | None = None
    """JSON object, role to view; given where the run is about to be let go."""


@dataclass(frozen=True, kw_only=True)
class Held:
    """A run just claimed: everything needed to go on with it."""

    info: RunInfo
    epoch: int
    status: Status
    tick: int
    next_seq: int
    speed: float
    horizon: int = 0
    stored: Stored | None = None
    journal: tuple[Entry, ...] = ()
    """Applied after `stored`, in order; they are applied again."""


@dataclass(frozen=True, kw_only=True)
class Write:
    """One fenced write of one run; all of it commits or none."""

    run: UUID
    epoch: int
    number: int
    tick: int
    next_seq: int
    speed: float
    status: Status | None = None
    """Given where it changes."""
    reason: str = ""
    verdicts: tuple[Verdict, ...] = ()
    checkpoint: Stored | None = None
    result: bytes | None = None
    error: str = ""
    ended: bool = False
    """The run ends: its waiting commands are refused, its worker let go."""
    release: bool = False
    """The worker lets the run go, for another to claim."""
    successor: UUID | None = None
    """Id of the run that a restart begins."""


class Committed:
    """What a write came to."""

    YES = "yes"
    FENCED = "fenced"
    """Another worker holds the run; drop the memory."""
    FAILED = "failed"
    """Not written, or not known to be; drop the memory and load it again."""


@dataclass(frozen=True, kw_only=True)
class Poll:
    """What one look into the database found for a worker."""

    claimed: tuple[Held, ...] = ()
    entries: Mapping[UUID, Sequence[Entry]] = field(default_factory=dict)
    """Waiting commands of held runs, oldest first; may repeat what was given before."""
    lost: frozenset[UUID] = frozenset()
    """Runs thought held that are another's now, or deleted."""
    dead: bool = False
    """This worker was declared dead by its peers: everything is lost."""


@dataclass(frozen=True, kw_only=True)
class FrameOut:
    """The view of one role (or `all`) at a tick, as encoded JSON."""

    role: str
    tick: int
    body: bytes


@dataclass(frozen=True, kw_only=True)
class StatusOut:
    status: Status
    tick: int
    speed: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class EventOut:
    name: str
    data: bytes
    tick: int


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


Output = FrameOut | StatusOut | EventOut | VerdictOut | EndOut | SendOut


class Outlet(Protocol):
    """Where outputs leave the process. Never blocks, never raises."""

    def put(self, run: UUID, epoch: int, outputs: Sequence[Output]) -> None: ...


class Ledger(Protocol):
    """The database, from the step thread: nothing blocks; answers come by callback in the step thread."""

    def poll(self, held: Mapping[UUID, int], claiming: bool, done: Callable[[Poll | None], None]) -> None:
        """Look for work. `held` maps run to epoch; None comes where the database did not answer."""
        ...

    def write(self, write: Write, done: Callable[[str], None]) -> None:
        """Commit one fenced write; `done` gets a value of `Committed`."""
        ...


class Catalogue(Protocol):
    """The simulations that this process has the code of."""

    def find(self, name: str) -> Definition:
        """Raises `UnknownSimulation`."""
        ...

    def bind_params(self, definition: Definition, params: dict[str, Any]) -> dict[str, Any]: ...

    def bind_args(self, spec: CommandSpec, args: dict[str, Any]) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings that the runtime needs; times in seconds."""

    frame_rate: float = 10.0
    report_every: int | None = None
    checkpoint_seconds: float = 10.0
    max_state_bytes: int = 8 * 1024 * 1024
    always_check_state: bool = False
    poll: float = 1.0
    grace: float = 20.0
    interest_ttl: float = 15.0
