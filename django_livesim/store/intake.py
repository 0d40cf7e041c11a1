"""What the gateway writes: new runs, new commands, and the status of runs that nobody holds."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from secrets import randbelow
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from django_livesim import conf
from django_livesim.models import Command, Run
from django_livesim.protocol.names import Kind, Outcome, Status

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
    "version",
)
"""What a restarted run keeps of the one before it."""


def new_seed() -> int:
    return randbelow(2**53)


def create_run(**fields: Any) -> Run | None:
    """A waiting run; None where one of its simulation has the key already."""
    try:
        with transaction.atomic(using=conf.settings.DATABASE):
            return Run.objects.create(**fields)
    except IntegrityError:
        return None


def succeed(run: Run, successor: UUID, params: Mapping[str, Any] | None = None) -> Run:
    """Begin the run that follows an ended one: same parameters, seed and key, from setup.

    Belongs into the transaction that ends `run`. The key goes over to the new one.
    """
    fields = {name: getattr(run, name) for name in CARRIED}
    if params is not None:
        fields["params"] = dict(params)
    Run.objects.filter(id=run.id).update(key=None)
    return Run.objects.create(id=successor, key=run.key, parent_id=run.id, **fields)


def insert_command(
    run: UUID,
    *,
    kind: Kind,
    name: str,
    args: Mapping[str, Any],
    sender: str,
    client_id: str,
    body_hash: str,
    **fields: Any,
) -> tuple[Command, bool]:
    """The row of a command, and whether it is new; one sender's id is one row."""
    try:
        with transaction.atomic(using=conf.settings.DATABASE):
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
            return row, True
    except IntegrityError:
        existing = Command.objects.filter(run=run, sender=sender, client_id=client_id).first()
        if existing is None:
            raise
        return existing, False


def set_status(run: Run, status: Status, reason: str = "") -> bool:
    """Change the status of a run that nobody holds, by compare-and-set; False where somebody was quicker.

    Takes one place in the journal: the row that asks for it belongs at
    `run.next_seq`, in the same transaction.
    """
    ended = status is Status.STOPPED
    changed = Run.objects.filter(id=run.id, epoch=run.epoch, worker=None, status=run.status).update(
        status=str(status),
        reason=reason,
        epoch=F("epoch") + 1,
        next_seq=F("next_seq") + 1,
        ended_at=Now() if ended else None,
    )
    return bool(changed)


def applied_fields(run: Run) -> dict[str, Any]:
    """The fields of a command row that `set_status` has carried out at once."""
    return {
        "apply_seq": run.next_seq,
        "apply_tick": run.tick,
        "epoch": run.epoch + 1,
        "outcome": str(Outcome.APPLIED),
        "applied_at": Now(),
    }


def new_run_id() -> UUID:
    return uuid.uuid4()
