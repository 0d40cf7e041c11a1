"""What became of commands, as a worker's writes say it, and what follows from that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from django_livesim.models import Command
from django_livesim.protocol import plain
from django_livesim.protocol.names import CANCEL, Kind
from django_livesim.protocol.records import CODE_LENGTH, Verdict, Write
from django_livesim.store import cancelling, repeating, volatile
from django_livesim.store.many import update_each
from django_livesim.store.moments import Moment

WAITING = ("id", "run", "outcome")
VERDICT = ("apply_seq", "apply_tick", "epoch", "outcome", "code", "message", "result")


class Overtaken(Exception):
    """A command of a write has its outcome already, from elsewhere: what the run did with it never was."""


def note(writes: Iterable[Write]) -> None:
    """What became of the commands, in one statement. Raises Overtaken."""
    given = {
        verdict.entry.id: (one, verdict)
        for one in writes
        for verdict in one.verdicts
        if verdict.entry.id is not None
    }
    rows = [_row(one, verdict) for one, verdict in given.values()]
    changed = update_each(Command, WAITING, VERDICT, rows, also={"applied_at": Moment()})
    if changed == len(rows):
        return
    for pk, epoch, place in Command.objects.filter(pk__in=given).values_list("pk", "epoch", "apply_seq"):
        one, verdict = given[pk]
        if (epoch, place) != (one.epoch, verdict.apply_seq):
            raise Overtaken
    # those that are no more were looks into the state: whoever no longer waits for one deletes it


def follow(answered: Sequence[tuple[Write, Verdict]]) -> None:
    """The rows of volatile commands, the next of repeated ones, the end of cancelled ones; in this order."""
    if new := [(one, verdict) for one, verdict in answered if verdict.entry.id is None]:
        try:
            volatile.insert(new)
        except volatile.Known as exc:
            raise Overtaken from exc
    if again := [verdict.entry.id for one, verdict in answered if verdict.entry.every and not one.ended]:
        repeating.repeat(each for each in again if each is not None)
    for _, verdict in answered:
        entry = verdict.entry
        if entry.kind is Kind.CONTROL and entry.name == CANCEL and entry.id is not None:
            cancelling.cancel(entry.id, verdict.kept)


def _row(one: Write, verdict: Verdict) -> tuple[Any, ...]:
    waiting = (verdict.entry.id, one.run, "")
    place = (verdict.apply_seq, verdict.apply_tick, one.epoch)
    code, message = plain.storable(verdict.code)[:CODE_LENGTH], plain.storable(verdict.message)
    return (*waiting, *place, str(verdict.outcome), code, message, orjson.loads(verdict.result))
