"""What passes between the store and the runtime: frozen values, so that they may cross a thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django_livesim.protocol.names import Kind, Outcome, Status

CODE_LENGTH = 32
"""Characters of a verdict's code that are stored and told."""


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a simulation may know of its own run."""

    id: UUID
    simulation: str
    key: str | None = None
    name: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    owner: str | None = None
    """Primary key of the user who started it, as text."""
    group_name: str = ""
    """The channel-layer group that carries the run's messages to viewers."""


class Sampled(NamedTuple):
    """The figures of a run at a tick."""

    tick: int
    at: float
    """By the clock of the run's supervisor: in a worker, `time.monotonic` of its process."""
    values: bytes
    """JSON object, name to number or null."""


class Position(NamedTuple):
    """How far a held run is, and how far it wants to go before the next look."""

    epoch: int
    tick: int
    horizon: int | None = None
    """The last tick that it asks to show; None asks for no more than it has."""
    hash: str = ""
    """Of the state at `tick`; empty where it was not taken."""
    samples: tuple[Sampled, ...] = ()
    """To be stored with the horizon; each tick once."""


Key = int | tuple[str, str]
"""What tells a run's entries apart: the row's id; of one without a row its sender and the sender's id."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A command as the runtime sees it. Applied ones carry their position."""

    id: int | None
    """Of its row; None for a volatile one, which has a row only once it has been applied or refused."""
    client_id: str
    sender: str
    kind: Kind
    name: str
    args: dict[str, Any]
    due_tick: int | None = None
    due_in: float | None = None
    """Seconds, from when it was read, before which it must not act."""
    every: float | None = None
    """Seconds to the next of its kind, which the store makes with its verdict."""
    series: int | None = None
    """Id of the first of those that it repeats."""
    body_hash: str = ""
    """Of a volatile one, for its row."""
    apply_seq: int | None = None
    apply_tick: int | None = None

    @property
    def key(self) -> Key:
        return (self.sender, self.client_id) if self.id is None else self.id


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
    kept: frozenset[int] = frozenset()
    """Of a `cancel`: entries that the run's code has in hand already; they are not repeated."""
    params_set: Mapping[str, Any] | None = None
    """Of a `set`: all live parameters that were set since the start, with those that it has set."""


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A state at a position. `data` is empty where the simulation cannot be stored."""

    tick: int
    apply_seq: int
    version: int
    data: bytes
    hash: str = ""
    """Of `data`; made where it is written, off the step thread."""
    views: bytes | None = None
    """JSON object, role to view; given where the run is about to be let go."""


DAMAGED = "its bytes are damaged"
"""Why a checkpoint was passed over that nobody's code is at fault for."""


class Passed(NamedTuple):
    """A checkpoint that could not be taken up."""

    tick: int
    apply_seq: int
    why: str


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
    """The last tick that somebody may have been shown."""
    hash: str = ""
    """Of the state at `tick`, as whoever held it before has noted; empty where nobody has."""
    reason: str = ""
    begun: bool = False
    """Whether a worker has set it up before, and has said so."""
    unproven: int = 0
    """Deaths of workers that held it, since one of them has stored its state."""
    attempts: int = 0
    """Of a job: how many have been begun."""
    version: int = 1
    """Of the code that has stepped it so far, or that it was started with."""
    stored: Stored | None = None
    older: bool = False
    """Whether there is a checkpoint before `stored`, from which the run could be taken up as well."""
    passed: tuple[Passed, ...] = ()
    """Checkpoints newer than `stored` that could not be taken up, the newest first."""
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
    horizon: int = 0
    """The last tick that may be shown once this has committed; never below `tick`."""
    status: Status | None = None
    """Given where it changes."""
    previous: Status = Status.RUNNING
    """What the run's row says before this write."""
    begins: bool = False
    """The run has been set up for the first time."""
    reason: str = ""
    progress: float | None = None
    """How much of what is shown as progress is done, from 0 to 1; written with a status alone."""
    version: int | None = None
    """Of the code that has taken the run up; given once, by its first write."""
    verdicts: tuple[Verdict, ...] = ()
    checkpoint: Stored | None = None
    samples: tuple[Sampled, ...] = ()
    """Figures to be stored; each tick once."""
    lost_after: int | None = None
    """Where ticks were lost, the last that was not: figures of later ones are deleted."""
    proven: bool = False
    """The run has lived long enough, with the checkpoint, to be no suspect any more."""
    result: bytes | None = None
    error: str = ""
    ended: bool = False
    """The run ends: its waiting commands are refused, its worker let go."""
    release: bool = False
    """The worker lets the run go, for another to claim."""
    attempts: int | None = None
    """How many attempts of a job have been begun; given where that changes."""
    retry_in: float | None = None
    """Seconds before which nobody claims a job that is let go after an attempt that failed with `error`."""
    successor: UUID | None = None
    """Id of the run that a restart begins."""

    @property
    def params_set(self) -> Mapping[str, Any] | None:
        """The live parameters that were set since the start; None where it sets none."""
        found = (each.params_set for each in reversed(self.verdicts))
        return next((each for each in found if each is not None), None)


class Committed(StrEnum):
    """What a write came to."""

    YES = "yes"
    FENCED = "fenced"
    """Another worker holds the run; drop the memory."""
    FAILED = "failed"
    """Not written, or not known to be; drop the memory and load it again."""
    LATER = "later"
    """Not written, since somebody else has the run locked; the ledger tries again, and says nothing yet."""


@dataclass(frozen=True, kw_only=True)
class Poll:
    """What one look into the database found for a worker."""

    worker: UUID | None = None
    """Whose look it was: a worker that lost its lease looks under another id."""
    claimed: tuple[Held, ...] = ()
    more: bool = False
    """Whether as many were claimed as are at once, so that there may be more; look again."""
    full: bool = False
    """Whether as many entries were read as are at once; look again once some of them are answered."""
    entries: Mapping[UUID, Sequence[Entry]] = field(default_factory=dict)
    """Waiting commands of held runs, oldest first; may repeat what was given before."""
    left: Mapping[UUID, int] = field(default_factory=dict)
    """Of runs with commands for ticks that were not read: the first of those ticks."""
    horizons: Mapping[UUID, int] = field(default_factory=dict)
    """The last tick that may be shown, of the held runs that asked for it."""
    lost: frozenset[UUID] = frozenset()
    """Runs thought held that are another's now, or deleted."""
    dead: bool = False
    """This worker was declared dead by its peers: everything is lost."""
