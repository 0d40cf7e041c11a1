"""One socket: reads what its viewer asks, and closes it when it must."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from secrets import token_hex
from typing import Any, TypeVar
from uuid import UUID

from django.db import InterfaceError, OperationalError

from django_livesim import conf
from django_livesim.bus import wire
from django_livesim.bus.hub import Hub
from django_livesim.bus.hubs import hubs
from django_livesim.bus.seldom import Seldom
from django_livesim.bus.viewer import Viewer
from django_livesim.consumers.admission import Admission, aadmit, aadmit_again
from django_livesim.consumers.fragments import Subject
from django_livesim.consumers.hello import hello
from django_livesim.consumers.html import HTML, HtmlViewer, downlink_only, format_of, language_of
from django_livesim.consumers.inbox import TURN, Allowance, Inbox
from django_livesim.consumers.rows import ROWS, verdict_of
from django_livesim.consumers.storing import astore
from django_livesim.protocol import commands, frames
from django_livesim.protocol.errors import BadArgs, Code, Forbidden, LivesimError, NoRun
from django_livesim.protocol.names import CloseCode

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

T = TypeVar("T")
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

RECHECK = 60.0  # seconds between two looks at whether the viewer may still watch
RECHECK_SOON = 5.0  # seconds until it is looked again where the database did not answer
ADMIT_LIMIT = 5.0  # seconds in which a viewer is let in, or told to come again
STORE_LIMIT = 5.0  # seconds in which a command is stored, or its sender told to send it again
CLOSE_LIMIT = 1.0  # seconds that closing may take
HOPELESS = 16  # times MAX_MESSAGE_BYTES: who sends a message as large as this is closed

NO_ANSWER = (OperationalError, InterfaceError, TimeoutError)
"""What is raised where the database is away, or slow."""


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
        self.scope = {"livesim.visitor": token_hex(8), **scope}
        self.run_id: UUID = scope["url_route"]["kwargs"]["run"]
        self._receive = receive
        self._send = send
        self._inbox = Inbox(receive)
        self._allowance = Allowance()
        self.format: str
        self.viewer: Viewer
        self.hub: Hub

    async def serve(self) -> None:
        """Serve until the viewer leaves or is closed."""
        if (await self._receive())["type"] != "websocket.connect":
            return
        await self._send({"type": "websocket.accept"})
        live = self._start("live", self._live())
        ear = self._start("ear", self._inbox.listen())
        await self._until_one_ends(live, ear)
        if not live.cancelled() and (code := live.result()) is not None:
            await self._close(code)

    async def _live(self) -> CloseCode | None:
        """Let the viewer in and serve it; the code to close with, None where it is gone."""
        try:
            self.format = format_of(self.scope)
            async with asyncio.timeout(ADMIT_LIMIT):
                admission = await aadmit(self.scope, self.run_id)
            return await self._serve(admission) if isinstance(admission, Admission) else admission
        except BadArgs as exc:
            await self._send({"type": "websocket.send", "text": frames.error(None, exc)})
            return CloseCode.NOT_FOUND
        except Exception:
            seldom.warning("A viewer cannot be served: run=%s", self.run_id, exc_info=True)
            return CloseCode.RESTARTING

    async def _serve(self, admission: Admission) -> CloseCode | None:
        self.viewer = self._viewer(admission)
        self.viewer.say(hello(admission.run, admission.role, admission.description))
        self.hub = hubs().join(self.run_id, self.viewer, admission.facts, ROWS)
        pump = self._start("pump", self.viewer.pump())
        others = [self._start("read", self._read()), self._start("guard", self._guard())]
        try:
            await self._until_one_ends(pump, *others)
        finally:
            self.hub.leave(self.viewer)
        for task in others:
            if not task.cancelled() and task.exception():
                logger.error("%s failed", task.get_name(), exc_info=task.exception())
                self.viewer.close(CloseCode.RESTARTING)
        gone = not pump.cancelled() and pump.exception()  # the server's send raised
        return None if gone else self.viewer.close_code

    def _viewer(self, admission: Admission) -> Viewer:
        send = wire.sender(self._send, direct=conf.settings.DIRECT_SENDS)
        options: dict[str, Any] = {
            "sender": admission.actor.sender,
            "role": admission.role,
            "by_role": admission.description.by_role,
            "slow": conf.settings.SLOW_VIEWER,
        }
        if self.format != HTML:
            return Viewer(send, **options)
        subject = Subject.of(admission.run, self.scope)
        return HtmlViewer(send, subject=subject, language=language_of(self.scope), **options)

    def _start(self, name: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return asyncio.create_task(work, name=f"livesim-socket-{name}-{self.run_id.hex}")

    async def _until_one_ends(self, *tasks: asyncio.Task[Any]) -> None:
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _close(self, code: CloseCode) -> None:
        with contextlib.suppress(Exception):  # gone already, or too slow even for this
            async with asyncio.timeout(CLOSE_LIMIT):
                await self._send({"type": "websocket.close", "code": int(code)})

    # what the viewer says

    async def _read(self) -> None:
        self._inbox.heed = self._heed
        taken = 0
        while self.viewer.close_code is None:
            message = await self._inbox.take()
            if message is None:
                return
            if not self._allowance.spend():
                self.viewer.close(CloseCode.TOO_MANY)
                break
            await self._take(message)
            await self.viewer.room()
            taken += 1
            if taken % TURN == 0:
                await asyncio.sleep(0)
        await asyncio.Event().wait()  # the pump closes; it may still have something to send

    def _heed(self, text: str | bytes) -> bool:
        """Take it here and now, if it is what a page says most: that it has drawn a frame."""
        ack = commands.plain_ack(text)
        if ack is None or not self._allowance.spend():  # which is then found again, in its turn
            return False
        self.viewer.ack(ack.epoch, ack.seq)
        return True

    async def _take(self, text: str | bytes) -> None:
        limit: int = conf.settings.MAX_MESSAGE_BYTES
        try:
            message = commands.decode(text, limit)
        except commands.BadMessage as exc:
            self.viewer.say(frames.error(exc.id, downlink_only() if self.format == HTML else exc))
            if len(text) > limit * HOPELESS:
                self.viewer.close(CloseCode.TOO_LARGE)
            return
        match message:
            case commands.Command() | commands.Control() if self.format == HTML:
                self.viewer.say(frames.error(message.id, downlink_only()))
            case commands.Command() | commands.Control():
                await self._act(message)
            case commands.Ack():
                self.viewer.ack(message.epoch, message.seq)
            case commands.Rate():
                self.hub.rate(self.viewer, message.fps)
            case commands.Resync():
                self.hub.resync(self.viewer)
            case commands.Ping():
                self.viewer.say(frames.pong())

    async def _act(self, message: commands.Command | commands.Control) -> None:
        """Have the gateway store it, and say so. Noted first, so that no outcome comes before."""
        new = self.viewer.outcomes.expect(message.id)
        try:
            async with asyncio.timeout(STORE_LIMIT):
                row = await astore(self.scope, self.run_id, self.viewer.sender, message)
        except Exception as exc:
            # What may have been stored stays noted: its outcome follows the next *accepted*.
            if new and isinstance(exc, LivesimError) and exc.code is not Code.DB_DOWN:
                self.viewer.outcomes.forget(message.id)
            self.viewer.say(frames.error(message.id, self._problem(exc)))
            return
        self.viewer.accept(message.id, row.name)
        if row.outcome:
            self.viewer.answer(verdict_of(row))

    def _problem(self, exc: Exception) -> LivesimError:
        if isinstance(exc, LivesimError):
            if isinstance(exc, NoRun | Forbidden):
                self.viewer.doubt.set()  # the guard closes the socket, where it must, after this error
            return exc
        if isinstance(exc, TimeoutError):
            seldom.warning("A command was not stored in time: run=%s", self.run_id)
            return LivesimError(
                "The server is busy, and it is not known whether the command was stored."
                " Send it again under the same id: it takes effect once.",
                code=Code.BUSY,
                retry=1,
            )
        if isinstance(exc, OperationalError | InterfaceError):
            seldom.warning("A command could not be stored: run=%s", self.run_id, exc_info=True)
            return LivesimError(
                "The database does not answer, and it is not known whether the command was stored."
                " Send it again under the same id: it takes effect once.",
                code=Code.DB_DOWN,
                retry=1,
            )
        logger.error("A command could not be taken: run=%s", self.run_id, exc_info=exc)
        return LivesimError("The server failed; nothing is known to be stored. It has been logged.")

    # whether the viewer may stay

    async def _guard(self) -> None:
        """Look each minute, and whenever there is doubt, whether the viewer may still watch."""
        pause = RECHECK
        while self.viewer.close_code is None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self.viewer.doubt.wait()
            self.viewer.doubt.clear()
            try:
                await self._check()
                pause = RECHECK
            except NO_ANSWER:
                pause = min(RECHECK, RECHECK_SOON)
                seldom.warning("Rights could not be looked at: run=%s", self.run_id, exc_info=True)
        await asyncio.Event().wait()  # the pump closes; it may still have something to send

    async def _check(self) -> None:
        async with asyncio.timeout(ADMIT_LIMIT):
            admission = await aadmit_again(self.scope, self.run_id, self.viewer.sender)
        if not isinstance(admission, Admission):
            self.viewer.close(admission)
        elif admission.role != self.viewer.role:
            self.viewer.say(hello(admission.run, admission.role, admission.description))
            self.hub.change_role(self.viewer, admission.role)
