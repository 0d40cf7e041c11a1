"""The socket of the document: three commands in, the state out every ten steps."""

from __future__ import annotations

from typing import Any

from django_livesim import gateway
from django_livesim.models import Command
from django_livesim.protocol.errors import UnknownCommand
from django_livesim.protocol.names import Outcome
from sandbox.documents.sockets import JsonSocket, named
from sandbox.entities.shared import GROUP, KEY, SIMULATION

RUN = f"{SIMULATION}:{KEY}"
COMMANDS = ("start_simulation", "stop_simulation", "add_entity")


class SimulationSocket(JsonSocket):
    """An ordinary consumer: it hears the simulation by a group, and acts on it through the gateway alone."""

    groups = [GROUP]

    async def take(self, message: dict[str, Any]) -> None:
        match message.get("command"):
            case "start_simulation":
                await gateway.astart(SIMULATION, key=KEY, visibility="public", actor=self.actor)
            case "stop_simulation":
                # Until it has stopped: a start that comes after it finds it so.
                await gateway.astop(RUN, actor=self.actor, wait=True)
            case "add_entity":
                args = {name: message[name] for name in ("entity_id", "entity_data") if name in message}
                row = await gateway.asend(RUN, "add_entity", args, actor=self.actor)
                await self.later(self._tell_refusal(row))
            case other:
                told = f"There is no command {named(other)}. Expected one of: {', '.join(COMMANDS)}."
                raise UnknownCommand(told)

    async def _tell_refusal(self, row: Command) -> None:
        """What became of a command is known once a step has taken it; only a refusal is told."""
        await gateway.await_outcome(row)
        if row.outcome == Outcome.REFUSED:
            await self.tell(error=row.message)

    async def simulation_update(self, message: dict[str, Any]) -> None:
        await self.tell(type="update", state=message["state"])
