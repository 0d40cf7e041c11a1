"""Commands that wait for later: who sees them on a run's page, and how they are taken back there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from django_livesim import gateway, permissions
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import LivesimError, NoRun
from django_livesim.protocol.names import EXTERNAL, Kind, Outcome
from django_livesim.views import once
from django_livesim.views.places import prefix_of
from django_livesim.views.respond import (
    by_htmx,
    fragment,
    go,
    key_query,
    of_a_run,
    page_of,
    refuse_act,
    why_not,
    with_retry,
)

SHOWN = 20
"""Scheduled commands that a page shows, those that are due first."""

PATIENCE = 2.0
"""Seconds that a browser is kept waiting for what became of a cancellation."""

LEVELS = {
    "applied": messages.SUCCESS,
    "refused": messages.ERROR,
    "": messages.INFO,
}


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One command that waits, as a page shows it."""

    row: Command
    own: bool
    told: bool
    """Whether its arguments are for who asks."""


def scheduled_context(request: HttpRequest, actor: Actor, run: Run, prefix: str = "") -> dict[str, Any]:
    """What waits in a run for later: one's own, and for who may control it everybody's.

    `prefix` is that of the place where it is shown.
    """
    level = permissions.level(actor, run) or 0
    scheduled = Q(due_at__isnull=False) | Q(due_tick__isnull=False)
    rows = _of(actor, run, level).filter(scheduled, outcome=str(Outcome.NONE), apply_seq=None)
    ordered = rows.order_by(F("due_at").asc(nulls_last=True), "due_tick", "id").defer("result", "message")
    first = list(ordered[: SHOWN + 1])
    told = bool(first) and permissions.may_inspect(actor, run)
    shown = [_shown(row, actor, told) for row in first[:SHOWN]]
    return {
        "run": run,
        "key_query": key_query(request),
        "prefix": prefix,
        "scheduled": shown,
        "scheduled_more": rows.count() - SHOWN if len(first) > SHOWN else 0,
        "may_cancel": level >= Level.COMMAND and run.simulation != EXTERNAL,
    }


def _shown(row: Command, actor: Actor, told: bool) -> Waiting:
    own = row.sender == actor.sender
    return Waiting(row=row, own=own, told=own or told)


def _of(actor: Actor, run: Run, level: int) -> QuerySet[Command]:
    """The commands of a run of which `actor` may know that they can be cancelled."""
    rows: QuerySet[Command] = run.commands.filter(kind=str(Kind.COMMAND))
    return rows if level >= Level.CONTROL else rows.filter(sender=actor.sender)


@never_cache
@require_POST
@of_a_run
def run_cancel(request: HttpRequest, run_id: UUID, command_id: int) -> HttpResponse:
    """Take back a command with all its repetitions, and say what became of that.

    The worker answers between two steps, so that it is waited for: two seconds
    at most, and then the page says that it has been asked. A command that is
    another's, and one that is not there, are the same to who may not control the run.
    """
    actor = Actor.from_request(request)
    run = gateway.get(run_id, actor=actor)
    command = _of(actor, run, permissions.level(actor, run) or 0).filter(pk=command_id).first()
    if command is None:
        raise NoRun(_("There is no such command of yours."))
    try:
        asked = gateway.cancel(
            command, actor=actor, id=once.form_id(request) or uuid4().hex, wait=True, timeout=PATIENCE
        )
    except LivesimError as problem:
        return with_retry(_refuse(request, actor, run, why_not(request, problem)), problem)
    outcome, told = _became(command, asked)
    if by_htmx(request):
        return _fragment(request, actor, run, outcome, told)
    messages.add_message(request, LEVELS[outcome], told, fail_silently=True)
    return go(request, page_of(request, run))


def _refuse(request: HttpRequest, actor: Actor, run: Run, why: str) -> HttpResponse:
    if by_htmx(request):
        return _fragment(request, actor, run, str(Outcome.REFUSED), why, status=422)
    return refuse_act(request, run, why)


def _fragment(
    request: HttpRequest, actor: Actor, run: Run, outcome: str, told: str, status: int = 200
) -> HttpResponse:
    context = scheduled_context(request, actor, run, prefix_of(request))
    context |= {"outcome": outcome, "told": told, "oob": True}
    return fragment(request, "scheduled.html", context, status=status)


def _became(command: Command, asked: Command) -> tuple[str, str]:
    """What the `cancel` that was `asked` has come to, as an outcome and a sentence."""
    name = {"name": command.name}
    if asked.outcome == Outcome.NONE:
        told = _("The worker has been asked to cancel “%(name)s”, and has not answered yet.")
        return str(Outcome.NONE), told % name
    if asked.outcome == Outcome.REFUSED:
        told = _("“%(name)s” was not cancelled: %(why)s")
        return str(Outcome.REFUSED), told % (name | {"why": asked.message or asked.code})
    if (asked.result or {}).get("cancelled"):
        return str(Outcome.APPLIED), _("“%(name)s” was cancelled.") % name
    told = _("It was too late to cancel “%(name)s”: the list of events says what became of it.")
    return str(Outcome.REFUSED), told % name
