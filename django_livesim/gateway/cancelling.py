"""Taking back commands that wait: a control, a row of the journal like any other."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from django_livesim import conf
from django_livesim.gateway import limits
from django_livesim.gateway.finding import SERVER, get
from django_livesim.gateway.storing import body_hash, insert, known, unless_deleted
from django_livesim.gateway.waiting import answered
from django_livesim.models import Command, Run
from django_livesim.permissions import Actor, Level
from django_livesim.protocol.errors import BadArgs, Code, LivesimError
from django_livesim.protocol.names import CANCEL, Kind
from django_livesim.store import cancelling, intake

ATTEMPTS = 5
"""Times to try where a run changes hands meanwhile."""


def cancel(
    command: Command | int,
    *,
    user: Any = None,
    id: str | None = None,
    wait: bool = False,
    timeout: float = 5,
    actor: Actor | None = None,
) -> Command:
    """Take back a command that waits, with all its repetitions; the row of the `cancel`.

    `command` is the row that `send` gave, or its `pk`, or any of its repetitions. What had
    not acted is refused with the code `cancelled`, and the result says how
    many that were: {"cancelled": 0} where it was too late. Whoever sent a
    command may take it back; others need the right to control the run.

    The other keywords are those of `send`. Raises NoRun, Forbidden, BadArgs.
    """
    actor = actor or (SERVER if user is None else Actor.from_user(user))
    command = _row(command)
    if command.pk is None or command.kind != Kind.COMMAND:
        raise BadArgs(
            _("Only a command that has a row can be cancelled; this one has none, or is a control.")
        )
    own = command.sender == actor.sender
    run = get(command.run_id, actor=actor, level=Level.COMMAND if own else Level.CONTROL)
    args = {"command": command.series or command.pk}
    body = body_hash(Kind.CONTROL, CANCEL, args)
    sent = known(run, actor, id, body)
    if sent is None:
        limits.check_command(actor)
        with unless_deleted(run):
            sent = _cancel(run, args, actor, id, body)
    return answered(sent, wait, timeout)


def _row(given: Any) -> Command:
    """The row that is meant. Raises BadArgs."""
    if isinstance(given, Command):
        return given
    if isinstance(given, bool) or not isinstance(given, int):
        told = _(
            "cancel takes the row that send gave, or its pk; got %(given)r."
            " By the id under which it was sent: Command.objects.get(run=..., sender=..., client_id=...)."
        )
        raise BadArgs(told % {"given": given})
    row = Command.objects.filter(pk=given).first()
    if row is None:
        raise BadArgs(_("No command has the pk %(pk)s: it was removed, or never there.") % {"pk": given})
    return row


def _cancel(run: Run, args: dict[str, Any], actor: Actor, client_id: str | None, body: str) -> Command:
    """Leave it to the worker, or carry it out where nobody holds the run."""
    for _attempt in range(ATTEMPTS):
        try:
            with transaction.atomic(using=conf.settings.DATABASE):
                row, created = insert(run, Kind.CONTROL, CANCEL, args, actor, client_id, body, {})
                if created and run.worker_id is None:
                    cancelling.carry_out(row, run)
                return row
        except intake.Overtaken:
            run.refresh_from_db()
    raise LivesimError(_("The run is changing hands; try again."), code=Code.BUSY, retry=1)
