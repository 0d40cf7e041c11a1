"""What the owner of a run does with it beside steering: share it, take that back, delete it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from django_livesim import gateway, permissions
from django_livesim.forms import DELETE, NEW_LINK, ShareForm, first_errors
from django_livesim.models import Run, Visibility
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import LivesimError
from django_livesim.views.live import share_context
from django_livesim.views.respond import (
    by_htmx,
    confirm,
    fragment,
    go,
    of_a_run,
    page_of,
    refuse_act,
    why_not,
)


@never_cache
@require_POST
@of_a_run
def run_share(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Say who may watch; with `renew`, make a new link in place of the old one."""
    actor = Actor.from_request(request)
    run = gateway.get(run_id, actor=actor)
    form = ShareForm(request.POST)
    if not form.is_valid():
        return refuse_act(request, run, " ".join(first_errors(form)))
    renew = form.cleaned_data["renew"]
    if renew and _is_to_confirm(request, actor, run):
        return confirm(request, run, NEW_LINK, _("New link"))
    try:
        run = gateway.share(run_id, form.cleaned_data["visibility"], renew=renew, actor=actor)
    except LivesimError as problem:
        return refuse_act(request, run, why_not(request, problem))
    told = _told(run, renew)
    if by_htmx(request):
        return fragment(request, "share.html", share_context(request, run) | {"told": told, "oob": True})
    messages.success(request, told, fail_silently=True)
    return go(request, page_of(request, run))


@never_cache
@require_POST
@of_a_run
def run_delete(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Remove the run with all that is stored of it, and go to the list."""
    actor = Actor.from_request(request)
    run = gateway.get(run_id, actor=actor)
    if _is_to_confirm(request, actor, run):
        return confirm(request, run, DELETE, _("Delete"))
    try:
        gateway.delete(run_id, actor=actor)
    except LivesimError as problem:
        return refuse_act(request, run, why_not(request, problem))
    messages.success(request, _("The run %(run)s has been deleted.") % {"run": run}, fail_silently=True)
    return go(request, reverse("livesim:run-list"))


def _is_to_confirm(request: HttpRequest, actor: Actor, run: Run) -> bool:
    """Whether to ask first: with htmx the page has asked already."""
    if by_htmx(request) or "confirmed" in request.POST:
        return False
    return (permissions.level(actor, run) or 0) >= Level.DELETE


def _told(run: Run, renew: bool) -> str:
    if renew:
        return _("There is a new link. The old one opens nothing any more.")
    if run.visibility == Visibility.PUBLIC:
        return _("It is public now.")
    if run.visibility == Visibility.LINK:
        return _("Whoever has the link may watch this run now.")
    return _("It is private now. Who watched by a link, or as the public, is sent away.")
