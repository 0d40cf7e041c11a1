"""One family of errors, each with a code that a client can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum


class Code(StrEnum):
    """Why something was not done. The value is what clients see."""

    BAD_JSON = "bad_json"
    TOO_LARGE = "too_large"
    UNKNOWN_COMMAND = "unknown_command"
    UNKNOWN_SIMULATION = "unknown_simulation"
    BAD_ARGS = "bad_args"
    FORBIDDEN = "forbidden"
    NO_RUN = "no_run"
    RUN_ENDED = "run_ended"
    DUPLICATE_ID = "duplicate_id"
    STALE = "stale"
    BUSY = "busy"
    DB_DOWN = "db_down"
    TOO_MANY = "too_many"
    BAD_STATE = "bad_state"
    QUARANTINED = "quarantined"
    TIMEOUT = "timeout"
    REFUSED = "refused"
    CANCELLED = "cancelled"
    ERROR = "error"


class LivesimError(Exception):
    """Something asked for was not done, and nothing was changed.

    `code` is one of `Code`; `message` says what came, what was expected and
    what to do; `fields` maps argument names to lists of messages; `retry` is
    the seconds after which the same request may succeed, or None where it
    never will.
    """

    code = Code.ERROR

    def __init__(
        self,
        message: str,
        *,
        code: Code | None = None,
        fields: Mapping[str, Sequence[str]] | None = None,
        retry: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = str(message)  # an author may give the exception itself that he has caught
        if code is not None:
            self.code = code
        self.fields = {name: list(texts) for name, texts in (fields or {}).items()}
        self.retry = retry


def raised(exc: BaseException) -> str:
    """What those who sent a command hear of an exception in it: its text and traceback are for the log."""
    return f"The command raised {type(exc).__name__}; the worker's log says where."


class Refused(LivesimError):
    """Raised by an author's command: the request was understood and is declined."""

    code = Code.REFUSED


class BadArgs(LivesimError):
    """Arguments are missing, surplus or wrong; `fields` says which."""

    code = Code.BAD_ARGS


class Forbidden(LivesimError):
    """The one who asks lacks the right."""

    code = Code.FORBIDDEN


class LoginNeeded(Forbidden):
    """The same of one who is not logged in, or has been logged out meanwhile."""


class NoRun(LivesimError):
    """There is no such run, or the one who asks may not know of it."""

    code = Code.NO_RUN


class RunHeld(LivesimError):
    """Another process that is alive steps the run."""

    code = Code.BUSY


class RunLost(LivesimError):
    """This process steps the run no more, and what it did since the run was stored last is not kept."""

    code = Code.BUSY


class RunEnded(LivesimError):
    """The run has ended and takes no commands."""

    code = Code.RUN_ENDED


class UnknownSimulation(LivesimError):
    """No simulation is registered under that name."""

    code = Code.UNKNOWN_SIMULATION


class UnknownCommand(LivesimError):
    """The simulation declares no such command."""

    code = Code.UNKNOWN_COMMAND


class BadState(LivesimError):
    """The state does not equal its own stored and reloaded form."""

    code = Code.BAD_STATE


class RegistrationError(Exception):
    """A simulation is declared in a way that cannot work; raised at import."""

    filename: str | None = None
    """Where it is declared: `runserver` reads this, and starts again when that file has changed."""
