"""The closed sets and the names that every process must spell alike."""

from __future__ import annotations

import re
from enum import IntEnum, StrEnum
from uuid import UUID

RUNS_CHANNEL = "livesim.runs"
"""The doorbell that any worker may answer; whoever hears it claims."""

TASKS_CHANNEL = "livesim.tasks"
"""The doorbell of those who call tasks and the handlers of authors' channels."""

LISTS_GROUP = "livesim.lists"
"""The group of those who show a list of runs: some row of it may have changed."""

EXTERNAL = "external"
"""The simulation of runs that `publish_state` produces, and no name for one of an author's."""

UNWATCHED = "nobody is watching"
"""The reason of a paused run; by it the next worker knows that no person has paused it."""

INSPECT = "inspect"
"""The control by which somebody asks that the state be stored now; no verb for people."""

CANCEL = "cancel"
"""The control that takes back a command which waits; `args["command"]` is the id of its row."""

SET = "set"
"""The built-in command that changes live parameters, of simulations that have some."""

LONGEST_PAUSE = 3600.0
"""Seconds for which a run is held back at most: where it is for longer, a clock was set back since."""

VOLATILE = "livesim.volatile"
"""The type of the message that holds a volatile command."""

RESERVED_PREFIX = "livesim."

CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
"""What a client may use as the id of a command."""


class Status(StrEnum):
    """Where a run stands."""

    WAITING = "waiting"
    """Nobody holds it yet."""
    RUNNING = "running"
    PAUSED = "paused"
    """Held in memory; commands still apply, no step is made."""
    STOPPING = "stopping"
    """An own loop has been asked to end and has not yet come back."""
    STOPPED = "stopped"
    """Ended by a person; `start` goes on from the stored state."""
    FINISHED = "finished"
    """Ended by itself, with a result."""
    FAILED = "failed"
    """Its code raised; the traceback is in `error`."""
    QUARANTINED = "quarantined"
    """It harmed its worker too often; only a release brings it back."""


ENDED = frozenset({Status.STOPPED, Status.FINISHED, Status.FAILED})
CLAIMABLE = frozenset({Status.WAITING, Status.RUNNING, Status.PAUSED, Status.STOPPING})


class TaskStatus(StrEnum):
    """Where a task, or a message to a channel of an author's, stands."""

    WAITING = "waiting"
    """For its time, for a worker, or to be tried again."""
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    """Its code raised, or its worker died; it is not tried again."""
    CANCELLED = "cancelled"


class Verb(StrEnum):
    """The controls; each is a row of the journal like any command."""

    PAUSE = "pause"
    RESUME = "resume"
    STEP = "step"
    SPEED = "speed"
    STOP = "stop"
    RESTART = "restart"


class Outcome(StrEnum):
    """What became of a command; empty while it waits."""

    NONE = ""
    APPLIED = "applied"
    REFUSED = "refused"


class Kind(StrEnum):
    """What a row of the journal asks for."""

    COMMAND = "command"
    CONTROL = "control"


class Role(StrEnum):
    """The highest right a viewer has; `view(role)` gets it."""

    VIEW = "view"
    COMMAND = "command"
    CONTROL = "control"
    OWNER = "owner"


class CloseCode(IntEnum):
    """WebSocket close codes; only 4408, 1009 and 1012 are worth a new try."""

    UNAUTHENTICATED = 4401
    """Anonymous and not allowed, or no such run."""
    FORBIDDEN = 4403
    """A right was lost while connected."""
    NOT_FOUND = 4404
    """Logged in and not allowed, or no such run."""
    TOO_SLOW = 4408
    DELETED = 4410
    TOO_MANY = 4429
    TOO_LARGE = 1009
    RESTARTING = 1012


def worker_channel(worker: UUID) -> str:
    """The doorbell of one worker."""
    return f"{RESERVED_PREFIX}worker.{worker.hex}"


def run_group(run: UUID, role: str = "all") -> str:
    """The group that carries a run's frames for one role.

    `all` carries results, events and status for every role, and the frames
    too where the simulation shows everybody the same view.
    """
    return f"{RESERVED_PREFIX}run.{run.hex}.{role}"


def check_author_channel(name: str) -> None:
    """Raise ValueError unless an author may send to a channel or group so named."""
    if name.startswith(RESERVED_PREFIX) or "!" in name:
        raise ValueError(
            f"{name!r} is a name of django-livesim's own or of one connection; "
            f"choose a name that does not begin {RESERVED_PREFIX!r} and holds no '!'"
        )
