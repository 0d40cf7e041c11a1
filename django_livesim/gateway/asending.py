"""`asend`: commands of coroutines and sockets, which share group commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.db import InterfaceError, OperationalError
from django.utils.translation import gettext as _

from django_livesim.gateway import limits
from django_livesim.gateway.bridging import is_in_transaction_here, is_pending_here, may_hold_here
from django_livesim.gateway.checking import checkers
from django_livesim.gateway.finding import SERVER, allowed, get
from django_livesim.gateway.requests import Request
from django_livesim.gateway.sending import Checked, checked, hand_over, send
from django_livesim.gateway.storing import same
from django_livesim.gateway.waiting import await_outcome
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import Code, LivesimError, NoRun
from django_livesim.store import batch

ANSWER_LIMIT = 10.0  # seconds in which a command is stored, or its sender told that it was not


async def asend(
    run: Run | UUID | str,
    command: str,
    args: Mapping[str, Any] | None = None,
    *,
    user: Any = None,
    id: str | None = None,
    at_tick: int | None = None,
    delay: float | None = None,
    every: float | None = None,
    wait: bool = False,
    timeout: float = 5,  # noqa: ASYNC109  (as the sync twin's: nothing is cancelled)
    actor: Actor | None = None,
) -> Command:
    """Async twin of `send`. It has the command stored with others that come at the same time.

    Commands of one `user` or `actor`, the same object, are stored in the order of the calls.
    A caller that is cancelled may have sent its command: send it again under
    the same `id` to learn what became of it. Where the answer to a COMMIT is
    lost it raises `db_down`, and the same holds.

    Where sync code with an open transaction waits for it, as by
    `async_to_sync` in a test of Django's `TestCase`, it is `send` in that
    thread, and so in that transaction.
    """
    when: dict[str, Any] = {"at_tick": at_tick, "delay": delay, "every": every}
    if may_hold_here() and await is_in_transaction_here():
        row = await sync_to_async(send)(run, command, args, user=user, id=id, actor=actor, **when)
        wait = wait and not await is_pending_here()
    else:
        row = await asend_as(
            lambda: actor or (SERVER if user is None else Actor.from_user(user)),
            _lane(actor, user),
            run,
            command,
            args,
            id=id,
            **when,
        )
    return await await_outcome(row, timeout) if wait else row


async def asend_as(
    identify: Callable[[], Actor],
    lane: object,
    run: Run | UUID | str,
    command: str,
    args: Mapping[str, Any] | None = None,
    *,
    id: str | None = None,
    **when: Any,
) -> Command:
    """As `asend`, for the actor that `identify` gives; it is called in a thread that may use the database.

    Commands of one `lane`, whatever that is, are stored in the order of the calls.

    When it is cancelled before its batch has begun, nothing is stored; later
    the command is stored, and nobody is told. No other command is held up.
    """
    found: list[Checked] = []

    def check(request: Request) -> Any:
        actor = identify()
        if ref is None:
            row = allowed(request.run, run, actor, Level.COMMAND, command[:200])
        else:
            row = get(ref, actor=actor, level=Level.COMMAND, command=command[:200])
        sent = checked(row, actor, command, args or {}, id, **when)
        if isinstance(sent, Checked) and not sent.wanted["durable"]:
            sent = _hand_over(request, row, actor, id, sent)
        if isinstance(sent, Command):
            return sent
        found.append(sent)
        return row, sent.wanted

    run_id, ref = _run_id(run)
    request = Request(run_id, lane, check)
    if not checkers().put(request):
        raise _busy()
    told = await _answer_to(request)
    if isinstance(told, Command):
        return told
    if not isinstance(told, batch.Stored):
        raise _problem(told)
    if not told.created:
        await _uncount(found[0].counted, told.command)
    return same(told.command, request.wanted["body_hash"])


def _hand_over(request: Request, run: Run, actor: Actor, id: str | None, sent: Checked) -> Command | Checked:
    """As `hand_over`; not where its sender has been told that it was not sent, nor is that told meanwhile."""
    if not request.claim():
        raise _busy()
    found = hand_over(run, actor, id, sent)
    if isinstance(found, Checked):
        request.put_back()
    return found


async def _uncount(counted: str | None, row: Command) -> None:
    """Take back what was counted for a command that has its row already, in a thread of the checks.

    Whoever is cancelled in here may be counted for one command too many.
    """

    def uncount(_request: Request) -> Command:
        limits.uncount_command(counted)
        return row

    request = Request(None, object(), uncount)
    if counted is not None and checkers().put(request):
        await _answer_to(request)


def _lane(actor: Actor | None, user: Any) -> object:
    """The same for the same object; a lazy `user` is not looked at, which would ask the database."""
    return id(actor or (SERVER if user is None else user))


def _run_id(run: Run | UUID | str) -> tuple[UUID | None, str | None]:
    """The id of the run, and None; or None, and how else it is called."""
    if isinstance(run, Run):
        return run.id, None
    if isinstance(run, UUID):
        return run, None
    try:
        return UUID(run), None
    except ValueError:
        return None, run


async def _answer_to(request: Request) -> Any:
    """What became of it; after `ANSWER_LIMIT` that it was not stored, or that nobody knows."""
    expiry = _expiry()
    expiry.add(request)
    try:
        return await request.future
    except asyncio.CancelledError:
        request.claim()
        raise
    finally:
        expiry.discard(request)


class Expiry:
    """Tells those who wait for `ANSWER_LIMIT` seconds in vain, by one timer for all of an event loop.

    Belongs to the loop. All wait equally long, so those who came first are over first.
    """

    def __init__(self) -> None:
        self._until: dict[Request, float] = {}
        self._looks = False  # whether there is a timer; it itself would keep its loop alive

    def add(self, request: Request) -> None:
        self._until[request] = request.loop.time() + ANSWER_LIMIT
        if not self._looks:
            request.loop.call_later(ANSWER_LIMIT, self._look)
            self._looks = True

    def discard(self, request: Request) -> None:
        self._until.pop(request, None)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        for request, until in list(self._until.items()):
            if until > loop.time():
                loop.call_at(until, self._look)
                return
            self.discard(request)
            _expire(request)
        self._looks = False


_expiries: WeakKeyDictionary[asyncio.AbstractEventLoop, Expiry] = WeakKeyDictionary()


def _expiry() -> Expiry:
    """The one of the running loop."""
    loop = asyncio.get_running_loop()
    return _expiries.get(loop) or _expiries.setdefault(loop, Expiry())


def _expire(request: Request) -> None:
    if not request.future.done():
        told = _busy() if request.claim() else batch.NotKnown("it takes too long")
        request.future.set_result(told)


def _busy() -> LivesimError:
    message = _("The server is busy and has not stored the command; send it again.")
    return LivesimError(message, code=Code.BUSY, retry=1)


def _problem(told: Any) -> Exception:
    """What the sender hears of a command that was not stored, or of which nobody knows."""
    match told:
        case batch.RunGone():
            return NoRun(_("The run has just been deleted; nothing was stored."))
        case batch.IdLocked():
            return _busy()
        case batch.Unfit():
            return LivesimError(_("The database does not take the command; the log says why."))
        case batch.NotStored() | OperationalError() | InterfaceError():
            message = _("The database does not answer, and nothing was stored; send the command again.")
            return LivesimError(message, code=Code.DB_DOWN, retry=1)
        case batch.NotKnown():
            message = _(
                "The database does not answer, and it is not known whether the command was stored."
                " Send it again under the same id: it takes effect once."
            )
            return LivesimError(message, code=Code.DB_DOWN, retry=1)
    problem: Exception = told
    return problem
