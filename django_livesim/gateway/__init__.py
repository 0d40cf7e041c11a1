"""The one way to act on a run: pages, sockets, admin, command line and Python all come through here.

Every function has an async twin with an `a` before its name. All raise
`LivesimError` and leave nothing half-made. An accepted command is a row
before the function returns; the worker hears of it by a doorbell after
commit, or finds it within a second.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django_livesim.gateway.asending import asend, asend_as
from django_livesim.gateway.bridging import asked, in_thread, is_pending_here
from django_livesim.gateway.cancelling import cancel
from django_livesim.gateway.controls import (
    control,
    legal_for,
    legal_verbs,
    pause,
    restart,
    resume,
    speed,
    step,
    stop,
)
from django_livesim.gateway.deleting import delete
from django_livesim.gateway.enqueuing import asend_to, on_channel, send_to, task
from django_livesim.gateway.figures import series
from django_livesim.gateway.finding import SERVER, get
from django_livesim.gateway.looking import ainspect, command_facts, facts, inspect, runs, stored_view
from django_livesim.gateway.owning import own_run
from django_livesim.gateway.producing import publish_state
from django_livesim.gateway.sending import send
from django_livesim.gateway.sharing import share
from django_livesim.gateway.starting import start
from django_livesim.gateway.waiting import answers, await_outcome, wait

__all__ = [
    "SERVER",
    "aanswers",
    "acancel",
    "acontrol",
    "adelete",
    "aget",
    "ainspect",
    "answers",
    "apause",
    "apublish_state",
    "arestart",
    "aresume",
    "asend",
    "asend_as",
    "asend_to",
    "aseries",
    "ashare",
    "asked",
    "aspeed",
    "astart",
    "astep",
    "astop",
    "astored_view",
    "await_outcome",
    "cancel",
    "command_facts",
    "control",
    "delete",
    "facts",
    "get",
    "inspect",
    "legal_for",
    "legal_verbs",
    "on_channel",
    "own_run",
    "pause",
    "publish_state",
    "restart",
    "resume",
    "runs",
    "send",
    "send_to",
    "series",
    "share",
    "speed",
    "start",
    "step",
    "stop",
    "stored_view",
    "task",
    "wait",
]


def _async(function: Callable[..., Any]) -> Callable[..., Any]:
    """The async twin: the same function in the thread of the database."""

    async def call(*args: Any, **kwargs: Any) -> Any:
        return await in_thread(function, *args, **kwargs)

    call.__name__ = call.__qualname__ = f"a{function.__name__}"
    call.__doc__ = f"Async twin of `{function.__name__}`."
    return call


def _async_sending(function: Callable[..., Any]) -> Callable[..., Any]:
    """The async twin of what sends and may wait: it waits in its own coroutine, and holds up nobody."""
    twin = _async(function)

    async def call(*args: Any, wait: bool = False, timeout: float = 5, **kwargs: Any) -> Any:  # noqa: ASYNC109  (as the sync twin's: nothing is cancelled)
        command = await twin(*args, **kwargs)
        if wait and not await is_pending_here():
            await await_outcome(command, timeout)
        return command

    call.__name__, call.__qualname__, call.__doc__ = twin.__name__, twin.__qualname__, twin.__doc__
    return call


aget = _async(get)
ashare = _async(share)
adelete = _async(delete)
astart = _async(start)
apublish_state = _async(publish_state)
acancel = _async_sending(cancel)
acontrol = _async_sending(control)
apause = _async_sending(pause)
aresume = _async_sending(resume)
astep = _async_sending(step)
aspeed = _async_sending(speed)
astop = _async_sending(stop)
arestart = _async_sending(restart)
aanswers = _async(answers)
aseries = _async(series)
astored_view = _async(stored_view)
