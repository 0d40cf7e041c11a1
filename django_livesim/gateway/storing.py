"""Commands as rows: by whom and under which id they were sent, and whether they are there already."""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson
from django.db import IntegrityError
from django.utils.translation import gettext as _

from django_livesim.gateway.committing import is_pending, ring
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor
from django_livesim.protocol import plain
from django_livesim.protocol.errors import BadArgs, Code, LivesimError, NoRun
from django_livesim.protocol.names import CLIENT_ID, Kind, Verb
from django_livesim.store import intake


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
    return insert_wanted(
        run,
        {
            "run": run.id,
            "kind": kind,
            "name": name,
            "args": args,
            "sender": actor.sender,
            "client_id": client_id_of(client_id),
            "body_hash": body,
            **fields,
        },
    )


def insert_wanted(run: Run, wanted: Mapping[str, Any]) -> tuple[Command, bool]:
    """As `insert`, for the keywords of `intake.insert_command`."""
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
    sent = Command.objects.filter(run=run.id, sender=actor.sender, client_id=client_id_of(client_id))
    row = sent.first()
    return None if row is None else same(row, body)


def same(row: Command, body: str) -> Command:
    """The row that an id has, where it was for the same command; raises `duplicate_id`."""
    if row.body_hash != body:
        used = _(
            "The id %(id)r was used for another command (%(command)s); other arguments, or another delay,"
            " at_tick or every, make it another. Use a new id for each."
        )
        raise LivesimError(used % {"id": row.client_id, "command": row.name}, code=Code.DUPLICATE_ID)
    return row


def client_id_of(given: str | None) -> str:
    """The id that a command has: the sender's own, or a new one. Raises BadArgs."""
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
