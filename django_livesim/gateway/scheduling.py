"""When a command is to act: at a tick, after a while, again and again."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor
from django_livesim.protocol import plain
from django_livesim.protocol.commands import MAX_DELAY
from django_livesim.protocol.errors import BadArgs, Code, LivesimError
from django_livesim.store.moments import Moment

SHORTEST = 0.1  # seconds between two repetitions
ROOM_RETRY = 60.0  # seconds after which one may ask again; nobody knows when one will have acted


def columns(at_tick: int | None, delay: float | None, every: float | None) -> dict[str, Any]:
    """The columns that say when; empty for a command that acts at once. Raises BadArgs.

    What is repeated acts for the first time after `delay`, or where there is
    none after one period.
    """
    _check(at_tick, delay, every)
    if every is not None and delay is None:
        delay = every
    found: dict[str, Any] = {}
    if at_tick is not None:
        found["due_tick"] = at_tick
    if delay is not None:
        found["due_at"] = Moment() + timedelta(seconds=delay)
    if every is not None:
        found["every"] = float(every)
    return found


def _check(at_tick: Any, delay: Any, every: Any) -> None:
    if at_tick is not None and not (_is_number(at_tick, int) and 0 <= at_tick <= plain.MAX_INTEGER):
        raise BadArgs(_("at_tick is a tick, an integer of 0 to 2^53; got %(given)r.") % {"given": at_tick})
    if delay is not None and not (_is_number(delay, int | float) and 0 <= delay <= MAX_DELAY):
        raise BadArgs(_("delay is seconds, 0 up to a year; got %(given)r.") % {"given": delay})
    if every is None:
        return
    if not (_is_number(every, int | float) and SHORTEST <= every <= MAX_DELAY):
        raise BadArgs(_("every is seconds, 0.1 up to a year; got %(given)r.") % {"given": every})
    if at_tick is not None:
        raise BadArgs(_("A command is repeated by seconds: give every, and a delay if you like, or at_tick."))


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value)


def check_room(actor: Actor, run: Run) -> None:
    """Raise `too_many` where so many scheduled commands of the sender wait in this run already.

    Counted without a lock: those who send at once may pass the limit by as many as they are.
    """
    limit = conf.settings.QUOTAS["SCHEDULED"]
    if actor.trusted or limit is None:
        return
    scheduled = Q(due_at__isnull=False) | Q(due_tick__isnull=False)
    waiting = Command.objects.filter(scheduled, run=run.id, apply_seq=None, outcome="", sender=actor.sender)
    if waiting.count() >= limit:
        told = _("Too many: %(times)s scheduled commands of one sender may wait in a run. Cancel some first.")
        raise LivesimError(told % {"times": limit}, code=Code.TOO_MANY, retry=ROOM_RETRY)
