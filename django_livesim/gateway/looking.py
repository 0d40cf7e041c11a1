"""What is told of a run: facts, stored state, stored view."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import orjson
from django.core.exceptions import ObjectDoesNotExist
from django.utils.translation import gettext as _

from django_livesim import registry
from django_livesim.gateway import limits
from django_livesim.gateway.bridging import in_thread
from django_livesim.gateway.committing import is_pending
from django_livesim.gateway.finding import SERVER, get
from django_livesim.gateway.owning import told_key
from django_livesim.gateway.storing import body_hash, insert, unless_deleted
from django_livesim.gateway.waiting import await_outcome, wait
from django_livesim.models import Checkpoint, Command, Run
from django_livesim.permissions import Actor, may_inspect, visible
from django_livesim.protocol import packed
from django_livesim.protocol.errors import Forbidden, UnknownSimulation
from django_livesim.protocol.names import EXTERNAL, INSPECT, Kind, Role
from django_livesim.store import loading

INSPECT_WAIT = 2.0  # seconds a worker has to answer `inspect`


def facts(run: Run) -> dict[str, Any]:
    """A run's facts under the names of the contract."""
    return {
        "run": str(run.id),
        "key": told_key(run),
        "name": run.name,
        "simulation": run.simulation,
        "status": run.status,
        "reason": run.reason,
        "tick": run.tick,
        "progress": run.progress,
        "owner": owner_name(run),
        "worker": None if run.worker_id is None else str(run.worker_id),
        "group": run.group_name,
    }


def owner_name(run: Run) -> str | None:
    """How the owner is called; by the id where there is no such user any more."""
    if run.owner_id is None:
        return None
    try:
        return str(run.owner) if run.owner is not None else str(run.owner_id)
    except ObjectDoesNotExist:
        return str(run.owner_id)


def inspect(
    run: Run | UUID | str, *, actor: Actor | None = None, timeout: float = INSPECT_WAIT
) -> dict[str, Any]:
    """Facts, and the whole state with its position, parameters, figures, commands and error.

    Asks the worker that holds the run to store its state now; where it does
    not answer within `timeout` seconds, the state last stored is given. So it is
    inside a transaction, where no worker could see that it is asked. Asking
    counts as a command. Raises `NoRun` where the run is deleted meanwhile.
    """
    row, asked = _ask(run, actor or SERVER, timeout)
    if asked is not None:
        wait(asked, timeout)
    return _tell(row, asked)


async def ainspect(
    run: Run | UUID | str,
    *,
    actor: Actor | None = None,
    timeout: float = INSPECT_WAIT,  # noqa: ASYNC109  (as the sync twin's: nothing is cancelled)
) -> dict[str, Any]:
    """Async twin of `inspect`; while the worker is waited for, the thread of the database is free."""
    row, asked = await in_thread(_ask, run, actor or SERVER, timeout)
    if asked is not None:
        await await_outcome(asked, timeout)
    told: dict[str, Any] = await in_thread(_tell, row, asked)
    return told


def _ask(run: Run | UUID | str, actor: Actor, timeout: float) -> tuple[Run, Command | None]:
    """The run, and the row that asks its worker to store the state now; None where nobody is asked."""
    row = get(run, actor=actor)
    if not may_inspect(actor, row):
        raise Forbidden(_("To inspect a state needs livesim.inspect_run, or to be the owner."))
    if row.worker_id is None or timeout <= 0 or is_pending():
        return row, None
    limits.check_command(actor)
    body = body_hash(Kind.CONTROL, INSPECT, {})
    with unless_deleted(row):
        return row, insert(row, Kind.CONTROL, INSPECT, {}, actor, None, body, {})[0]


def _tell(row: Run, asked: Command | None) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    if asked is not None:
        answer = asked.result or {}
        asked.delete()  # a look leaves no trace in the journal
        with unless_deleted(row):
            row.refresh_from_db()
    stored = loading.newest_checkpoint(row.id)
    recent = Command.objects.filter(run=row.id).exclude(name=INSPECT).order_by("-id")[:20]
    return facts(row) | {
        "state": orjson.loads(stored.data)["state"] if stored and stored.data else None,
        "position": None if stored is None else {"tick": stored.tick, "apply_seq": stored.apply_seq},
        "params": row.present_params,
        "metrics": answer.get("metrics", {}),
        "late": answer.get("late"),
        "commands": [command_facts(command) for command in recent],
        "error": row.error,
    }


def command_facts(command: Command) -> dict[str, Any]:
    """A command under the names of the contract."""
    return {
        "id": command.client_id,
        "command": command.name,
        "args": command.args,
        "sender": command.sender,
        "outcome": command.outcome or "waiting",
        "tick": command.apply_tick,
        "due_at": command.due_at,
        "due_tick": command.due_tick,
        "every": command.every,
        "series": command.series,
        "code": command.code,
        "message": command.message,
        "result": command.result,
    }


def stored_view(run: Run, role: Role | str) -> tuple[int, Any] | None:
    """The tick and the view of `role` in the newest checkpoint; None where nothing may be shown of it."""
    row = Checkpoint.objects.filter(run=run.id).order_by(*loading.NEWEST).first()
    if row is None:
        return None
    if row.views is not None:
        views = orjson.loads(packed.unpack(bytes(row.views)) or b"{}")
        return row.tick, views.get("all", views.get(str(role)))
    if _shows_state(run):
        data = packed.unpack(bytes(row.data))
        return (row.tick, orjson.loads(data)["state"]) if data else None
    return None


def _shows_state(run: Run) -> bool:
    """Whether everybody sees the whole state, so that a stored state may be shown."""
    if run.simulation == EXTERNAL:
        return True
    try:
        definition = registry.get(run.simulation)
    except UnknownSimulation:
        return False
    return not (definition.views_by_role or definition.is_job)


def runs(actor: Actor) -> Any:
    """The runs in the list of `actor`, newest first."""
    return visible(actor)
