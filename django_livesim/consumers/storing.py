"""A message of a socket, made a row by the gateway."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import UUID

from django_livesim import gateway
from django_livesim.consumers.admission import actor_now
from django_livesim.consumers.rows import in_database
from django_livesim.models import Command as CommandRow
from django_livesim.permissions import Actor
from django_livesim.protocol import commands
from django_livesim.protocol.errors import Forbidden


async def astore(
    scope: dict[str, Any], run_id: UUID, sender: str, message: commands.Command | commands.Control
) -> CommandRow:
    """The row of what the viewer known as `sender` asks; raises what the gateway does.

    Commands share group commits, and who asks is looked up for each; when it
    is cancelled, as by a socket that leaves, the command may be stored.
    """
    if isinstance(message, commands.Control):
        return await control(scope, run_id, sender, message)
    return await gateway.asend_as(
        partial(identify, scope, sender),
        sender,
        run_id,
        message.name,
        message.args,
        id=message.id,
        at_tick=message.at_tick,
        delay=message.delay,
    )


def identify(scope: dict[str, Any], sender: str) -> Actor:
    """Who is at the other end now; raises `Forbidden` where that is no more `sender`."""
    actor = actor_now(scope)
    if actor.sender != sender:
        raise Forbidden("You have logged out since, and this connection ends; load the page again.")
    return actor


@in_database
def control(scope: dict[str, Any], run_id: UUID, sender: str, message: commands.Control) -> CommandRow:
    actor = identify(scope, sender)
    return gateway.control(run_id, message.action, message.args, id=message.id, actor=actor)
