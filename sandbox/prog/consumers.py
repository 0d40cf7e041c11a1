"""The socket of the document: a person starts a job, stops it, and is told how far it is."""

from __future__ import annotations

import asyncio
import logging
from hashlib import blake2b
from typing import Any

from channels.db import database_sync_to_async

from django_livesim import Refused, gateway, registry
from django_livesim.models import Run
from django_livesim.protocol.errors import UnknownCommand
from django_livesim.protocol.names import Status
from sandbox.documents.sockets import JsonSocket, named
from sandbox.prog.shared import progress_group

AGAIN = 2.0  # seconds between two looks at a job that goes on, since a message may be lost

logger = logging.getLogger(__name__)


class ProgSocket(JsonSocket):
    """Each person has one job of the kind `job`: every tab of theirs is told of it, and nobody else.

    The run's row says where it stands. Messages only say that it may have changed (`livesim.*` to the
    group of the run, `job.look` to that of the person), or how far it is (`job.progress`, which the job
    sends). They are handled one at a time.
    """

    job = "progrock"

    async def connect(self) -> None:
        await super().connect()
        self.run: Run | None = None
        self.percent: float = 0
        self.told: dict[str, Any] = {}
        await self.tell(accept=True)
        who = f"{self.job} {self.actor.session} {self.actor.sender}"
        self.person = f"prog.person.{blake2b(who.encode(), digest_size=16).hexdigest()}"
        await self.channel_layer.group_add(self.person, self.channel_name)
        await self.look()
        await self.later(self._remind())

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.person, self.channel_name)
        await self._listen(None)

    async def take(self, message: dict[str, Any]) -> None:
        self.told = {}  # whoever asks is answered, be it news or not
        match message.get("action"):
            case "start":
                await self._start()
            case "stop":
                await self._stop()
            case other:
                told = f"There is no action {named(other)}. Expected one of: start, stop."
                raise UnknownCommand(told)
        await self.look()
        await self.channel_layer.group_send(self.person, {"type": "job.look"})

    async def _start(self) -> None:
        """A job that runs goes on as it is; after one that has ended another begins."""
        own = await self._own()
        if own is not None and own.status == Status.STOPPED:
            # A start would go on with it. Under this id it is done once, from however many tabs.
            await gateway.arestart(own, id="again", actor=self.actor)
        run = await gateway.astart(self.job, actor=self.actor)
        if own is None or run.id != own.id:
            await self._listen(run)
            await self._show({"progress": 0})

    async def _stop(self) -> None:
        own = await self._own()
        if own is None or own.ended:
            raise Refused("No job of yours is running. Start one.")
        await gateway.astop(own, actor=self.actor, wait=True)

    async def _own(self) -> Run | None:
        """The person's job as its row has it now."""
        kind = registry.get(self.job)
        run: Run | None = await database_sync_to_async(gateway.own_run)(kind, actor=self.actor)
        return run

    async def look(self) -> None:
        """Tell where the person's job stands, unless that was told last."""
        run = await self._own()
        if run is not None and (self.run is None or run.id != self.run.id):
            await self._listen(run)
            run = await self._own()  # it may have ended before we listened
        if run is not None:
            self.run = run
            # What was heard last is newer than the row, which is written twice a second.
            self.percent = self.percent or round(100 * (run.progress or 0), 2)
            await self._show(standing(run, self.percent))

    async def _listen(self, run: Run | None) -> None:
        for old in _groups(self.run):
            await self.channel_layer.group_discard(old, self.channel_name)
        for new in _groups(run):
            await self.channel_layer.group_add(new, self.channel_name)
        self.run, self.percent = run, 0

    async def _remind(self) -> None:
        """For as long as the socket is open, whatever the channel layer does meanwhile."""
        while True:
            await asyncio.sleep(AGAIN)
            if self.run is None or self.run.ended:
                continue
            try:
                await self.channel_layer.send(self.channel_name, {"type": "job.look"})
            except Exception:
                logger.warning("A socket could not be reminded of its job; tried again", exc_info=True)

    async def _show(self, message: dict[str, Any]) -> None:
        if message != self.told:
            self.told = message
            await self.tell(**message)

    async def job_progress(self, message: dict[str, Any]) -> None:
        if self.run is None or self.run.ended or message["run"] != str(self.run.id):
            await self.look()  # it was said before the end, or after a new beginning
            return
        self.percent = message["progress"]
        await self._show({"progress": self.percent})

    async def job_look(self, message: dict[str, Any]) -> None:
        await self.look()

    async def livesim_lane(self, message: dict[str, Any]) -> None:
        if message.get("kind") == "end":
            await self.look()

    async def livesim_look(self, message: dict[str, Any]) -> None:
        await self.look()

    async def livesim_frame(self, message: dict[str, Any]) -> None:
        """What the job's own page shows."""

    async def livesim_verdict(self, message: dict[str, Any]) -> None:
        """What became of a command; the end tells it too."""


class HourSocket(ProgSocket):
    """The same of a job that takes an hour."""

    job = "progrock_hour"


def _groups(run: Run | None) -> tuple[str, ...]:
    return () if run is None else (run.group_name, progress_group(run.id))


def standing(run: Run, percent: float) -> dict[str, Any]:
    """A job's row in the words of the document."""
    match run.status:
        case Status.FINISHED:
            return {"complete": True, "progress": 100}
        case Status.STOPPED:
            return {"stopped": True, "progress": percent}
        case Status.FAILED | Status.QUARANTINED:
            return {"error": f"The job has failed: {run.reason}. Start another."}
        case _:
            return {"progress": percent}
