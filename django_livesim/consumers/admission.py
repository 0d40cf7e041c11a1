"""Who is at the other end of a socket, now; and what they may do with the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import auth
from django.http import HttpRequest

from django_livesim import gateway, permissions
from django_livesim.bus.rows import Facts
from django_livesim.consumers.rows import facts_of, in_database
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol.names import Role


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A viewer let in."""

    run: Run
    actor: Actor
    role: Role
    facts: Facts


def actor_now(scope: dict[str, Any]) -> Actor:
    """The actor of a scope as the database has it now.

    `scope["user"]` was resolved when the socket was opened, and goes on saying
    so after a log-out.
    """
    return Actor.from_scope({**scope, **_identity(scope)})


def _identity(scope: dict[str, Any]) -> dict[str, Any]:
    from django.contrib.auth.models import AnonymousUser

    user, session = scope.get("user"), scope.get("session")
    if user is None or not user.is_authenticated:
        return {}
    if session is not None and auth.SESSION_KEY in session:
        request = HttpRequest()
        request.session = session.__class__(session.session_key)
        return {"user": auth.get_user(request), "session": request.session}
    # Logged in by a middleware of the host's own: all there is to ask is whether the user is still there.
    found = auth.get_user_model()._default_manager.filter(pk=user.pk, is_active=True).first()
    return {"user": found or AnonymousUser()}


def admit(scope: dict[str, Any], run_id: UUID, *, again: bool = False) -> Admission:
    """Let the viewer in, or raise `NoRun` or `Forbidden`; `again` asks who it is now."""
    actor = actor_now(scope) if again else Actor.from_scope(scope)
    run = gateway.get(run_id, actor=actor)
    return Admission(run=run, actor=actor, role=permissions.role(actor, run), facts=facts_of(run))


def run_exists(run_id: UUID) -> bool:
    return Run.objects.filter(id=run_id).exists()


aadmit = in_database(admit)
aactor_now = in_database(actor_now)
arun_exists = in_database(run_exists)
