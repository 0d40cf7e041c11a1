"""The socket of one task: how it stands, at once and at each change."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any

import orjson
from channels.db import database_sync_to_async

from django_livesim.permissions import Actor
from sandbox.celery_tasks.statuses import run_of, status_of
from sandbox.documents.sockets import MOST, Accompanied

LOOK = 5.0  # seconds after which the row is read, though no message came
SEARCH = 1.0  # seconds, while there is no run yet; after each look in vain twice as many
LONGEST = 30.0  # seconds between two looks for a run: anybody may ask for any id

logger = logging.getLogger(__name__)


class TaskStatusConsumer(Accompanied):
    """Listens to the group of the task's run, and says what its row says.

    Messages only wake it: the row is read after it has begun to listen, again after each message, and every
    few seconds. So a message may be lost, and a task may end at any moment. Rights are asked for each time.
    One coroutine, `_follow`, reads and says; it ends with the socket.
    """

    async def connect(self) -> None:
        self.task_id = self.scope["url_route"]["kwargs"]["task_id"]
        self.changed = asyncio.Event()
        self.asked, self.told = True, {}
        await self.accept()
        self.beside(self._follow(), name=f"task-{self.task_id}")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Of a browser's messages one asks for something; it can name no group and no handler."""
        text = text_data or ""
        with suppress(orjson.JSONDecodeError):
            message = orjson.loads(text if len(text) <= MOST else "")
            if isinstance(message, dict) and message.get("type") == "check_task_completion":
                self.asked = True
                self.changed.set()

    async def livesim_frame(self, message: dict[str, Any]) -> None:
        self.changed.set()

    async def livesim_lane(self, message: dict[str, Any]) -> None:
        self.changed.set()

    async def livesim_look(self, message: dict[str, Any]) -> None:
        self.changed.set()

    async def livesim_verdict(self, message: dict[str, Any]) -> None:
        """What became of somebody's *stop*: the status says it."""

    async def _follow(self) -> None:
        search = SEARCH
        while True:
            is_over = False
            try:
                is_over = await self._say()
            except Exception:
                logger.warning("How a task stands could not be told; tried again", exc_info=True)
            try:
                async with asyncio.timeout(None if is_over else LOOK if self.groups else search):
                    await self.changed.wait()
            except TimeoutError:
                search = min(2 * search, LONGEST)
            self.changed.clear()

    async def _say(self) -> bool:
        """Say how it stands, where that is new or was asked for; whether it has ended."""
        status, is_over = await self._look()
        if self.asked or status != self.told:
            await self.send(json.dumps(status))
            self.asked, self.told = False, status
        return is_over

    async def _look(self) -> tuple[dict[str, Any], bool]:
        """How the task stands, and whether that is its end."""
        group, status, is_over = await self._read()
        if group and not self.groups and self.channel_layer:
            await self.channel_layer.group_add(group, self.channel_name)
            self.groups = [group]
            _group, status, is_over = await self._read()  # what was said before we listened
        return status, is_over

    @database_sync_to_async
    def _read(self) -> tuple[str, dict[str, Any], bool]:
        actor = Actor.from_scope(self.scope)
        run = run_of(self.task_id, actor)
        return run.group_name if run else "", status_of(run, actor), bool(run and run.ended)
