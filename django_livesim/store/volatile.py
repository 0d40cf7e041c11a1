"""Volatile commands, which have no row until they have been answered."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from django.db import IntegrityError

from django_livesim.models import Command
from django_livesim.protocol import plain
from django_livesim.protocol.records import CODE_LENGTH, Verdict, Write
from django_livesim.store.moments import Moment


class Known(Exception):
    """The id of one has a row already, with an answer or waiting for one."""


def insert(answered: Sequence[tuple[Write, Verdict]]) -> None:
    """Store the commands with their answers, for those who wait and for whoever plays history again.

    Raises `Known`; nothing of the transaction may be kept then.
    """
    try:
        Command.objects.bulk_create([_row(one, verdict) for one, verdict in answered])
    except IntegrityError as exc:
        raise Known from exc


def _row(one: Write, verdict: Verdict) -> Command:
    entry = verdict.entry
    return Command(
        run_id=one.run,
        kind=str(entry.kind),
        name=entry.name,
        args=entry.args,
        sender=entry.sender,
        client_id=entry.client_id,
        body_hash=entry.body_hash,
        durable=False,
        apply_seq=verdict.apply_seq,
        apply_tick=verdict.apply_tick,
        epoch=one.epoch,
        outcome=str(verdict.outcome),
        code=plain.storable(verdict.code)[:CODE_LENGTH],
        message=plain.storable(verdict.message),
        result=orjson.loads(verdict.result),
        applied_at=Moment(),
    )
