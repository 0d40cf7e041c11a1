"""What became of commands: their rows are read until they have an outcome."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from uuid import UUID

from django.db.models import Q
from django.utils.translation import gettext as _

from django_livesim.gateway.bridging import in_thread
from django_livesim.gateway.committing import is_pending
from django_livesim.models import Command
from django_livesim.protocol.errors import NoRun
from django_livesim.protocol.names import Outcome

WAIT_POLL = 0.05  # seconds between two looks for an outcome


def wait(command: Command, timeout: float = 5) -> Command:
    """Read the row until it has an outcome, for at most `timeout` seconds."""
    until = time.monotonic() + timeout
    while not command.outcome and time.monotonic() < until:
        time.sleep(WAIT_POLL)
        _look(command)
    return command


async def await_outcome(command: Command, timeout: float = 5) -> Command:  # noqa: ASYNC109  (as the sync twin's: nothing is cancelled)
    """Async twin of `wait`: between two looks nothing is held, the thread of the database neither."""
    until = time.monotonic() + timeout
    while not command.outcome and time.monotonic() < until:
        await asyncio.sleep(WAIT_POLL)
        await in_thread(_look, command)
    return command


def _look(command: Command) -> None:
    try:
        if command.pk is None and not _find_row(command):
            return
        command.refresh_from_db()
    except Command.DoesNotExist:
        raise NoRun(_("The run was deleted, and the command with it.")) from None


def _find_row(command: Command) -> bool:
    """Whether a volatile command has its row by now, which it gets with its outcome; it is that row then."""
    sent = Command.objects.filter(run=command.run_id, sender=command.sender, client_id=command.client_id)
    command.pk = sent.values_list("pk", flat=True).first()
    command._state.adding = command.pk is None
    return command.pk is not None


def answered(command: Command, wanted: bool, timeout: float) -> Command:
    """Waits, except inside a transaction."""
    return wait(command, timeout) if wanted and not is_pending() else command


def answers(run: UUID, senders_and_ids: Iterable[tuple[str, str]]) -> list[Command]:
    """The rows of these commands that have an outcome, in one query."""
    ids: dict[str, list[str]] = {}
    for sender, client_id in senders_and_ids:
        ids.setdefault(sender, []).append(client_id)
    wanted = Q(pk__in=[])
    for sender, client_ids in ids.items():
        wanted |= Q(sender=sender, client_id__in=client_ids)
    return list(
        Command.objects.filter(wanted, run=run).exclude(outcome=str(Outcome.NONE)).order_by("apply_seq")
    )
