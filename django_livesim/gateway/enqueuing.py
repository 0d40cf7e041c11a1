"""Tasks and messages to channels of an author's own: a row each, in the caller's transaction.

Nobody acts before that has committed, and what is rolled back has never been. Which function is called is
said by the server's own code alone: nothing of a client's is a name here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, overload

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from django_livesim import conf, declarations, permissions, registry
from django_livesim.background import ChannelHandler, Handler, handlers
from django_livesim.bus import doorbells
from django_livesim.gateway.bridging import in_thread
from django_livesim.gateway.finding import SERVER
from django_livesim.models import Task as TaskRow
from django_livesim.models import new_key
from django_livesim.params.signatures import where
from django_livesim.permissions import Actor
from django_livesim.protocol import plain
from django_livesim.protocol.commands import MAX_DELAY
from django_livesim.protocol.errors import BadArgs, Code, Forbidden, LivesimError, NoRun
from django_livesim.protocol.names import TaskStatus
from django_livesim.store import tasks
from django_livesim.store.moments import Moment

KEY = 200  # characters of an id


@dataclass(frozen=True)
class Ticket:
    """What was enqueued. `id` is that of its row; `key`, by which nobody else's is taken for it, its own.

    SQLite gives the id of a row that was rolled back to the next one.
    """

    id: int
    key: str

    def status(self) -> TaskStatus:
        """Where it stands now. Raises NoRun where its row is no more."""
        row = TaskRow.objects.filter(pk=self.id, key=self.key)
        if (status := row.values_list("status", flat=True).first()) is None:
            told = _("The task %(id)s is not there: it has been removed, or was rolled back.")
            raise NoRun(told % {"id": self.id})
        return TaskStatus(status)

    async def astatus(self) -> TaskStatus:
        return await in_thread(self.status)

    def cancel(self) -> bool:
        """Whether it waited, and will not be called. One that runs goes on."""
        return tasks.cancel(self.id, self.key)

    async def acancel(self) -> bool:
        return await in_thread(self.cancel)


@dataclass(frozen=True, kw_only=True)
class When:
    """When, by whom, and under which id a call is to be made."""

    delay: float | None = None
    at: datetime | None = None
    queue: str | None = None
    id: str | None = None

    def fields(self, handler: Handler) -> dict[str, Any]:
        """As columns. Raises BadArgs."""
        queue = handler.queue if self.queue is None else self.queue
        if self.queue is not None and queue not in queues():
            known = ", ".join(sorted(queues()))
            given = {"given": repr(queue)[:80], "known": known}
            raise _bad("queue", _("There is no queue %(given)s. Expected one of: %(known)s.") % given)
        key = self.id
        if key is not None and not (isinstance(key, str) and 0 < len(key) <= KEY and key.isprintable()):
            raise _bad("id", _("id is a text of 1 to %(most)s characters.") % {"most": KEY})
        return {"queue": queue, "key": key or new_key(), "due_at": self._due()}

    def _due(self) -> Any:
        if self.delay is not None and self.at is not None:
            raise _bad("delay", _("Give delay or at, not both."))
        if self.at is not None:
            return self._checked(self.at)
        if self.delay is None:
            return None
        if type(self.delay) not in (int, float) or not 0 <= self.delay <= MAX_DELAY:
            raise _bad("delay", _("delay is seconds, 0 up to a year; got %(given)r.") % {"given": self.delay})
        return Moment() + timedelta(seconds=self.delay)

    @staticmethod
    def _checked(at: Any) -> datetime:
        aware = timezone.now().tzinfo is not None
        if not isinstance(at, datetime) or timezone.is_aware(at) != aware:
            told = _("at is %(given)r. Expected: a datetime without a time zone.")
            if aware:
                told = _("at is %(given)r. Expected: a datetime with a time zone.")
            raise _bad("at", told % {"given": at})
        return at


class Task(Handler):
    """A function that `@task` has entered. Called as itself it runs here; `enqueue` has a worker call it."""

    def using(
        self,
        *,
        delay: float | None = None,
        at: datetime | None = None,
        queue: str | None = None,
        id: str | None = None,
    ) -> Call:
        """How it is to be enqueued: in `delay` seconds or `at` a moment, never before; to another `queue`.

        Of those with the same `id` there is one alone, for as long as its row is kept.
        """
        return Call(self, When(delay=delay, at=at, queue=queue, id=id))

    def enqueue(self, *args: Any, **kwargs: Any) -> Ticket:
        """Have a worker call it so, once the caller's transaction has committed.

        Arguments are plain JSON data. Raises BadArgs, and has changed nothing then.
        """
        return Call(self).enqueue(*args, **kwargs)

    async def aenqueue(self, *args: Any, **kwargs: Any) -> Ticket:
        """Async twin of `enqueue`."""
        return await in_thread(self.enqueue, *args, **kwargs)

    def enqueue_many(self, calls: Iterable[Sequence[Any]]) -> list[Ticket]:
        """A call with each of these positional arguments, all in one transaction or none."""
        return Call(self).enqueue_many(calls)


@dataclass(frozen=True)
class Call:
    """A task with how it is to be enqueued; as `Task.using` gives it."""

    task: Task
    when: When = field(default_factory=When)

    def enqueue(self, *args: Any, **kwargs: Any) -> Ticket:
        """As `Task.enqueue`. Where a row has its id: that one if its arguments are the same, else refused."""
        return _insert(self._row(args, kwargs))

    async def aenqueue(self, *args: Any, **kwargs: Any) -> Ticket:
        """Async twin of `enqueue`."""
        return await in_thread(self.enqueue, *args, **kwargs)

    def enqueue_many(self, calls: Iterable[Sequence[Any]]) -> list[Ticket]:
        """As `Task.enqueue_many`; without an id."""
        if self.when.id is not None:
            raise _bad("id", _("Calls that are enqueued together have no id."))
        rows = tasks.insert_many([self._row(tuple(args), {}) for args in calls])
        _ring_on_commit()
        return [Ticket(row.pk, row.key) for row in rows]

    def _row(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if handlers.tasks.get(self.task.name) is not self.task:
            raise BadArgs(_("The task %(name)s is not registered.") % {"name": self.task.name})
        self.task.bind(args, kwargs)
        return _row(self.task, TaskRow.Kind.TASK, [list(args), kwargs], self.when)


def send_to(
    channel: str,
    message: Mapping[str, Any],
    *,
    delay: float | None = None,
    at: datetime | None = None,
    id: str | None = None,
) -> Ticket:
    """Send a message to the handler of a channel, which some worker calls once the transaction has committed.

    The messages of a channel are handled one after the other, in the order of their rows; one with `delay`,
    in seconds, or `at` waits for its time and holds up no other. `id` as for tasks. Raises BadArgs where
    nobody handles that channel, or the message is no dict of plain JSON data.
    """
    handler = handlers.channels.get(channel) if isinstance(channel, str) else None
    if handler is None:
        known = ", ".join(sorted(handlers.channels)) or _("none")
        given = {"given": repr(channel)[:80], "known": known}
        told = _("Nobody handles the channel %(given)s. Expected one of: %(known)s; @on_channel makes one.")
        raise _bad("channel", told % given)
    if not isinstance(message, dict):
        told = _("A message is a dict; got %(kind)s.")
        raise _bad("message", told % {"kind": type(message).__name__})
    return _insert(_row(handler, TaskRow.Kind.MESSAGE, message, When(delay=delay, at=at, id=id)))


async def asend_to(channel: str, message: Mapping[str, Any], **when: Any) -> Ticket:
    """Async twin of `send_to`."""
    return await in_thread(send_to, channel, message, **when)


def cancel(ids: Iterable[int], *, actor: Actor = SERVER) -> list[int]:
    """Those of these tasks and messages that waited, and will not be called. Raises Forbidden."""
    _require(permissions.may_change_tasks(actor), permissions.CHANGE_TASKS)
    return [each for each in ids if tasks.cancel(each)]


def again(ids: Iterable[int], *, actor: Actor = SERVER) -> list[int]:
    """Those of them that had failed, or were cancelled, and are called once more. Raises Forbidden."""
    _require(permissions.may_change_tasks(actor), permissions.CHANGE_TASKS)
    done = [each for each in ids if tasks.again([each])]
    if done:
        _ring_on_commit()
    return done


def delete(ids: Iterable[int], *, actor: Actor = SERVER) -> list[int]:
    """Those of them that were over, and whose rows are no more. Raises Forbidden."""
    _require(permissions.may_delete_tasks(actor), permissions.DELETE_TASKS)
    return [each for each in ids if tasks.delete(each)]


def _require(may: bool, permission: str) -> None:
    if not may:
        told = _("This needs the permission %(permission)s; ask an administrator for it.")
        raise Forbidden(told % {"permission": permission})


@overload
def task(function: Callable[..., Any], /) -> Task: ...
@overload
def task(function: None = None, /, **options: Any) -> Callable[[Callable[..., Any]], Task]: ...
def task(function: Any = None, /, **options: Any) -> Any:
    """Enter a function as a task, `def` or `async def`. It comes back as a `Task`.

    `options`: `name`, `queue`, `retries`, `backoff`, as of `django_livesim.background.Handler`. Belongs into
    an app's `simulations.py`, or a module that is imported there. Raises RegistrationError.
    """

    def enter(function: Any) -> Task:
        entered = Task(function, **_checked(function, options))
        handlers.add(entered)
        return entered

    return enter if function is None else enter(function)


def on_channel(channel: str, /, **options: Any) -> Callable[[Callable[..., Any]], ChannelHandler]:
    """Enter a function as what handles the messages of `channel`: it gets each, a dict, one after the other.

    `options`: `queue`, `retries`, `backoff`, as for `task`; a message that waits to be tried again holds its
    channel. Raises RegistrationError.
    """

    def enter(function: Any) -> ChannelHandler:
        entered = ChannelHandler(function, name=channel, **_checked(function, options, channel=True))
        handlers.add(entered)
        return entered

    return enter


def _checked(function: Any, options: dict[str, Any], *, channel: bool = False) -> dict[str, Any]:
    known = ("queue", "retries", "backoff") if channel else ("name", "queue", "retries", "backoff")
    if inspect.isroutine(function):
        with declarations.declared_in(function):
            declarations.check_known_options(options, where(function), known)
    return options


def queues() -> set[str]:
    """Those that tasks and simulations of this code name."""
    return {"default", *handlers.queues, *(each.queue for each in registry.all())}


def _row(handler: Handler, kind: str, args: Any, when: When) -> dict[str, Any]:
    if found := plain.first_difference(args, "args"):
        raise BadArgs(_("Arguments are plain JSON data: %(found)s.") % {"found": found})
    encoded = plain.encode(args)
    if b"\\u0000" in encoded:
        raise BadArgs(_("Arguments hold the character NUL, which the database cannot store."))
    if len(encoded) > conf.settings.MAX_STATE_BYTES:
        told = _("Arguments take %(size)s bytes. Expected: %(most)s at most, as MAX_STATE_BYTES says.")
        raise BadArgs(told % {"size": len(encoded), "most": conf.settings.MAX_STATE_BYTES})
    retries = {"retries": handler.retries, "backoff": handler.backoff}
    return {"kind": str(kind), "name": handler.name, "args": args, **retries, **when.fields(handler)}


def _insert(fields: dict[str, Any]) -> Ticket:
    row, is_new = tasks.insert(fields)
    if is_new:
        _ring_on_commit()
    elif row.args != fields["args"] and not _is_same(row, fields["args"]):
        told = _("The id %(id)r was used with other arguments. Expected: a new id for another call.")
        raise LivesimError(told % {"id": fields["key"]}, code=Code.DUPLICATE_ID)
    return Ticket(row.pk, row.key)


def _is_same(row: TaskRow, args: Any) -> bool:
    """To the database, which may have written a number in another way."""
    return TaskRow.objects.filter(pk=row.pk, args=args).exists()


def _ring_on_commit() -> None:
    transaction.on_commit(doorbells.ring_tasks, using=conf.settings.DATABASE, robust=True)


def _bad(name: str, message: str) -> BadArgs:
    return BadArgs(message, fields={name: [message]})
