"""A message of a socket, made a row by the gateway."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_livesim import gateway
from django_livesim.consumers.admission import actor_now
from django_livesim.consumers.rows import in_database
from django_livesim.models import Command as CommandRow
from django_livesim.protocol import commands
from django_livesim.protocol.errors import Forbidden


def store(
    scope: dict[str, Any], run_id: UUID, sender: str, message: commands.Command | commands.Control
) -> CommandRow:
    """The row of what the viewer known as `sender` asks; raises what the gateway does."""
    actor = actor_now(scope)
    if actor.sender != sender:
        raise Forbidden("You have logged out since, and this connection ends; load the page again.")
    if isinstance(message, commands.Control):
        return gateway.control(run_id, message.action, message.args, id=message.id, actor=actor)
    return gateway.send(
        run_id,
        message.name,
        message.args,
        id=message.id,
        at_tick=message.at_tick,
        delay=message.delay,
        actor=actor,
    )


astore = in_database(store)
