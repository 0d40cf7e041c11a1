"""One socket: reads what its viewer asks, and closes it when it must."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError

from django_livesim import conf, gateway
from django_livesim.bus.hub import Hub
from django_livesim.bus.hubs import hubs
from django_livesim.bus.viewer import Viewer
from django_livesim.consumers.admission import Admission, aactor_now, aadmit, arun_exists
from django_livesim.consumers.hello import Description, describe, hello
from django_livesim.consumers.rows import ROWS, in_database, verdict_of
from django_livesim.models import Command as CommandRow
from django_livesim.permissions import Actor
from django_livesim.protocol import commands, frames
from django_livesim.protocol.errors import Code, Forbidden, LivesimError, NoRun
from django_livesim.protocol.names import CloseCode

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

RECHECK = 60.0  # seconds between two looks at whether the viewer may still watch
CLOSE_LIMIT = 1.0  # seconds that closing may take
HOPELESS = 16  # times MAX_MESSAGE_BYTES: who sends a message as large as this is closed

adescribe = in_database(describe)


class LivesimConsumer:
    """The ASGI application of one connection; takes no channel of the channel layer.

    It accepts before it looks, since a browser retries a refused handshake for
    ever, and says by the close code why it will not go on.
    """

    @classmethod
    def as_asgi(cls) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await cls(scope, receive, send).serve()

        return application

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.run_id: UUID = scope["url_route"]["kwargs"]["run"]
        self._receive = receive
        # What the middleware wraps around `send` is for HTTP, and costs more than the sending itself.
        self._send: Send = scope.get("livesim.send", send)
        self._doubt = asyncio.Event()
        self.viewer: Viewer
        self.hub: Hub
        self.description: Description

    async def serve(self) -> None:
        """Serve until the viewer leaves or is closed."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        await self._send({"type": "websocket.accept"})
        admission = await self._admit()
        if not isinstance(admission, Admission):
            await self._close(admission)
            return
        self.description = await adescribe(admission.run.simulation)
        self.viewer = Viewer(
            self._send_text,
            sender=admission.actor.sender,
            role=admission.role,
            by_role=self.description.by_role,
            slow=conf.settings.SLOW_VIEWER,
        )
        self.viewer.say(hello(admission.run, admission.role, self.description))
        self.hub = hubs().join(self.run_id, self.viewer, admission.facts, ROWS)
        await self._serve()

    async def _admit(self) -> Admission | CloseCode:
        try:
            return await aadmit(self.scope, self.run_id)
        except (NoRun, Forbidden):
            user = self.scope.get("user")
            known = user is not None and user.is_authenticated
            return CloseCode.NOT_FOUND if known else CloseCode.UNAUTHENTICATED
        except Exception:
            logger.exception("No viewer can be let in: run=%s", self.run_id)
            return CloseCode.RESTARTING

    async def _serve(self) -> None:
        works = {"pump": self.viewer.pump(), "read": self._read(), "guard": self._guard()}
        tasks = [
            asyncio.create_task(work, name=f"livesim-socket-{name}-{self.run_id.hex}")
            for name, work in works.items()
        ]
        pump, *others = tasks
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.hub.leave(self.viewer)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in others:
            if not task.cancelled() and task.exception():
                logger.error("%s failed", task.get_name(), exc_info=task.exception())
                self.viewer.close(CloseCode.RESTARTING)
        gone = not pump.cancelled() and pump.exception()  # the server's send raised
        if self.viewer.close_code is not None and not gone:
            await self._close(self.viewer.close_code)

    async def _send_text(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})

    async def _close(self, code: CloseCode) -> None:
        with contextlib.suppress(Exception):  # gone already, or too slow even for this
            async with asyncio.timeout(CLOSE_LIMIT):
                await self._send({"type": "websocket.close", "code": int(code)})

    # what the viewer says

    async def _read(self) -> None:
        while (message := await self._receive())["type"] != "websocket.disconnect":
            text = message.get("text")
            if text is None:
                problem = LivesimError("Expected a text message. Got: a binary one.", code=Code.BAD_JSON)
                self.viewer.say(frames.error(None, problem))
            else:
                await self._take(text)
            await self.viewer.room()

    async def _take(self, text: str) -> None:
        limit: int = conf.settings.MAX_MESSAGE_BYTES
        try:
            message = commands.decode(text, limit)
        except commands.BadMessage as exc:
            self.viewer.say(frames.error(exc.id, exc))
            if len(text) > limit * HOPELESS:
                self.viewer.close(CloseCode.TOO_LARGE)
            return
        match message:
            case commands.Command() | commands.Control():
                await self._act(message)
            case commands.Ack():
                self.viewer.ack(message.epoch, message.seq)
            case commands.Rate():
                self.viewer.rate(message.fps)
            case commands.Resync():
                self.hub.resync(self.viewer)
            case commands.Ping():
                self.viewer.say(frames.pong())

    async def _act(self, message: commands.Command | commands.Control) -> None:
        """Have the gateway store it, and say so. Noted first, so that no outcome comes before."""
        new = self.viewer.ask(message.id)
        try:
            row = await self._store(message)
        except Exception as exc:
            if new:
                self.viewer.forget(message.id)
            self.viewer.say(frames.error(message.id, self._problem(exc)))
            return
        self.viewer.accept(message.id, row.name)
        if row.outcome:
            self.viewer.answer(verdict_of(row))

    async def _store(self, message: commands.Command | commands.Control) -> CommandRow:
        actor = await self._actor()
        if isinstance(message, commands.Control):
            return await gateway.acontrol(
                self.run_id, message.action, message.args, id=message.id, actor=actor
            )
        return await gateway.asend(
            self.run_id,
            message.name,
            message.args,
            id=message.id,
            at_tick=message.at_tick,
            delay=message.delay,
            actor=actor,
        )

    async def _actor(self) -> Actor:
        actor = await aactor_now(self.scope)
        if actor.sender != self.viewer.sender:
            raise Forbidden("You have logged out since, and this connection ends; load the page again.")
        return actor

    def _problem(self, exc: Exception) -> LivesimError:
        if isinstance(exc, LivesimError):
            if isinstance(exc, NoRun | Forbidden):
                self._doubt.set()  # the guard closes the socket, where it must, after this error
            return exc
        if isinstance(exc, OperationalError | InterfaceError):
            logger.warning("A command could not be stored: run=%s: %s", self.run_id, exc)
            return LivesimError(
                "The database does not answer; nothing was stored. Try again.", code=Code.DB_DOWN, retry=1
            )
        logger.error("A command could not be taken: run=%s", self.run_id, exc_info=exc)
        return LivesimError("The server failed; nothing is known to be stored. It has been logged.")

    # whether the viewer may stay

    async def _guard(self) -> None:
        """Look each minute, and whenever a command was forbidden, whether the viewer may still watch."""
        while self.viewer.close_code is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECHECK):
                    await self._doubt.wait()
            self._doubt.clear()
            try:
                await self._check()
            except (OperationalError, InterfaceError) as exc:
                logger.warning("Rights could not be looked at: run=%s: %s", self.run_id, exc)
        await asyncio.Event().wait()  # the pump closes; it may still have something to send

    async def _check(self) -> None:
        try:
            admission = await aadmit(self.scope, self.run_id, again=True)
        except (NoRun, Forbidden):
            exists = await arun_exists(self.run_id)
            self.viewer.close(CloseCode.FORBIDDEN if exists else CloseCode.DELETED)
            return
        if admission.actor.sender != self.viewer.sender:
            self.viewer.close(CloseCode.FORBIDDEN)
        elif admission.role != self.viewer.role:
            self.viewer.say(hello(admission.run, admission.role, self.description))
            self.hub.change_role(self.viewer, admission.role)
