"""Who is at the other end of a socket, now; and what they may do with the run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import auth
from django.http import HttpRequest

from django_livesim import gateway, permissions
from django_livesim.bus.rows import Facts
from django_livesim.consumers.hello import Description, describe
from django_livesim.consumers.rows import facts_of, in_database
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import Forbidden, NoRun
from django_livesim.protocol.names import CloseCode, Role


@dataclass(frozen=True, kw_only=True)
class Admission:
    """A viewer let in."""

    run: Run
    actor: Actor
    role: Role
    facts: Facts
    description: Description


def actor_now(scope: dict[str, Any]) -> Actor:
    """The actor of a scope as the database has it now.

    `scope["user"]` was resolved when the socket was opened, and goes on saying
    so after a log-out; a session too is what it was when it was loaded.
    """
    return Actor.from_scope({**scope, **_identity(scope)})


def _identity(scope: dict[str, Any]) -> dict[str, Any]:
    user, session = scope.get("user"), scope.get("session")
    found: dict[str, Any] = {}
    if session is not None:
        request = HttpRequest()
        request.session = session.__class__(session.session_key)
        found = {"user": auth.get_user(request), "session": request.session}
    if user is not None and user.is_authenticated and not (session and auth.SESSION_KEY in session):
        # Logged in by a middleware of the host's own: all there is to ask is whether the user is still there.
        found["user"] = auth.get_user_model()._default_manager.filter(pk=user.pk, is_active=True).first()
    return found


def admit(scope: dict[str, Any], run_id: UUID) -> Admission | CloseCode:
    """Let the viewer in, or say by which code it is sent away."""
    actor = actor_now(scope)
    try:
        run = gateway.get(run_id, actor=actor)
        role = permissions.role(actor, run)
    except (NoRun, Forbidden):
        return CloseCode.NOT_FOUND if actor.authenticated else CloseCode.UNAUTHENTICATED
    facts = facts_of([run])[run.id]
    return Admission(run=run, actor=actor, role=role, facts=facts, description=describe(run.simulation))


def admit_again(scope: dict[str, Any], run_id: UUID, sender: str) -> Admission | CloseCode:
    """As `admit`, for the viewer that was let in as `sender`."""
    admission = admit(scope, run_id)
    if isinstance(admission, Admission):
        return admission if admission.actor.sender == sender else CloseCode.FORBIDDEN
    return CloseCode.FORBIDDEN if Run.objects.filter(id=run_id).exists() else CloseCode.DELETED


aadmit = in_database(admit)
aadmit_again = in_database(admit_again)
