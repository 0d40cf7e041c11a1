"""The page of one run."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_livesim import gateway, permissions, registry
from django_livesim.conf import settings
from django_livesim.forms import (
    DELETE,
    NEW_LINK,
    MessageForm,
    ShareForm,
    SpeedForm,
    StepForm,
    command_form,
    questions,
)
from django_livesim.gateway import harming
from django_livesim.models import Run, Source, Visibility
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import NoRun, UnknownSimulation
from django_livesim.protocol.names import EXTERNAL, SET, Role, Status
from django_livesim.views import log, pictures
from django_livesim.views.figures import figures_context
from django_livesim.views.parameters import parameters_context
from django_livesim.views.places import is_read_only, prefix_of
from django_livesim.views.respond import Shown, fragment, key_query, of_a_run, with_database
from django_livesim.views.scheduled import scheduled_context
from django_livesim.views.vitals import WANTING, workers_alive

NOTHING_TO_DO: dict[str, Any] = {
    "scheduled": [],
    "may_cancel": False,
    "set_form": None,
    "live_params": [],
    "fixed_params": [],
    "commands": [],
    "message_form": None,
    "journal": [],
    "role": str(Role.VIEW),
}
"""What is left out where a run is shown to be looked at."""


@never_cache
@require_safe
@of_a_run
def run_detail(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The live page. `?part=` gives a part alone: `facts`, which change with the status, `scheduled`, what
    waits, `parameters` with their present values, `latency`, how late its ticks are."""
    actor = Actor.from_request(request)
    run = gateway.get(run_id, actor=actor)
    part = request.GET.get("part")
    if part == "facts":
        return fragment(
            request, "facts.html", facts_context(request, actor, run, prefix_of(request)) | {"oob": True}
        )
    if part == "latency":
        return fragment(request, "lateness.html", {"load": harming.load(run)})
    if part == "scheduled":
        return fragment(request, "scheduled.html", scheduled_context(request, actor, run, prefix_of(request)))
    if part == "parameters":
        simulation, prefix = registered(run.simulation), prefix_of(request)
        shown = parameters_context(request, actor, run, simulation, prefix=prefix)
        return fragment(request, "parameters.html", shown)
    return render(request, pictures.templates(registered(run.simulation)), live_context(request, actor, run))


@never_cache
@require_safe
@of_a_run
def run_by_key(request: HttpRequest, simulation: str, key: str) -> HttpResponse:
    """The way to the run of that simulation that has this key."""
    if "\0" in f"{simulation}{key}":
        raise NoRun(_("No run has such a key."))  # nor may a database be asked for it
    run = gateway.get(f"{simulation}:{key}", actor=Actor.from_request(request))
    return redirect(f"{run.get_absolute_url()}{key_query(request)}")


@never_cache
@require_safe
@with_database
def run_mine(request: HttpRequest, simulation: str) -> HttpResponse:
    """The way to the asker's own run, where each person, or each browser, has one."""
    known = registered(simulation)
    if known is None or known.sharing == "shared":
        return run_by_key(request, simulation, "mine")
    run = gateway.own_run(known, actor=Actor.from_request(request))
    if run is not None:
        return redirect(run)
    return render(request, "django_livesim/no_own_run.html", {"simulation": Shown.of(known)}, status=404)


def live_context(
    request: HttpRequest, actor: Actor, run: Run, bound: dict[str, Form] | None = None, prefix: str = ""
) -> dict[str, Any]:
    """All that the live page shows; `bound` holds, by name, the forms of commands that had errors.

    The form of an own loop that declares no commands has the name "". `prefix` is that of the place
    where it is shown, which may be none in which anything is done.
    """
    bound = bound or {}
    simulation = registered(run.simulation)
    stored = gateway.stored_view(run, permissions.role(actor, run))
    context = facts_context(request, actor, run, prefix) | scheduled_context(request, actor, run, prefix)
    context |= parameters_context(request, actor, run, simulation, bound.get(SET), prefix)
    context |= figures_context(run, simulation) | _control_forms(run, prefix)
    if permissions.role(actor, run) == Role.OWNER and not prefix:
        context |= share_context(request, run)
    context |= {
        "simulation": Shown.of(simulation) if simulation is not None else None,
        "picture": pictures.picture(simulation),
        "commands": _commands(simulation, bound, prefix),
        "message_form": bound.get("", MessageForm(auto_id=f"{prefix}id_%s"))
        if takes_messages(simulation)
        else None,
        "stored_tick": stored[0] if stored else None,
        "stored_state": stored[1] if stored else None,
        "journal": log.newest(actor, run, simulation),
        "role": str(permissions.role(actor, run)),
    }
    return context | (NOTHING_TO_DO if is_read_only(prefix) else {})


def controls_context(request: HttpRequest, actor: Actor, run: Run, prefix: str) -> dict[str, Any]:
    """What the controls of a run show where they stand alone, in the place with that prefix."""
    simulation = registered(run.simulation)
    context = facts_context(request, actor, run, prefix) | _control_forms(run, prefix)
    return context | {
        "simulation": Shown.of(simulation) if simulation is not None else None,
        "role": str(permissions.role(actor, run)),
    }


def _control_forms(run: Run, prefix: str) -> dict[str, Any]:
    return {
        "step_form": StepForm(auto_id=f"{prefix}id_step_%s"),
        "questions": questions(run),
        "speed_form": SpeedForm(auto_id=f"{prefix}id_speed_%s", initial={"x": _speed(run)}),
    }


def registered(name: str) -> Any:
    """The simulation of that name, None where its code is not installed here."""
    try:
        return registry.get(name)
    except UnknownSimulation:
        return None


def takes_messages(simulation: Any) -> bool:
    """Whether it is an own loop that takes any message."""
    return simulation is not None and simulation.takes_any_message


def _commands(simulation: Any, bound: dict[str, Form], prefix: str) -> list[tuple[Any, Form]]:
    specs = simulation.commands.values() if simulation is not None else ()
    return [(spec, bound.get(spec.name) or command_form(spec, prefix=prefix)) for spec in specs]


def facts_context(request: HttpRequest, actor: Actor, run: Run, prefix: str = "") -> dict[str, Any]:
    """What a run's page says of its status, to `actor`, in the place with that prefix."""
    level = Level.VIEW if is_read_only(prefix) else permissions.level(actor, run) or 0
    produced = run.simulation == EXTERNAL
    attached = run.source == Source.EXTERNAL and not produced
    return {
        "run": run,
        "key_query": key_query(request),
        "prefix": prefix,
        "read_only": is_read_only(prefix),
        "may_command": level >= Level.COMMAND,
        "may_control": level >= Level.CONTROL,
        "may_debug": not is_read_only(prefix) and _may_debug(actor, run, level),
        "successor": _successor(run) if run.ended else None,
        "produced": produced,
        "no_worker": run.status in WANTING and run.source == Source.WORKER and not workers_alive(),
        "no_script": attached and run.worker_id is None and run.status in (Status.WAITING, Status.PAUSED),
        "attach_call": _attach_call(run) if attached and level >= Level.CONTROL else "",
    } | _harm(run)


def _may_debug(actor: Actor, run: Run, level: int) -> bool:
    return actor.authenticated and (level >= Level.CONTROL or permissions.may_inspect(actor, run))


def _harm(run: Run) -> dict[str, Any]:
    """Of a run whose code holds up its worker, or has harmed it: for how long, how often, until when."""
    stepping = harming.stepping(run)
    found: dict[str, Any] = {"stepping": stepping, "struck": None if run.ended else harming.struck(run)}
    if stepping:
        found["unlimited"] = _has_no_limit(run)
    if run.status == Status.QUARANTINED:
        newest = run.checkpoints.order_by("-tick").values_list("tick", flat=True).first()
        found |= {"stored_at": newest, "waiting_commands": harming.waiting_commands(run)}
    return found


def _has_no_limit(run: Run) -> bool:
    """Whether nothing breaks off a step of the run; not where its code is not installed here."""
    simulation = registered(run.simulation)
    return simulation is not None and not (simulation.step_timeout or settings.STEP_TIMEOUT)


def _attach_call(run: Run) -> str:
    """By which a process makes itself the worker of the run; empty where its key may not be told."""
    key = gateway.facts(run)["key"]
    if not key:
        return ""
    name, key = (json.dumps(text, ensure_ascii=False) for text in (run.simulation, key))
    return f"with attach({name}, key={key}) as sim:"


def _successor(run: Run) -> Run | None:
    """The run that a restart began; a fork has a `parent_tick` and is none."""
    return run.children.filter(parent_tick=None).order_by("-created_at").first()


def share_context(request: HttpRequest, run: Run) -> dict[str, Any]:
    """What the panel shows by which the owner shares a run, and deletes it."""
    return {
        "run": run,
        "key_query": key_query(request),
        "share_form": ShareForm(initial={"visibility": run.visibility}, auto_id="id_share_%s"),
        "share_link": _share_link(request, run),
        "ask_new_link": NEW_LINK,
        "ask_delete": DELETE,
    }


def _share_link(request: HttpRequest, run: Run) -> str:
    """The address that shows the run to whoever has it; empty where there is none."""
    if run.visibility != Visibility.LINK or not run.link_token:
        return ""
    return request.build_absolute_uri(f"{run.get_absolute_url()}?key={run.link_token}")


def _speed(run: Run) -> str:
    return f"{run.speed:g}" if run.speed else "max"
