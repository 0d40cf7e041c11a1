"""`send`, and what every command has to pass before it is stored or handed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from django_livesim import conf, params, registry
from django_livesim.gateway import limits, scheduling, volatile
from django_livesim.gateway.finding import SERVER, get
from django_livesim.gateway.storing import body_hash, client_id_of, insert_wanted, known, unless_deleted
from django_livesim.gateway.waiting import answered
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol import plain
from django_livesim.protocol.errors import (
    Code,
    LivesimError,
    RunEnded,
    UnknownCommand,
    UnknownSimulation,
)
from django_livesim.protocol.names import EXTERNAL, Kind, Status


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A command that may be sent, and has not been."""

    wanted: Mapping[str, Any]
    """The keywords of `intake.insert_command`."""
    counted: str | None
    """Where `limits` has counted it."""


def send(
    run: Run | UUID | str,
    command: str,
    args: Mapping[str, Any] | None = None,
    *,
    user: Any = None,
    id: str | None = None,
    at_tick: int | None = None,
    delay: float | None = None,
    every: float | None = None,
    wait: bool = False,
    timeout: float = 5,
    actor: Actor | None = None,
) -> Command:
    """Send a command; its row, which is durable when this returns outside a transaction.

    The same `id` from the same sender is one command, however often it is
    sent. It acts at once, or not before the tick `at_tick`, or `delay`
    seconds from now; with `every` it acts again and again, so many seconds
    apart, the first time after `delay` or else one such period, until
    `cancel` or until the run ends. A command declared `durable=False` may
    have no row yet, and no `pk`. With `wait`, returns when it was applied or refused, or after
    `timeout` seconds with `outcome` still empty; inside a transaction it
    returns at once, since no worker can see the row yet.
    """
    actor = actor or (SERVER if user is None else Actor.from_user(user))
    row = get(run, actor=actor, level=Level.COMMAND, command=command[:200])
    sent = checked(row, actor, command, args or {}, id, at_tick=at_tick, delay=delay, every=every)
    if isinstance(sent, Checked) and not sent.wanted["durable"]:
        sent = hand_over(row, actor, id, sent)
    return answered(_store(row, sent) if isinstance(sent, Checked) else sent, wait, timeout)


def _store(run: Run, sent: Checked) -> Command:
    with unless_deleted(run):
        row, created = insert_wanted(run, sent.wanted)
    if not created:
        limits.uncount_command(sent.counted)
    return row


def checked(
    run: Run,
    actor: Actor,
    command: str,
    args: Mapping[str, Any],
    id: str | None,
    *,
    at_tick: int | None = None,
    delay: float | None = None,
    every: float | None = None,
) -> Command | Checked:
    """A command that `actor` may send.

    Its row, where it would be refused now and was sent before: a retry gets
    its answer whatever came since. Any other retry is found by its INSERT.
    """
    spec, cleaned = _clean_args(run, command, args)
    due = scheduling.columns(at_tick, delay, every)
    wanted = {
        "run": run.id,
        "kind": Kind.COMMAND,
        "name": command,
        "args": cleaned,
        "sender": actor.sender,
        "client_id": client_id_of(id),
        "body_hash": body_hash(Kind.COMMAND, command, cleaned, at_tick, delay, every),
        "durable": True if spec is None else spec.durable,
        **due,
    }
    try:
        _refuse_ended(run)
        if due:
            scheduling.check_room(actor, run)
        counted = limits.check_command(actor)
    except LivesimError:
        if sent := known(run, actor, id, wanted["body_hash"]):
            return sent
        raise
    return Checked(wanted=wanted, counted=counted)


def hand_over(run: Run, actor: Actor, id: str | None, checked: Checked) -> Command | Checked:
    """For a command that is to have no row: handed over, sent before, or one that needs a row after all."""
    try:
        sent = known(run, actor, id, checked.wanted["body_hash"])
        handed = None if sent else volatile.hand_over(run, checked.wanted)
    except LivesimError:
        limits.uncount_command(checked.counted)
        raise
    if sent:
        limits.uncount_command(checked.counted)
    needs_row = Checked(wanted={**checked.wanted, "durable": True}, counted=checked.counted)
    return sent or handed or needs_row


def _refuse_ended(run: Run) -> None:
    if run.ended:
        ended = _("The run is %(status)s and takes no commands; resume or restart it first.")
        raise RunEnded(ended % {"status": run.get_status_display()})
    if run.status == Status.QUARANTINED:
        held = _("The run is quarantined, since its code has done harm; resume it first, which releases it.")
        raise LivesimError(held, code=Code.QUARANTINED)


def _clean_args(run: Run, command: str, args: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The declared command and its arguments as they are stored."""
    if run.simulation == EXTERNAL:
        raise UnknownCommand(_("A program of its own produces the run; it takes no commands."))
    try:
        definition = registry.get(run.simulation)
    except UnknownSimulation as exc:
        lacking = _("This process lacks the code of %(simulation)s; it cannot check the command.")
        raise LivesimError(lacking % {"simulation": run.simulation}, code=Code.ERROR) from exc
    commands = params.commands(definition)
    spec = commands.get(command)
    if spec is not None:
        return spec, _sized(params.clean(params.form_class(spec), args, present=run.present_params))
    if definition.takes_any_message:
        return None, _sized(_free_args(command, args))
    expected = ", ".join(sorted(commands)) or _("none; this simulation takes no commands")
    unknown = _("%(simulation)s has no command %(command)r. Expected one of: %(expected)s.")
    raise UnknownCommand(
        unknown % {"simulation": definition.name, "command": command[:80], "expected": expected}
    )


def _free_args(command: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """What an own loop that declares nothing accepts: any name, any plain dict."""
    if not command or len(command) > 200 or plain.storable(command) != command:
        raise UnknownCommand(_("A command needs a name of 1 to 200 characters, none of them NUL."))
    return params.clean(None, args)


def _sized(args: dict[str, Any]) -> dict[str, Any]:
    size, limit = len(plain.encode(args)), conf.settings.MAX_MESSAGE_BYTES
    if size > limit:
        large = _(
            "The arguments take %(size)s bytes, more than MAX_MESSAGE_BYTES = %(limit)s; send less at once."
        )
        raise LivesimError(large % {"size": size, "limit": limit}, code=Code.TOO_LARGE)
    return args
