"""What the gateway writes: new runs, new commands, and the status of runs that nobody holds."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from secrets import randbelow
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from django_livesim import conf
from django_livesim.models import Command, Run
from django_livesim.protocol.errors import Code
from django_livesim.protocol.names import ENDED, Kind, Outcome, Status
from django_livesim.store import striking
from django_livesim.store.moments import Moment
from django_livesim.store.transitions import Transition, tell_on_commit

CARRIED = (
    "simulation",
    "name",
    "params",
    "seed",
    "owner_id",
    "session",
    "visibility",
    "link_token",
    "queue",
    "source",
    "version",
)
"""What a restarted run keeps of the one before it."""

RESTARTED = "restarted"
DELETED = "is being deleted"

ENDED_MESSAGE = _("The run has ended; start it again to send commands.")


class Overtaken(Exception):
    """Somebody else was quicker to change the run."""


def new_seed() -> int:
    return randbelow(2**53)


def create_run(**fields: Any) -> Run | None:
    """A waiting run; None where one of its simulation has the key already."""
    try:
        with transaction.atomic(using=conf.settings.DATABASE):
            return Run.objects.create(**fields)
    except IntegrityError:
        key = fields.get("key")
        if key is None or not Run.objects.filter(simulation=fields["simulation"], key=key).exists():
            raise
        return None


def succeed(
    run: Run, successor: UUID, params: Mapping[str, Any] | None = None, *, version: int | None = None
) -> Run:
    """Begin the run that follows an ended one: its parameters as they are, same seed and key, from setup.

    `version` is that of the code there is now, where it is known. Belongs into
    the transaction that ends `run`, and is told of when that has committed.
    The key goes over to the new one.
    """
    following = begin_successor(run, successor, params, version=version)
    told = Transition(
        run=run.id, epoch=run.epoch, previous=Status(run.status), reason=RESTARTED, successor=successor
    )
    tell_on_commit(told)
    return following


def begin_successor(
    run: Run, successor: UUID, params: Mapping[str, Any] | None = None, *, version: int | None = None
) -> Run:
    """`succeed` without a word; for the worker, which tells of its writes by itself.

    What is carried over is read here, with the row locked: who may watch may
    have changed since the caller read it.
    """
    run = Run.objects.select_for_update().get(id=run.id)
    fields = {name: getattr(run, name) for name in CARRIED}
    fields["params"] = run.present_params if params is None else dict(params)
    if version is not None:
        fields["version"] = version
    Run.objects.filter(id=run.id).update(key=None)
    return Run.objects.create(id=successor, key=run.key, parent_id=run.id, **fields)


def create_command(
    run: UUID,
    *,
    kind: Kind,
    name: str,
    args: Mapping[str, Any],
    sender: str,
    client_id: str,
    body_hash: str,
    **fields: Any,
) -> Command:
    """The new row of a command; raises IntegrityError where its id has one."""
    row = Command.objects.create(
        run_id=run,
        kind=str(kind),
        name=name,
        args=dict(args),
        sender=sender,
        client_id=client_id,
        body_hash=body_hash,
        **fields,
    )
    if fields.get("due_at") is not None:
        row.refresh_from_db(fields=["due_at"])  # by the database's clock
    return row


def insert_command(run: UUID, *, sender: str, client_id: str, **fields: Any) -> tuple[Command, bool]:
    """The row of a command, and whether it is new; one sender's id is one row."""
    try:
        with transaction.atomic(using=conf.settings.DATABASE):
            return create_command(run, sender=sender, client_id=client_id, **fields), True
    except IntegrityError:
        existing = Command.objects.filter(run=run, sender=sender, client_id=client_id).first()
        if existing is None:
            raise
        return existing, False


def carry_out(command: Command, run: Run, status: Status, reason: str = "") -> None:
    """Give a run that nobody holds the status that `command` asks for, by compare-and-set.

    The command takes the next place in the journal; where the run ends, its
    waiting commands are refused. Belongs into the transaction that inserted
    the command, and is told of when that has committed; raises `Overtaken`
    where somebody else has changed the run.
    """
    tell_on_commit(begin_carry_out(command, run, status, reason))


def begin_carry_out(command: Command, run: Run, status: Status, reason: str = "") -> Transition:
    """`carry_out` without a word: what is to be told, once that has committed, is given."""
    free = Run.objects.filter(id=run.id, epoch=run.epoch, worker=None, status=run.status)
    changed = free.update(
        status=str(status),
        reason=reason,
        epoch=F("epoch") + 1,
        next_seq=F("next_seq") + 1,
        ended_at=Moment() if status in ENDED else None,
        **_forgotten(run),
    )
    if not changed:
        raise Overtaken
    previous, epoch = Status(run.status), run.epoch + 1
    apply_at_once(command, run.tick, apply_seq=run.next_seq, epoch=epoch)
    if status in ENDED:
        refuse_waiting(run=run.id)
    return Transition(run=run.id, epoch=epoch, previous=previous, status=status, reason=reason)


def _forgotten(run: Run) -> dict[str, Any]:
    """What counts no more of a run that somebody has go on after its end, or releases."""
    forgotten = striking.RELEASED if run.status == Status.QUARANTINED else {}
    return forgotten | ({"attempts": 0} if run.status in (Status.STOPPED, Status.QUARANTINED) else {})


def take_away(run: Run) -> None:
    """Stop a run that is about to be deleted, whoever holds it: its worker can write nothing more of it."""
    ended = {} if run.ended else {"status": str(Status.STOPPED), "reason": DELETED, "ended_at": Moment()}
    Run.objects.filter(id=run.id).update(worker=None, epoch=F("epoch") + 1, **ended)


def apply_at_once(command: Command, tick: int, **fields: Any) -> None:
    """Note that a command was carried out by the gateway, at the tick where the run stands."""
    Command.objects.filter(id=command.pk).update(
        apply_tick=tick, outcome=str(Outcome.APPLIED), applied_at=Moment(), **fields
    )
    command.refresh_from_db()


def refuse_waiting(**which: Any) -> int:
    """Refuse the waiting commands of runs that have ended; how many there were.

    They have no place in the journal either, and by that SQLite finds them in an index: it uses none
    that has a condition, as that of `outcome` has.
    """
    return Command.objects.filter(outcome="", apply_seq=None, **which).update(
        outcome=str(Outcome.REFUSED), code=str(Code.RUN_ENDED), message=ENDED_MESSAGE, applied_at=Moment()
    )


def new_run_id() -> UUID:
    return uuid.uuid4()
