"""How much one person may have and do: `QUOTAS` and `RATE_LIMITS`. The server's own code is not limited."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass

from django.core.cache import cache
from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.bus.seldom import Seldom
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol import plain
from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.protocol.names import ENDED, Status
from django_livesim.store import turnstile

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

GOING_ON = [str(status) for status in Status if status not in ENDED]
QUOTA_RETRY = 60.0  # seconds after which one may ask again; nobody knows when a run will end

_passed: ContextVar[set[str] | None] = ContextVar("livesim_passed", default=None)
"""Within `as_one`: the senders that have been counted."""


def enter(actor: Actor) -> None:
    """Where runs are counted, be the only one who begins any or goes on with one, to the transaction's end.

    Belongs before the lock of any run, so that no two wait for each other.
    """
    if not actor.trusted and _has_quotas():
        turnstile.enter("runs")


def check_quotas(actor: Actor, run: Run) -> None:
    """Raise `too_many` unless the quotas have room for a run that goes on now, or will by a restart.

    Belongs after `enter`, and after the write that makes it go on.
    """
    if actor.trusted:
        return
    quotas = conf.settings.QUOTAS
    mine, total = quotas["RUNS_PER_USER"], quotas["RUNS"]
    going_on = Run.objects.filter(status__in=GOING_ON)
    if mine is not None and going_on.filter(owner=run.owner_id, **_session(run)).count() > mine:
        told = _("Too many: %(times)s runs of one person may go on at a time. Stop one first.")
        raise _too_many(told % {"times": mine}, QUOTA_RETRY)
    if total is not None and going_on.count() > total:
        told = _("Too many: %(times)s runs may go on at a time, of all. Try again when one has ended.")
        raise _too_many(told % {"times": total}, QUOTA_RETRY)


def _has_quotas() -> bool:
    return any(conf.settings.QUOTAS[each] is not None for each in ("RUNS_PER_USER", "RUNS"))


def _session(run: Run) -> dict[str, str]:
    return {} if run.owner_id is not None else {"session": run.session}


def check_start(actor: Actor) -> None:
    """Raise `too_many` where the person has begun as many runs as they may in this span of time.

    Belongs after all else that may refuse the run; as `check_command`.
    """
    told = _("Too many: %(times)s runs may be started in %(span)s s. Try again in %(left)s s.")
    _count(actor, "STARTS", told)


def check_command(actor: Actor) -> str | None:
    """Raise `too_many` where the sender has sent as many commands as it may in this span of time.

    Where it was counted, for `uncount_command`; None where it was not.

    Counted in Django's cache, in spans that begin at full seconds, minutes
    or hours. A cache that does not answer limits nobody. Within `as_one`
    only the first is counted.
    """
    if actor.trusted:
        return None
    passed = _passed.get()
    if passed is not None and actor.sender in passed:
        return None
    told = _("Too many: %(times)s commands may be sent in %(span)s s. Try again in %(left)s s.")
    counted = _count(actor, "COMMANDS", told)
    if passed is not None:
        passed.add(actor.sender)
    return counted


@contextmanager
def as_one() -> Iterator[None]:
    """What a sender sends in here is counted as one command, as one act on many runs is."""
    before = _passed.set(set())
    try:
        yield
    finally:
        _passed.reset(before)


def uncount_command(counted: str | None) -> None:
    """Take back what `check_command` counted there: the command was one sent again, and no new one."""
    if counted is not None:
        with suppress(Exception):  # it was in a span of long ago, or the cache does not answer
            cache.decr(counted)


@dataclass(frozen=True, kw_only=True)
class _Counter:
    """Where the acts of one sender in the present span of time are counted."""

    key: str
    times: int
    """How many there may be."""
    span: int
    """In so many seconds."""
    left: float
    """Seconds to the end of the span."""


def _counter(actor: Actor, what: str) -> _Counter | None:
    """The counter of what `RATE_LIMITS` limits; None where nothing is."""
    if actor.trusted or (limit := conf.parse_rate(conf.settings.RATE_LIMITS[what])) is None:
        return None
    times, seconds = limit
    span, gone = divmod(time.time(), seconds)
    key = f"livesim.{what.lower()}.{plain.digest(actor.sender.encode())}.{span:.0f}"
    return _Counter(key=key, times=times, span=seconds, left=max(1, math.ceil(seconds - gone)))


def _count(actor: Actor, what: str, told: str) -> str | None:
    """Count one more of what `RATE_LIMITS` limits, and say where; raise with `told` if too many."""
    if (found := _counter(actor, what)) is None:
        return None
    try:
        cache.add(found.key, 0, timeout=2 * found.span)
        counted = cache.incr(found.key)
    except Exception:
        seldom.warning("The cache does not count; nobody is limited", exc_info=True)
        return None
    if counted > found.times:
        raise _too_many(told % {"times": found.times, "span": found.span, "left": found.left}, found.left)
    return found.key


def _too_many(message: str, retry: float) -> LivesimError:
    return LivesimError(message, code=Code.TOO_MANY, retry=retry)
