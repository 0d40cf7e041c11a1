"""What the forms of the live page do: commands, messages, controls, and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from django_livesim import gateway, params, permissions
from django_livesim.forms import (
    CONFIRM,
    CONTROL_FORMS,
    QUESTIONS,
    MessageForm,
    add_refusal,
    command_form,
    first_errors,
    questions,
)
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.cutting import cut
from django_livesim.protocol.errors import Code, LivesimError, NoRun
from django_livesim.protocol.names import CLIENT_ID, Outcome, Verb
from django_livesim.views import log, pictures
from django_livesim.views.live import live_context, registered
from django_livesim.views.places import prefix_of
from django_livesim.views.respond import (
    by_htmx,
    confirm,
    fragment,
    go,
    key_query,
    known,
    of_a_run,
    page_of,
    refuse_act,
    status_of,
    why_not,
    with_retry,
)

PATIENCE = 2.0
"""Seconds that a browser without JavaScript is kept waiting for the outcome."""
REASON = 1000
"""Characters that it is shown of why something was refused."""


@never_cache
@require_POST
@of_a_run
def run_command(request: HttpRequest, run_id: UUID, name: str) -> HttpResponse:
    """Send a command from its form: a declared one, or `set`."""
    actor, run = _asked(request, run_id)
    simulation = registered(run.simulation)
    spec = params.commands(simulation).get(name) if simulation is not None else None
    if spec is None:
        return _unknown(request, run, name)
    form = command_form(spec, request.POST, run.present_params, prefix_of(request))
    context = {"run": run, "spec": spec, "form": form}
    if not form.is_valid():
        return _refuse(request, actor, context, name, 422)
    return _send(request, actor, context, name, lambda: params.jsonable(type(form), form.cleaned_data))


@never_cache
@require_POST
@of_a_run
def run_message(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """Send any message to an own loop, from a name and JSON arguments."""
    actor, run = _asked(request, run_id)
    form = MessageForm(request.POST, auto_id=f"{prefix_of(request)}id_%s")
    context = {"run": run, "form": form}
    if not form.is_valid():
        return _refuse(request, actor, context, "", 422)
    return _send(request, actor, context, form.cleaned_data["name"], lambda: form.cleaned_data["args"])


@never_cache
@require_POST
@of_a_run
def run_control(request: HttpRequest, run_id: UUID, verb: str) -> HttpResponse:
    """Pause, resume, step, speed, stop or restart."""
    actor, run = _asked(request, run_id)
    if verb not in set(map(str, Verb)):
        return _unknown(request, run, verb)
    form = CONTROL_FORMS.get(verb, Form)(request.POST)
    if not form.is_valid():
        return refuse_act(request, run, " ".join(first_errors(form)))
    if _is_to_confirm(request, actor, run, verb):
        return confirm(request, run, questions(run)[verb], CONFIRM[verb])
    try:
        command = gateway.control(run, verb, form.cleaned_data, **_how(request, actor))
    except LivesimError as problem:
        return refuse_act(request, run, why_not(request, problem))
    following = command.args.get("next") if verb == Verb.RESTART else None
    if following and command.outcome != Outcome.REFUSED and not prefix_of(request):
        new = Run.objects.filter(pk=following).first()
        if new is not None:
            return go(request, new.get_absolute_url())
    if by_htmx(request):
        return fragment(request, "answer.html", _shared(request) | {"run": run, "command": command})
    return _tell(request, run, command)


@never_cache
@require_safe
@of_a_run
def run_answer(request: HttpRequest, run_id: UUID, client_id: str) -> HttpResponse:
    """What became of the asker's command of that id; the fragment asks again while it waits."""
    actor = Actor.from_request(request)
    run = gateway.get(run_id, actor=actor)
    command = run.commands.filter(sender=actor.sender, client_id=client_id).first()
    if command is None:
        raise NoRun(_("There is no such command of yours."))
    return fragment(request, "answer.html", _shared(request) | {"run": run, "command": command})


def _asked(request: HttpRequest, run_id: UUID) -> tuple[Actor, Run]:
    """Who posts, told from other visitors where they may command, and for which run."""
    actor = Actor.from_request(request)
    run = gateway.get(run_id, actor=actor)
    if (permissions.level(actor, run) or 0) >= Level.COMMAND:
        actor = known(request, actor)
    return actor, run


def _is_to_confirm(request: HttpRequest, actor: Actor, run: Run, verb: str) -> bool:
    """Whether to ask first: with htmx the page has asked already."""
    if verb not in QUESTIONS or by_htmx(request) or "confirmed" in request.POST:
        return False
    return (permissions.level(actor, run) or 0) >= Level.CONTROL


def _send(
    request: HttpRequest, actor: Actor, context: dict[str, Any], name: str, args: Callable[[], dict[str, Any]]
) -> HttpResponse:
    run = context["run"]
    try:
        command = gateway.send(run, name, args(), **_how(request, actor))
    except LivesimError as problem:
        add_refusal(context["form"], problem, why_not(request, problem))
        fresh = problem.code == Code.DUPLICATE_ID
        spec = context.get("spec")
        refusal = _refuse(request, actor, context, spec.name if spec else "", status_of(problem), fresh)
        return with_retry(refusal, problem)
    if by_htmx(request):
        context |= _shared(request) | {"command": command, "oob": True}
        response = fragment(request, _template(context), context)
        if isinstance(context["form"], params.SetForm):  # it stays as it is, and follows what is set
            response["HX-Reswap"] = "none"
        return response
    return _tell(request, run, command)


def _how(request: HttpRequest, actor: Actor) -> dict[str, Any]:
    """Who sends, under which id; and without htmx, wait a moment for the outcome."""
    client_id = request.POST.get("livesim_id", "")
    return {
        "actor": actor,
        "id": client_id if CLIENT_ID.match(client_id) else uuid4().hex,
        "wait": not by_htmx(request),
        "timeout": PATIENCE,
    }


def _refuse(
    request: HttpRequest, actor: Actor, context: dict[str, Any], name: str, status: int, fresh: bool = False
) -> HttpResponse:
    """Show the form again with its errors.

    It keeps its id unless that is used up, so that what may have been stored is not stored twice.
    """
    client_id = request.POST.get("livesim_id", "")
    context |= _shared(request)
    if CLIENT_ID.match(client_id) and not fresh:
        context["client_id"] = client_id
    if by_htmx(request):
        return fragment(request, _template(context), context | {"oob": True}, status=422)
    page = live_context(request, actor, context["run"], {name: context["form"]})
    return render(request, pictures.templates(registered(context["run"].simulation)), page, status=status)


def _unknown(request: HttpRequest, run: Run, name: str) -> HttpResponse:
    return refuse_act(request, run, _("There is no command %(name)r here.") % {"name": name})


def _tell(request: HttpRequest, run: Run, command: Command) -> HttpResponse:
    """Back to the run's page, with the outcome as a message."""
    why = cut(command.message or command.code, REASON)
    label = log.label(command, registered(run.simulation))
    names = {"name": label, "tick": command.apply_tick, "why": why}
    if command.outcome == Outcome.APPLIED:
        messages.success(request, _("%(name)s: applied at tick %(tick)s.") % names, fail_silently=True)
    elif command.outcome == Outcome.REFUSED:
        messages.error(request, _("%(name)s: refused: %(why)s") % names, fail_silently=True)
    else:
        messages.info(request, _("%(name)s: accepted, not yet applied.") % names, fail_silently=True)
    return go(request, page_of(request, run))


def _template(context: dict[str, Any]) -> str:
    if isinstance(context["form"], params.SetForm):
        return "parameters_form.html"
    return "command_form.html" if "spec" in context else "message_form.html"


def _shared(request: HttpRequest) -> dict[str, Any]:
    return {"key_query": key_query(request), "prefix": prefix_of(request)}
