"""How much one person may have and do: `QUOTAS` and `RATE_LIMITS`. The server's own code is not limited."""

from __future__ import annotations

import logging
import math
import time
from datetime import timedelta
from typing import Any

from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.bus.seldom import Seldom
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol import plain
from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.protocol.names import ENDED
from django_livesim.store import turnstile
from django_livesim.store.moments import Moment

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

QUOTA_RETRY = 60.0  # seconds after which one may ask again; nobody knows when a run will end


def check_start(actor: Actor, owner: Any, session: str) -> None:
    """Raise `too_many` unless a person may begin one more run, of the owner or session given.

    Belongs into the transaction that makes the run, before it: from here to
    its end nobody else begins one.
    """
    limit = conf.parse_rate(conf.settings.RATE_LIMITS["STARTS"])
    if actor.trusted or (limit is None and not _has_quotas()):
        return
    turnstile.enter("runs")
    if limit is not None:
        _check_starts(_whose(owner, session), *limit)
    _check_quotas(owner, session)


def check_going_on(actor: Actor, run: Run) -> None:
    """Raise `too_many` unless a run that had ended may go on, or be followed; as `check_start`."""
    if not actor.trusted and _has_quotas():
        turnstile.enter("runs")
        _check_quotas(run.owner_id, run.session)


def _has_quotas() -> bool:
    return any(quota is not None for quota in conf.settings.QUOTAS.values())


def _whose(owner: Any, session: str) -> dict[str, Any]:
    return {"owner": owner} if owner is not None else {"owner": None, "session": session}


def _check_quotas(owner: Any, session: str) -> None:
    quotas = conf.settings.QUOTAS
    going_on = Run.objects.exclude(status__in=[str(status) for status in ENDED])
    mine, total = quotas["RUNS_PER_USER"], quotas["RUNS"]
    if mine is not None and going_on.filter(**_whose(owner, session)).count() >= mine:
        told = _("Too many: %(times)s runs of one person may go on at a time. Stop one first.")
        raise _too_many(told % {"times": mine}, QUOTA_RETRY)
    if total is not None and going_on.count() >= total:
        told = _("Too many: %(times)s runs may go on at a time, of all. Try again when one has ended.")
        raise _too_many(told % {"times": total}, QUOTA_RETRY)


def _check_starts(whose: dict[str, Any], times: int, seconds: int) -> None:
    recent = Run.objects.filter(**whose, created_at__gt=Moment() - timedelta(seconds=seconds))
    newest = list(recent.order_by("-created_at").values_list("created_at", flat=True)[:times])
    if len(newest) >= times:
        left = newest[-1] + timedelta(seconds=seconds) - timezone.now()
        told = _("Too many: %(times)s runs may be started in %(span)s s. Try again in %(left)s s.")
        raise _slow_down(told, times, seconds, left.total_seconds())


def check_command(actor: Actor) -> None:
    """Raise `too_many` where the sender has sent as many commands as it may in this span of time.

    Counted in Django's cache, in spans that begin at full seconds, minutes
    or hours. A cache that does not answer limits nobody.
    """
    limit = conf.parse_rate(conf.settings.RATE_LIMITS["COMMANDS"])
    if actor.trusted or limit is None:
        return
    times, seconds = limit
    span, gone = divmod(time.time(), seconds)
    key = f"livesim.commands.{plain.digest(actor.sender.encode())}.{span:.0f}"
    try:
        cache.add(key, 0, timeout=2 * seconds)
        sent = cache.incr(key)
    except Exception:
        seldom.warning("The cache does not count commands; nobody is limited", exc_info=True)
        return
    if sent > times:
        told = _("Too many: %(times)s commands may be sent in %(span)s s. Try again in %(left)s s.")
        raise _slow_down(told, times, seconds, seconds - gone)


def _slow_down(told: str, times: int, seconds: int, left: float) -> LivesimError:
    retry = max(1, math.ceil(left))
    return _too_many(told % {"times": times, "span": seconds, "left": retry}, retry)


def _too_many(message: str, retry: float) -> LivesimError:
    return LivesimError(message, code=Code.TOO_MANY, retry=retry)
