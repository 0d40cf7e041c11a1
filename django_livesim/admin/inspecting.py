"""Look into a run: its facts, its figures, its state, as they are now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import URLPattern, path
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from django_livesim import gateway, permissions
from django_livesim.admin.base import RunPages
from django_livesim.admin.listing import troubles
from django_livesim.admin.loads import load_words
from django_livesim.admin.senders import names_of
from django_livesim.admin.workers import ago
from django_livesim.conf import settings
from django_livesim.gateway import harming
from django_livesim.models import Command, Run, Worker
from django_livesim.protocol import plain
from django_livesim.protocol.cutting import cut_json
from django_livesim.protocol.errors import Code, LivesimError, NoRun
from django_livesim.protocol.names import INSPECT, Status

PATIENCE = 2.0
"""Seconds that the worker of a run has to answer."""

MAX_TREE = 1 << 20
"""Bytes of a state, as JSON, that a page gets whole; of a larger one it shows the beginning."""


class InspectingMixin(RunPages):
    """Adds a page that looks into a run."""

    def get_urls(self) -> list[URLPattern]:
        view = self.page(require_safe(self.inspect_view))
        return [path("<uuid:run_id>/inspect/", view, name="livesim_run_inspect"), *super().get_urls()]

    def inspect_view(self, request: HttpRequest, run_id: UUID) -> HttpResponse:
        """The page; `?part=now` gives alone what renews itself."""
        run = self.run_or_404(request, run_id)
        actor = self.actor(request)
        if not permissions.may_inspect(actor, run):
            raise PermissionDenied
        alive = beats(run)
        asking = alive and not is_asked(run)
        try:
            found = gateway.inspect(run, actor=actor, timeout=PATIENCE if asking else 0)
        except NoRun as problem:
            raise Http404(problem.message) from None
        except LivesimError as problem:
            if problem.code != Code.TOO_MANY:
                raise
            asking, found = False, gateway.inspect(run, actor=actor, timeout=0)
        run = get_object_or_404(Run.objects.select_related("worker"), pk=run.pk)
        seen = look(run, found, asking) | {"silent": run.worker is not None and not alive}
        if request.GET.get("part") == "now":
            response = render(request, "admin/livesim/run/inspect_now.html", seen)
            response["Livesim-Fragment"] = "1"
            return response
        context = self.run_context(request, run, title=_("Inspect"), **seen)
        return render(request, "admin/livesim/run/inspect.html", context)


def beats(run: Run) -> bool:
    """Whether the worker that holds the run gave a sign of life lately."""
    lately = Worker.objects.heard_of(timedelta(seconds=settings.LEASE_TTL))
    return run.worker_id is not None and lately.filter(pk=run.worker_id).exists()


def is_asked(run: Run) -> bool:
    """Whether somebody waits for the worker's answer already.

    So a worker that has no time for questions has one of them before it,
    however many pages are open.
    """
    return Command.objects.filter(run=run, apply_seq=None, outcome="", name=INSPECT).exists()


def look(run: Run, found: dict[str, Any], asked: bool) -> dict[str, Any]:
    """What the page shows of an inspection."""
    position = found["position"]
    state = found["state"]
    size = len(plain.encode(state))
    names = names_of(each["sender"] for each in found["commands"])
    text, more = cut_json(state)
    return {
        "run": run,
        "live": not (run.ended or run.status == Status.QUARANTINED),
        "beat": ago(run.worker.beat_at) if run.worker is not None else "",
        "troubles": [] if run.status == Status.QUARANTINED else troubles(run),
        "costs": load_words(run) if harming.load(run) is not None else None,
        "most_strikes": settings.STRIKES,
        "metrics": found["metrics"],
        "late": found["late"],
        "params": found["params"],
        "position": position,
        "late_by": run.tick - position["tick"] if asked and position is not None else 0,
        "commands": [
            each | {"sent_by": names.get(each["sender"], each["sender"])} for each in found["commands"]
        ],
        "size": size,
        "whole": {"value": state} if size <= MAX_TREE else {"text": text},
        "state_text": text,
        "state_more": more and size > MAX_TREE,
        "has_state": state is not None,
    }
