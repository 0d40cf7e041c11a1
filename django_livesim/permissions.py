"""Who may do what: the one place where rights are decided. Deny by default."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.models import Run, Visibility
from django_livesim.protocol.errors import Forbidden, LoginNeeded
from django_livesim.protocol.names import SET, Role

if TYPE_CHECKING:
    from django.http import HttpRequest

    from django_livesim.runtime.ports import Definition


class Level(IntEnum):
    """Rights on a run; each holds the ones below it."""

    VIEW = 1
    COMMAND = 2
    CONTROL = 3
    DELETE = 4


ROLES = {
    Level.VIEW: Role.VIEW,
    Level.COMMAND: Role.COMMAND,
    Level.CONTROL: Role.CONTROL,
    Level.DELETE: Role.OWNER,
}

KNOW_SENDERS = frozenset({Role.CONTROL, Role.OWNER})
"""Who is told by whom a command was sent; others are told their own alone."""

PERMISSIONS = (
    (Level.DELETE, "livesim.delete_run"),
    (Level.CONTROL, "livesim.control_run"),
    (Level.COMMAND, "livesim.command_run"),
    (Level.VIEW, "livesim.view_run"),
)

INSPECT = "livesim.inspect_run"
WORKERS = "livesim.view_worker"
SEE_TASKS = ("livesim.view_task", "livesim.change_task")
CHANGE_TASKS = "livesim.change_task"
DELETE_TASKS = "livesim.delete_task"


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who asks: a user, a session, or a process of the server's own (trusted)."""

    user: Any = None
    session: str = ""
    """Hash of the session's id, empty where there is no session."""
    visitor: str = ""
    """Tells those apart who have neither: one request, or one socket."""
    process: str = ""
    key: str = ""
    """The token of a link, as it came."""

    @classmethod
    def from_request(cls, request: HttpRequest) -> Actor:
        return cls(
            user=getattr(request, "user", None),
            session=hash_session(session_id(getattr(request, "session", None))),
            visitor=token_hex(8),
            key=request.GET.get("key", "")[:64],
        )

    @classmethod
    def from_scope(cls, scope: dict[str, Any]) -> Actor:
        """The actor behind an ASGI scope that went through `AuthMiddlewareStack`."""
        return cls(
            user=scope.get("user"),
            session=hash_session(session_id(scope.get("session"))),
            visitor=scope.setdefault("livesim.visitor", token_hex(8)),
            key=_query_key(scope.get("query_string", b"")),
        )

    @classmethod
    def from_user(cls, user: Any) -> Actor:
        return cls(user=user)

    @classmethod
    def from_process(cls, label: str = "server") -> Actor:
        return cls(process=label)

    @property
    def trusted(self) -> bool:
        return bool(self.process)

    @property
    def authenticated(self) -> bool:
        return bool(getattr(self.user, "is_authenticated", False))

    @property
    def sender(self) -> str:
        """Under which name its commands are journaled."""
        if self.process:
            return f"p:{self.process}"
        if self.authenticated:
            return f"u:{self.user.pk}"
        return f"s:{self.session}" if self.session else f"v:{self.visitor}"


SESSION_ID = "livesim"
"""Where a session keeps an id of ours, for backends whose key changes or is none."""


def session_id(session: Any) -> str:
    """What tells a session from others, empty where it is none that the server knows.

    Reading from it loads it: a key that somebody made up, or whose session
    has expired, is no identity.
    """
    if session is None:
        return ""
    own = session.get(SESSION_ID)
    return str(own or session.session_key or "")


def _query_key(query: bytes) -> str:
    try:
        found = parse_qs(query.decode("latin-1"), max_num_fields=20)
    except ValueError:  # too many fields
        return ""
    return found.get("key", [""])[0][:64]


def hash_session(session: str) -> str:
    """The session as the database may know it: nobody can log in with it."""
    return blake2b(session.encode(), digest_size=16).hexdigest() if session else ""


def is_owner(actor: Actor, run: Run) -> bool:
    if actor.authenticated:
        return bool(run.owner_id == actor.user.pk)
    return bool(actor.session) and run.owner_id is None and run.session == actor.session


def level(actor: Actor, run: Run, command: str | None = None) -> Level | None:
    """The highest right of `actor` on `run`, None where it may not even know of it.

    `command` is the name of the one that is about to be sent, for POLICY.
    """
    if actor.trusted or is_owner(actor, run):
        return Level.DELETE
    return _decide(actor, run, _permitted(actor, run), command)


def levels(actor: Actor, runs: Iterable[Run]) -> dict[Any, Level | None]:
    """As `level`, by the ids of visible runs: for lists, where permissions on single objects are not asked.

    A back end for these may ask the database each time.
    """
    permitted = _permitted(actor)
    return {
        run.pk: Level.DELETE if actor.trusted or is_owner(actor, run) else _decide(actor, run, permitted)
        for run in runs
    }


def _decide(actor: Actor, run: Run, permitted: Level | None, command: str | None = None) -> Level | None:
    """From what the permissions give, what there is with visibility and POLICY; for who is not the owner."""
    found = max((level for level in (permitted, _shown(actor, run)) if level), default=None)
    return _apply_policy(actor, run, found, command)


def _permitted(actor: Actor, run: Run | None = None) -> Level | None:
    """What the permissions give, asked for the model, and for the object where there is one."""
    return next((level for level, name in PERMISSIONS if _has(actor, name, run)), None)


def _has(actor: Actor, name: str, run: Run | None) -> bool:
    if not actor.authenticated:
        return False
    return bool(actor.user.has_perm(name) or (run is not None and actor.user.has_perm(name, run)))


def _shown(actor: Actor, run: Run) -> Level | None:
    """What the run's visibility gives: to view, and to command where the simulation is open."""
    linked = (
        run.visibility == Visibility.LINK
        and bool(run.link_token)
        and hmac.compare_digest(actor.key.encode(), run.link_token.encode())
    )
    if run.visibility != Visibility.PUBLIC and not linked:
        return None
    return Level.COMMAND if _is_open(run) else Level.VIEW


def _is_open(run: Run) -> bool:
    from django_livesim import registry
    from django_livesim.protocol.errors import UnknownSimulation

    try:
        return bool(registry.get(run.simulation).open_commands)
    except UnknownSimulation:
        return False


def _apply_policy(actor: Actor, run: Run, found: Level | None, command: str | None) -> Level | None:
    """The host's own POLICY: for each level it grants, denies, or leaves as it is (None)."""
    policy = conf.settings.POLICY
    if policy is None:
        return found
    highest = None
    for each in Level:
        said = policy(actor.user, each.name.lower(), run, command)
        if said is False or (said is None and (found is None or found < each)):
            break
        highest = each
    return highest


def role(actor: Actor, run: Run) -> Role:
    """What `view(role)` is asked for. Raises `Forbidden` where there is no right at all."""
    found = level(actor, run)
    if found is None:
        raise Forbidden(_("You may not see this run. Ask its owner for the link or the right."))
    return ROLES[found]


def require(actor: Actor, needed: Level, run: Run, command: str | None = None) -> None:
    """Raise `Forbidden` unless `actor` has `needed` on `run`; `LoginNeeded` where nobody is logged in."""
    found = level(actor, run, command)
    if found is None or found < needed:
        if not actor.authenticated:
            told = _(
                "This needs the right to %(level)s on the run, and you are not logged in, or have been logged"
                " out. Log in and try again, or ask its owner for the right."
            )
            raise LoginNeeded(told % {"level": needed.name.lower()})
        have = _("no right") if found is None else _("the right to %(level)s") % {"level": found.name.lower()}
        told = _(
            "This needs the right to %(level)s on the run; you have %(have)s."
            " Ask its owner, or an administrator for livesim.%(level)s_run."
        )
        raise Forbidden(told % {"level": needed.name.lower(), "have": have})


def may_start(actor: Actor, simulation: Definition) -> bool:
    """Whether `actor` may start runs of a simulation (its `may_start`, else the permission)."""
    if actor.trusted:
        return True
    if not actor.authenticated:
        return simulation.may_start == "anyone" and simulation.sharing != "per_user"
    if simulation.may_start == "anyone":
        return True
    return simulation.may_start == "users" or bool(actor.user.has_perm("livesim.start_run"))


def may_inspect(actor: Actor, run: Run) -> bool:
    """Whether `actor` may see the stored state itself, beyond what `view(role)` shows."""
    return actor.trusted or is_owner(actor, run) or _has(actor, INSPECT, run)


def may_set(actor: Actor, run: Run) -> bool:
    """Whether `actor` may change live parameters: as any command may be sent, unless POLICY denies `set`."""
    return (level(actor, run, SET) or 0) >= Level.COMMAND


def may_see_live(actor: Actor, run: Run) -> bool:
    """Whether `actor` may see the present values of live parameters."""
    return (level(actor, run) or 0) >= Level.COMMAND or may_see_params(actor, run)


def may_see_params(actor: Actor, run: Run) -> bool:
    """Whether `actor` may see all parameters of the run: what it was started with may be private."""
    return (level(actor, run) or 0) >= Level.CONTROL or may_inspect(actor, run)


def inspectable(actor: Actor, runs: Iterable[Run]) -> set[Any]:
    """As `may_inspect`, the ids of those: for lists, where permissions on single objects are not asked."""
    every = actor.trusted or _has(actor, INSPECT, None)
    return {run.pk for run in runs if every or is_owner(actor, run)}


def may_see_workers(actor: Actor) -> bool:
    """Whether `actor` may see processes, their hosts, load and lag, as in the admin."""
    return actor.trusted or _has(actor, WORKERS, None)


def may_see_tasks(actor: Actor) -> bool:
    """Whether `actor` may see the tasks and messages of everybody, without what they were called with."""
    return actor.trusted or any(_has(actor, name, None) for name in SEE_TASKS)


def may_look_into_tasks(actor: Actor) -> bool:
    """Whether `actor` may see their arguments and tracebacks too."""
    return may_see_tasks(actor) and (actor.trusted or _has(actor, INSPECT, None))


def may_change_tasks(actor: Actor) -> bool:
    """Whether `actor` may cancel those that wait, and have those called again that failed."""
    return actor.trusted or _has(actor, CHANGE_TASKS, None)


def may_delete_tasks(actor: Actor) -> bool:
    """Whether `actor` may delete those that are over. Nobody may delete others."""
    return actor.trusted or (may_see_tasks(actor) and _has(actor, DELETE_TASKS, None))


def is_monitor(authorization: str) -> bool:
    """Whether a request's header `Authorization` has HEALTH_TOKEN, which is for who may see the same."""
    token = conf.settings.HEALTH_TOKEN
    return token is not None and hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())


def visible(actor: Actor) -> QuerySet[Run]:
    """The runs that belong in the list of `actor`.

    Links and POLICY open single runs and are not in lists; neither are
    permissions on single objects. What POLICY hides is left out by `shown`.
    """
    return Run.objects.filter(visible_to(actor))


def visible_to(actor: Actor) -> Q:
    """As `visible`, to narrow a query that there is already."""
    if actor.trusted:
        return Q()
    if actor.authenticated and any(actor.user.has_perm(name) for _level, name in PERMISSIONS):
        return Q()
    return Q(visibility=Visibility.PUBLIC) | owned_by(actor)


def owned_by(actor: Actor) -> Q:
    """The runs that `actor` owns, as `is_owner` says; to narrow a query."""
    if actor.authenticated:
        return Q(owner=actor.user.pk)
    return Q(owner=None, session=actor.session) if actor.session else Q(pk__in=())


def shown(actor: Actor, runs: Iterable[Run]) -> list[Run]:
    """Those of some visible runs that POLICY does not hide."""
    if conf.settings.POLICY is None:
        return list(runs)
    runs = list(runs)
    found = levels(actor, runs)
    return [run for run in runs if found[run.pk] is not None]
