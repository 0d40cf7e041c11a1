"""Commands that come again: with the verdict on one, the next is made.

Both are one transaction, so that each is followed by exactly one, whoever
dies when. Belongs to a write, under its fence.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db.models import F

from django_livesim.models import Command
from django_livesim.store.moments import Moment

HAIR = 1e-9  # periods by which the quotient of two floats may fall short of a whole number


def repeat(ids: Iterable[int]) -> None:
    """Make the next of each of these commands, which have just been answered, where it is to come again."""
    rows = Command.objects.filter(pk__in=list(ids)).annotate(late=Moment() - F("due_at")).order_by("pk")
    Command.objects.bulk_create(
        _next(row, row.due_at, row.every, row.late.total_seconds())
        for row in rows
        if row.every is not None and row.due_at is not None
    )


def _next(row: Command, due: datetime, every: float, late: float) -> Command:
    return Command(
        run_id=row.run_id,
        kind=row.kind,
        name=row.name,
        args=row.args,
        sender=row.sender,
        client_id=uuid.uuid4().hex,
        body_hash=row.body_hash,
        every=every,
        series=row.series or row.pk,
        due_at=due_next(due, every, late),
    )


def due_next(due: datetime, every: float, late: float) -> datetime:
    """The first moment that is whole periods, one at least, after `due` and still to come.

    `late` is how long ago `due` was. What was missed is passed over, and the
    beat is kept: due at 10 s, every 5 s, answered at 23 s is due again at 25 s.
    """
    times = max(1, math.floor(late / every + HAIR) + 1)
    return due + timedelta(seconds=every * times)
