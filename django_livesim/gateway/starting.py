"""Starting runs, and going on with those whose key is taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from django_livesim import conf, params, registry
from django_livesim.gateway import limits
from django_livesim.gateway.controls import control, present_version
from django_livesim.gateway.finding import SERVER
from django_livesim.gateway.owning import own_key
from django_livesim.gateway.sending import ring
from django_livesim.gateway.sharing import check_visibility, new_token
from django_livesim.models import Run
from django_livesim.permissions import Actor, Level, level, may_start, require
from django_livesim.protocol import plain
from django_livesim.protocol.errors import BadArgs, Code, Forbidden, LivesimError
from django_livesim.protocol.names import Status, Verb
from django_livesim.store import intake


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
        raise Forbidden(f"You may not start {definition.name}; ask an administrator for livesim.start_run.")
    cleaned = _clean_params(definition, params or {})
    visibility = visibility or definition.visibility
    _check_start(key, name, visibility, seed)
    existing = Run.objects.filter(simulation=definition.name, key=key).first() if key else None
    if existing is None:
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
        if (run := _create(definition.name, key or None, fields, actor)) is not None:
            return run
        existing = Run.objects.get(simulation=definition.name, key=key)
    return _start_again(existing, cleaned if params is not None else None, actor)


def _create(simulation: str, key: str | None, fields: Mapping[str, Any], actor: Actor) -> Run | None:
    """The new run, None where somebody was quicker to take the key."""
    with transaction.atomic(using=conf.settings.DATABASE):
        limits.check_start(actor, fields["owner_id"], fields["session"])
        run = intake.create_run(simulation=simulation, key=key, **fields)
        if run is not None:
            ring(run)
        return run


def _check_start(key: str | None, name: str, visibility: str, seed: int | None) -> None:
    if key is not None and not (key and _fits(key)):
        raise BadArgs(f"A key is 1 to 200 characters, none of them NUL; got {key[:80]!r}.")
    if not _fits(name):
        raise BadArgs(f"A name is at most 200 characters, none of them NUL; got {name[:80]!r}.")
    check_visibility(visibility)
    if seed is not None and not 0 <= seed <= plain.MAX_INTEGER:
        raise BadArgs(f"seed is an integer of 0 to 2^53; got {seed!r}.")


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


def _start_again(run: Run, cleaned: dict[str, Any] | None, actor: Actor) -> Run:
    """`start` of a key that is taken, by the status of the run that has it."""
    if level(actor, run) is None:
        raise Forbidden(f"The key {run.key!r} is taken; choose another.")
    if run.status == Status.QUARANTINED:
        raise LivesimError("The run is quarantined; an administrator must release it.", code=Code.QUARANTINED)
    if run.status in (Status.FINISHED, Status.FAILED):
        require(actor, Level.CONTROL, run)
        with transaction.atomic(using=conf.settings.DATABASE):
            locked = Run.objects.select_for_update().get(id=run.id)
            if locked.key is None:
                following = Run.objects.filter(simulation=run.simulation, key=run.key).first()
                if following is not None:
                    return following
            limits.check_start(actor, locked.owner_id, locked.session)
            following = intake.succeed(locked, intake.new_run_id(), cleaned, version=present_version(run))
        ring(following)
        return following
    if run.status in (Status.PAUSED, Status.STOPPED):
        control(run, Verb.RESUME, actor=actor)
        run.refresh_from_db()
    return run
