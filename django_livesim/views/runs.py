"""The list of runs, and the panel that starts one."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.contrib import messages
from django.core.exceptions import TooManyFieldsSent
from django.forms import Form
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from django_livesim import gateway, params, permissions, registry
from django_livesim.forms import add_refusal, start_forms
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import LivesimError
from django_livesim.protocol.names import Status
from django_livesim.views import once
from django_livesim.views.filters import Filters
from django_livesim.views.listing import rows
from django_livesim.views.respond import (
    Shown,
    by_htmx,
    fragment,
    go,
    known,
    status_of,
    with_database,
    with_retry,
)


@never_cache
@require_safe
@with_database
def run_list(request: HttpRequest) -> HttpResponse:
    """The runs that the asker may see, newest first, as the filters in the address narrow them.

    `?part=rows` and `?part=start` give a part alone; `?part=filter` the rows, and the address that they have.
    """
    actor = Actor.from_request(request)
    part = request.GET.get("part")
    if part in ("rows", "filter"):
        return _part(request, rows(request, actor), is_new=part == "filter")
    if part == "start":
        return fragment(request, "start.html", _panel(actor, request.GET.get("simulation", "")))
    context = rows(request, actor) | _panel(actor, request.GET.get("simulation", ""))
    return render(request, "django_livesim/run_list.html", context)


def _part(request: HttpRequest, context: dict[str, Any], *, is_new: bool) -> HttpResponse:
    """The rows, and how many there are of what; where they were asked for by other filters, their address."""
    response = fragment(request, "runs.html", context | {"oob": True, "is_new": is_new})
    filters = context["filters"]
    if is_new and filters != (before := _filters_before(request)):
        step = "HX-Replace-Url" if filters.only_searches_on(before) else "HX-Push-Url"
        response[step] = f"{request.path}?{filters.query}" if filters else request.path
    return response


def _filters_before(request: HttpRequest) -> Filters:
    """Those of the address that the page has; none where it is no address."""
    try:
        return Filters.of(QueryDict(urlsplit(request.headers.get("HX-Current-URL", "")).query))
    except (ValueError, TooManyFieldsSent):
        return Filters.of(QueryDict())


@never_cache
@require_POST
@with_database
def run_start(request: HttpRequest) -> HttpResponse:
    """Start a run from the panel's form, and go to its page; posted again, go to the same."""
    actor = Actor.from_request(request)
    if (earlier := _started(request)) is not None:
        return go(request, earlier.get_absolute_url())
    chosen = request.POST.get("run-simulation", "")
    panel = _panel(actor, chosen, request.POST)
    simulation = panel["chosen"]
    if simulation is None:
        problem = _("There is no simulation %(name)r that you may start. Choose one of those shown.")
        panel["refusal"] = problem % {"name": chosen}
        return _refuse(request, actor, panel, 422)
    own, form = panel["own_form"], panel["params_form"]
    if not (own.is_valid() & form.is_valid()):
        return _refuse(request, actor, panel, 422)
    actor = known(request, actor)
    earlier = _own_run(simulation.name, actor)
    try:
        run = gateway.start(
            simulation.name,
            params.jsonable(type(form), form.cleaned_data),
            owner=request.user if request.user.is_authenticated else None,
            name=own.cleaned_data["name"],
            visibility=own.cleaned_data["visibility"],
            actor=actor,
        )
    except LivesimError as problem:
        add_refusal(form, problem)
        return with_retry(_refuse(request, actor, panel, status_of(problem)), problem)
    once.remember(request, once.STARTED, run.id)
    if earlier is not None and earlier.id == run.id:
        told = _("You have one already, and this is it. To begin anew, restart it.")
        messages.info(request, told, fail_silently=True)
    return go(request, run.get_absolute_url())


def _own_run(simulation: str, actor: Actor) -> Run | None:
    """The run that a start would go on with, where each person has one of their own."""
    run = gateway.own_run(registry.get(simulation), actor=actor)
    return None if run is None or run.status in (Status.FINISHED, Status.FAILED) else run


def _started(request: HttpRequest) -> Run | None:
    """The run that this form has started already."""
    run_id = once.came_to(request, once.STARTED)
    return Run.objects.filter(id=run_id).first() if run_id else None


def _refuse(request: HttpRequest, actor: Actor, panel: dict[str, Any], status: int) -> HttpResponse:
    panel["client_id"] = once.form_id(request)
    if by_htmx(request):
        return fragment(request, "start.html", panel, status=422)
    return render(request, "django_livesim/run_list.html", rows(request, actor) | panel, status=status)


def _panel(actor: Actor, chosen: str, data: Any = None) -> dict[str, Any]:
    """What the start panel shows; where only one simulation may be started, that one is chosen."""
    startable = [simulation for simulation in registry.all() if permissions.may_start(actor, simulation)]
    simulation = next((one for one in startable if one.name == chosen), None)
    if simulation is None and not chosen and len(startable) == 1:
        simulation = startable[0]
    own: Form | None = None
    form: Form | None = None
    if simulation is not None:
        own, form = start_forms(simulation, data)
    return {
        "startable": [Shown.of(one) for one in startable],
        "registered": len(registry.all()),
        "chosen": Shown.of(simulation) if simulation is not None else None,
        "own_run": _own_run(simulation.name, actor) if simulation is not None else None,
        "own_form": own,
        "params_form": form,
    }
