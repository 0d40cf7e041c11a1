"""Whose run is meant where each person, or each browser, has one of its own: `sharing`.

The run of a person has a key that is made of who they are, never of what
they say: `u:` and the user's id, or `s:` and the session's hash. So two
starts at once make one run, and nobody takes another's.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from django.utils.translation import gettext as _

from django_livesim import registry
from django_livesim.gateway.finding import SERVER
from django_livesim.models import Run
from django_livesim.permissions import Actor, level
from django_livesim.protocol.errors import Forbidden, RunEnded, UnknownSimulation

SESSION_KEY = re.compile(r"s:[0-9a-f]{32}")
"""How the key of a session's run begins."""


def own_key(simulation: Any, actor: Actor, owner: Any = None, key: str | None = None) -> str | None:
    """The key under which a person starts a run of `simulation`; `key` is what they gave.

    The server itself, with nobody for whom it starts, uses the key as it is.
    Raises `Forbidden` where it cannot be told who asks.
    """
    whose = {"per_user": _user, "per_session": _session}.get(simulation.sharing)
    person = whose(simulation, actor, owner) if whose else None
    if person is None:
        return key
    return person if key is None else f"{person}/{key}"


def own_run(simulation: Any, *, actor: Actor | None = None) -> Run | None:
    """The actor's own run of a simulation of which each person has one; None where there is none."""
    actor = actor or SERVER
    try:
        key = own_key(simulation, actor)
    except Forbidden:
        return None
    if key is None:
        return None
    run: Run | None = Run.objects.filter(simulation=simulation.name, key=key).first()
    return run if run is not None and level(actor, run) is not None else None


def _user(simulation: Any, actor: Actor, owner: Any) -> str | None:
    if owner is not None:
        return f"u:{_written(owner)}"
    if actor.authenticated:
        return f"u:{_written(actor.user)}"
    if actor.trusted:
        return None
    told = _("Each person has a run of %(simulation)s of their own. Log in to have one.")
    raise Forbidden(told % {"simulation": simulation.label})


def _session(simulation: Any, actor: Actor, owner: Any) -> str | None:
    if actor.session:
        # Some sessions outlive a log-in, and the visitor's run is not the user's.
        return f"s:{actor.session}" + (f":{_written(actor.user)}" if actor.authenticated else "")
    if actor.trusted:
        return None
    told = _("Each browser has a run of %(simulation)s of its own. Allow cookies, and start it on its page.")
    raise Forbidden(told % {"simulation": simulation.label})


def _written(user: Any) -> str:
    """A user's id with nothing in it that parts a key."""
    return quote(str(user.pk), safe="")


def told_key(run: Run) -> str | None:
    """The run's key as it may be told; None where it would tell the hash of a session."""
    return None if run.key and SESSION_KEY.match(run.key) else run.key


def check_not_followed(run: Run) -> None:
    """Raise `RunEnded` for an ended run whose key has gone over to another, where each person has one run.

    To be asked with the row locked: a restart takes the key away.
    """
    if run.key is not None or not _is_followed(run):
        return
    mine = Run.objects.filter(simulation=run.simulation, owner=run.owner_id, session=run.session)
    newest = mine.exclude(key=None).order_by("-created_at").first()
    if newest is None:
        told = _("There is one run of %(simulation)s for each, and this one was followed. Start it anew.")
        raise RunEnded(told % {"simulation": run.simulation})
    told = _("There is one run of %(simulation)s for each, and this one was followed. Go on with %(run)s.")
    raise RunEnded(told % {"simulation": run.simulation, "run": newest.id})


def _is_followed(run: Run) -> bool:
    """Whether a run without a key had one that was made of a person.

    The server starts runs of nobody without one; and where each browser has
    its own, those of users whose browser it does not know.
    """
    try:
        sharing = registry.get(run.simulation).sharing
    except UnknownSimulation:
        return False
    if sharing == "shared":
        return False
    if sharing == "per_session" and not run.session:
        return run.owner_id is not None and run.children.exists()
    return run.owner_id is not None or bool(run.session)
