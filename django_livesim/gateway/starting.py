"""Starting runs, and going on with those whose key is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from django_livesim import conf, params, registry
from django_livesim.gateway import limits
from django_livesim.gateway.committing import ring, ring_lists
from django_livesim.gateway.controls import control, present_version
from django_livesim.gateway.finding import SERVER
from django_livesim.gateway.owning import own_key
from django_livesim.gateway.sharing import check_visibility, new_token
from django_livesim.models import Run
from django_livesim.permissions import Actor, Level, level, may_start, require
from django_livesim.protocol import plain
from django_livesim.protocol.errors import BadArgs, Code, Forbidden, LivesimError, NoRun, RunEnded
from django_livesim.protocol.names import Status, Verb
from django_livesim.store import intake

OVER = (Status.FINISHED, Status.FAILED)
"""Of a run that is over another begins under its key."""

ATTEMPTS = 5
"""Times to look who has a key, where others start, restart and delete its runs meanwhile."""


def start(
    simulation: Any,
    params: Mapping[str, Any] | None = None,
    *,
    owner: Any = None,
    key: str | None = None,
    name: str = "",
    visibility: str | None = None,
    seed: int | None = None,
    queue: str | None = None,
    actor: Actor | None = None,
) -> Run:
    """Start a run of `simulation` (its name, class or loop) and return its row.

    With a `key`, a run that has it already is gone on with instead: a
    running one is returned as it is, a paused or stopped one resumes, and
    one that has finished or failed is followed by a new one. Where the
    simulation gives each person a run of their own (`sharing`), that run
    has a key made of who they are, before any given.
    `queue` says which workers may take it, by default the simulation's.
    `visibility` is `private`, `link` or `public`, by default as the
    simulation declares. `owner` is the user who owns it, by default the actor's. Without an
    `actor` nothing is asked: the caller is the server itself.
    """
    definition = _definition(simulation)
    actor = actor or SERVER
    if (own := own_key(definition, actor, owner, key)) != key:
        key, name = own, name or str(definition.label)  # else it would be called by its key
    if not may_start(actor, definition):
        told = _("You may not start %(simulation)s; ask an administrator for livesim.start_run.")
        raise Forbidden(told % {"simulation": definition.name})
    cleaned = _clean_params(definition, params or {})
    visibility = visibility or definition.visibility
    _check_start(key, name, visibility, seed)
    fields = {
        "version": definition.version,
        "queue": queue or definition.queue,
        "params": cleaned,
        "name": name,
        "visibility": visibility,
        "link_token": new_token(visibility),
        "seed": intake.new_seed() if seed is None else seed,
        "owner_id": _owner_id(actor, owner),
        "session": "" if actor.authenticated else actor.session,
    }
    for _attempt in range(ATTEMPTS):
        existing = Run.objects.filter(simulation=definition.name, key=key).first() if key else None
        if existing is None:
            run = _create(definition.name, key, fields, actor)
        else:
            run = _start_again(existing, cleaned if params is not None else None, actor)
        if run is not None:
            return run
    told = _("The run with the key %(key)r is changing hands; try again.")
    raise LivesimError(told % {"key": key}, code=Code.BUSY, retry=1)


def _create(simulation: str, key: str | None, fields: Mapping[str, Any], actor: Actor) -> Run | None:
    """The new run, None where somebody was quicker to take the key."""
    with transaction.atomic(using=conf.settings.DATABASE):
        limits.enter(actor)
        run = intake.create_run(simulation=simulation, key=key, **fields)
        if run is not None:
            _begin(run, actor)
        return run


def _begin(run: Run, actor: Actor) -> None:
    """Raise `too_many`, and so undo the run, where it is one too many; else have it taken up."""
    limits.check_quotas(actor, run)
    limits.check_start(actor)
    ring(run)
    ring_lists()


def _check_start(key: str | None, name: str, visibility: str, seed: int | None) -> None:
    if key is not None and not (key and _fits(key)):
        told = _("A key is 1 to 200 characters, none of them NUL; got %(given)r.")
        raise BadArgs(told % {"given": key[:80]})
    if not _fits(name):
        told = _("A name is at most 200 characters, none of them NUL; got %(given)r.")
        raise BadArgs(told % {"given": name[:80]})
    check_visibility(visibility)
    if seed is not None and not 0 <= seed <= plain.MAX_INTEGER:
        raise BadArgs(_("seed is an integer of 0 to 2^53; got %(given)r.") % {"given": seed})


def _fits(text: str) -> bool:
    """Whether a text column of 200 characters takes it."""
    return len(text) <= 200 and plain.storable(text) == text


def _owner_id(actor: Actor, owner: Any) -> Any:
    if owner is not None:
        return owner.pk
    return actor.user.pk if actor.authenticated else None


def _definition(simulation: Any) -> Any:
    return registry.get(simulation if isinstance(simulation, str) else simulation.name)


def _clean_params(definition: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    return params.clean(params.form_class(definition), given)


def _start_again(run: Run, cleaned: dict[str, Any] | None, actor: Actor) -> Run | None:
    """`start` of a key that is taken, by the status of the run that has it; None where that is no more so."""
    if level(actor, run) is None:
        raise Forbidden(_("The key %(key)r is taken; choose another.") % {"key": run.key})
    if run.status == Status.QUARANTINED:
        held = _("The run is quarantined, since its code has done harm; resume it first, which releases it.")
        raise LivesimError(held, code=Code.QUARANTINED)
    if run.status in OVER:
        require(actor, Level.CONTROL, run)
        return _follow(run, cleaned, actor)
    if run.status in (Status.PAUSED, Status.STOPPED):
        try:
            control(run, Verb.RESUME, actor=actor)
        except (NoRun, RunEnded):
            return None
        return Run.objects.filter(id=run.id).first()
    return run


def _follow(run: Run, cleaned: dict[str, Any] | None, actor: Actor) -> Run | None:
    """The run that follows one that is over; None where that one has the key no more."""
    with transaction.atomic(using=conf.settings.DATABASE):
        limits.enter(actor)
        locked = Run.objects.select_for_update().filter(id=run.id).first()
        if locked is None or locked.key is None:
            return None
        following = intake.succeed(locked, intake.new_run_id(), cleaned, version=present_version(run))
        _begin(following, actor)
        return following
