"""Commands: checked, written as rows, and waited for."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import orjson
from channels.db import database_sync_to_async
from django.db import IntegrityError, connections, transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from django_livesim import conf, params, registry
from django_livesim.bus import doorbells
from django_livesim.gateway import limits, scheduling, volatile
from django_livesim.gateway.finding import SERVER, get
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol import plain
from django_livesim.protocol.errors import (
    BadArgs,
    Code,
    LivesimError,
    NoRun,
    RunEnded,
    UnknownCommand,
    UnknownSimulation,
)
from django_livesim.protocol.names import CLIENT_ID, Kind, Outcome, Status, Verb
from django_livesim.store import intake

WAIT_POLL = 0.05  # seconds between two looks for an outcome


def send(
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
    timeout: float = 5,
    actor: Actor | None = None,
) -> Command:
    """Send a command; its row, which is durable when this returns outside a transaction.

    The same `id` from the same sender is one command, however often it is
    sent. It acts at once, or not before the tick `at_tick`, or `delay`
    seconds from now; with `every` it acts again and again, so many seconds
    apart, the first time after `delay` or else one such period, until
    `cancel` or until the run ends. A command declared `durable=False` may
    have no row yet, and no `pk`. With `wait`, returns when it was applied or refused, or after
    `timeout` seconds with `outcome` still empty; inside a transaction it
    returns at once, since no worker can see the row yet.
    """
    actor = actor or (SERVER if user is None else Actor.from_user(user))
    row = get(run, actor=actor, level=Level.COMMAND, command=command[:200])
    sent = checked(row, actor, command, args or {}, id, at_tick=at_tick, delay=delay, every=every)
    if not isinstance(sent, Command):
        with unless_deleted(row):
            sent, created = _insert(row, sent)
        if not created:
            limits.uncount_command(actor)
    return answered(sent, wait, timeout)


def checked(
    run: Run,
    actor: Actor,
    command: str,
    args: Mapping[str, Any],
    id: str | None,
    *,
    at_tick: int | None = None,
    delay: float | None = None,
    every: float | None = None,
) -> Command | dict[str, Any]:
    """What is to be stored of a command that `actor` may send: the keywords of `intake.insert_command`.

    Its row, where it would be refused now and was sent before: a retry gets
    its answer whatever came since. Any other retry is found by its INSERT.
    """
    spec, cleaned = _clean_args(run, command, args)
    due = scheduling.columns(at_tick, delay, every)
    wanted = {
        "run": run.id,
        "kind": Kind.COMMAND,
        "name": command,
        "args": cleaned,
        "sender": actor.sender,
        "client_id": _client_id(id),
        "body_hash": body_hash(Kind.COMMAND, command, cleaned, at_tick, delay, every),
        "durable": True if spec is None else spec.durable,
        **due,
    }
    try:
        _refuse_ended(run)
        if due:
            scheduling.check_room(actor, run)
        limits.check_command(actor)
    except LivesimError:
        if sent := known(run, actor, id, wanted["body_hash"]):
            return sent
        raise
    return wanted if wanted["durable"] else _volatile(run, actor, id, wanted)


def _volatile(run: Run, actor: Actor, id: str | None, wanted: dict[str, Any]) -> Command | dict[str, Any]:
    """A command that is to have no row: handed over, sent before, or one that has a row after all."""
    try:
        sent = known(run, actor, id, wanted["body_hash"])
        handed = None if sent else volatile.hand_over(run, wanted)
    except LivesimError:
        limits.uncount_command(actor)
        raise
    if sent:
        limits.uncount_command(actor)
    return sent or handed or wanted | {"durable": True}


def _refuse_ended(run: Run) -> None:
    if run.ended:
        ended = _("The run is %(status)s and takes no commands; resume or restart it first.")
        raise RunEnded(ended % {"status": run.get_status_display()})
    if run.status == Status.QUARANTINED:
        held = _("The run is quarantined; an administrator must release it.")
        raise LivesimError(held, code=Code.QUARANTINED)


def _clean_args(run: Run, command: str, args: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The declared command and its arguments as they are stored."""
    try:
        definition = registry.get(run.simulation)
    except UnknownSimulation as exc:
        lacking = _("This process lacks the code of %(simulation)s; it cannot check the command.")
        raise LivesimError(lacking % {"simulation": run.simulation}, code=Code.ERROR) from exc
    spec = definition.commands.get(command)
    if spec is not None:
        return spec, _sized(params.clean(params.form_class(spec), args))
    if definition.is_loop and not definition.commands:
        return None, _sized(_free_args(command, args))
    expected = ", ".join(sorted(definition.commands)) or _("none; this simulation takes no commands")
    unknown = _("%(simulation)s has no command %(command)r. Expected one of: %(expected)s.")
    raise UnknownCommand(
        unknown % {"simulation": definition.name, "command": command[:80], "expected": expected}
    )


def _free_args(command: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """What an own loop that declares nothing accepts: any name, any plain dict."""
    if not command or len(command) > 200 or plain.storable(command) != command:
        raise UnknownCommand(_("A command needs a name of 1 to 200 characters, none of them NUL."))
    return params.clean(None, args)


def _sized(args: dict[str, Any]) -> dict[str, Any]:
    size, limit = len(plain.encode(args)), conf.settings.MAX_MESSAGE_BYTES
    if size > limit:
        large = _(
            "The arguments take %(size)s bytes, more than MAX_MESSAGE_BYTES = %(limit)s; send less at once."
        )
        raise LivesimError(large % {"size": size, "limit": limit}, code=Code.TOO_LARGE)
    return args


def insert(
    run: Run,
    kind: Kind,
    name: str,
    args: Mapping[str, Any],
    actor: Actor,
    client_id: str | None,
    body: str,
    fields: Mapping[str, Any],
) -> tuple[Command, bool]:
    """The command's row, and whether it is new; a new one is rung for."""
    return _insert(
        run,
        {
            "run": run.id,
            "kind": kind,
            "name": name,
            "args": args,
            "sender": actor.sender,
            "client_id": _client_id(client_id),
            "body_hash": body,
            **fields,
        },
    )


def _insert(run: Run, wanted: Mapping[str, Any]) -> tuple[Command, bool]:
    row, created = intake.insert_command(**wanted)
    if created:
        ring(run)
    return same(row, wanted["body_hash"]), created


@contextmanager
def unless_deleted(run: Run) -> Iterator[None]:
    """What is written for a run that is deleted meanwhile meets no run."""
    try:
        yield
    except (IntegrityError, Run.DoesNotExist) as exc:
        if is_pending() or Run.objects.filter(id=run.id).exists():
            raise
        raise NoRun(_("The run has just been deleted; nothing was stored.")) from exc


def known(run: Run, actor: Actor, client_id: str | None, body: str) -> Command | None:
    """The row of a command sent before under the same id; a retry gets its answer whatever came since."""
    if client_id is None:
        return None
    sent = Command.objects.filter(run=run.id, sender=actor.sender, client_id=_client_id(client_id))
    row = sent.first()
    return None if row is None else same(row, body)


def same(row: Command, body: str) -> Command:
    """The row that an id has, where it was for the same command; raises `duplicate_id`."""
    if row.body_hash != body:
        used = _("The id %(id)r was used for another command (%(command)s); use a new id for each.")
        raise LivesimError(used % {"id": row.client_id, "command": row.name}, code=Code.DUPLICATE_ID)
    return row


def _client_id(given: str | None) -> str:
    if given is None:
        return _new_id()
    if not CLIENT_ID.match(given):
        raise BadArgs(_("An id is 1 to 64 of A-Z a-z 0-9 _ -; got %(given)r.") % {"given": given[:80]})
    return given


_ids: dict[int, Callable[[], str]] = {}
"""By process id, since a forked child has what its parent had."""


def _new_id() -> str:
    """An id that nobody else uses. Each call of `uuid4` would let all other threads go first."""
    try:
        return _ids[os.getpid()]()
    except KeyError:
        numbers, start = itertools.count(), uuid.uuid4().hex
        return _ids.setdefault(os.getpid(), lambda: f"{start}-{next(numbers):x}")()


def body_hash(
    kind: Kind,
    name: str,
    args: Mapping[str, Any],
    at_tick: int | None = None,
    delay: float | None = None,
    every: float | None = None,
) -> str:
    """What must be alike for two sends of one id to be the same command."""
    if kind is Kind.CONTROL and name == Verb.RESTART:
        args = {}  # each asking has drawn another id for the run that follows
    seconds = [None if each is None else float(each) for each in (delay, every)]
    body = [kind, name, dict(args), at_tick, *(seconds if every is not None else seconds[:1])]
    return plain.digest(orjson.dumps(body, option=orjson.OPT_SORT_KEYS))


def ring(run: Run) -> None:
    """Tell the worker after commit; and viewers, where there is none who would tell them."""
    bell = partial(doorbells.ring, run.id, run.worker_id, look=run.worker_id is None)
    transaction.on_commit(bell, using=conf.settings.DATABASE, robust=True)


def wait(command: Command, timeout: float = 5) -> Command:
    """Read the row until it has an outcome, for at most `timeout` seconds."""
    until = time.monotonic() + timeout
    while not command.outcome and time.monotonic() < until:
        time.sleep(WAIT_POLL)
        _look(command)
    return command


async def await_outcome(command: Command, timeout: float = 5) -> Command:  # noqa: ASYNC109  (as the sync twin's: nothing is cancelled)
    """Async twin of `wait`: between two looks nothing is held, the thread of the database neither."""
    until = time.monotonic() + timeout
    while not command.outcome and time.monotonic() < until:
        await asyncio.sleep(WAIT_POLL)
        await database_sync_to_async(_look)(command)
    return command


def _look(command: Command) -> None:
    try:
        if command.pk is None and not _find_row(command):
            return
        command.refresh_from_db()
    except Command.DoesNotExist:
        raise NoRun(_("The run was deleted, and the command with it.")) from None


def _find_row(command: Command) -> bool:
    """Whether a volatile command has its row by now, which it gets with its outcome; it is that row then."""
    sent = Command.objects.filter(run=command.run_id, sender=command.sender, client_id=command.client_id)
    command.pk = sent.values_list("pk", flat=True).first()
    command._state.adding = command.pk is None
    return command.pk is not None


def is_pending() -> bool:
    """Whether a transaction is open here, before whose commit nobody else sees what it has written."""
    return connections[conf.settings.DATABASE].in_atomic_block


def answered(command: Command, wanted: bool, timeout: float) -> Command:
    """Waits, except inside a transaction."""
    return wait(command, timeout) if wanted and not is_pending() else command


def answers(run: UUID, senders_and_ids: Iterable[tuple[str, str]]) -> list[Command]:
    """The rows of these commands that have an outcome, in one query."""
    ids: dict[str, list[str]] = {}
    for sender, client_id in senders_and_ids:
        ids.setdefault(sender, []).append(client_id)
    wanted = Q(pk__in=[])
    for sender, client_ids in ids.items():
        wanted |= Q(sender=sender, client_id__in=client_ids)
    return list(
        Command.objects.filter(wanted, run=run).exclude(outcome=str(Outcome.NONE)).order_by("apply_seq")
    )
