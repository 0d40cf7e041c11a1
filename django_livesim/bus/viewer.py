"""One socket, as the hub sees it: a slot for the newest frame, a lane for what must come in order."""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Coroutine
from contextvars import copy_context
from typing import Any

from django_livesim.bus.feed import Feed, Frame
from django_livesim.bus.outcomes import Outcomes
from django_livesim.bus.turns import Turns, turns
from django_livesim.bus.wire import Bare, Send
from django_livesim.protocol import frames
from django_livesim.protocol.frames import Verdict
from django_livesim.protocol.names import CloseCode

LANE_LIMIT = 4096  # messages that may wait for one viewer: some may come before it has a turn to send any
LANE_BYTES = 2**20  # bytes of them; one message more may be of any size
ROOMY = 128  # messages, and half of the bytes, above which a viewer is asked nothing more
UNACKED_LIMIT = 2  # frames on their way to a viewer that acknowledges

SPREAD = 0.2  # of the time that a send may take: so many who stop reading at once are not closed all at once

ALL_FRAMES = 1000.0  # frames a second from which on a wish is none

RIGHTLESS = frozenset({CloseCode.FORBIDDEN, CloseCode.DELETED})
"""After these nothing more is told of the run."""


class Viewer:
    """What one socket is still to be sent.

    Frames are passed over for newer ones; everything else arrives in order, or
    the socket is closed. `pump` sends; every other method only notes and
    returns, and belongs to the loop in which `pump` runs.
    """

    # So that what a frame needs of a viewer lies together: with a thousand of them, time goes to fetch it.
    __slots__ = (
        "__weakref__",
        "_acks",
        "_context",
        "_count",
        "_counted",
        "_drain_by",
        "_gap",
        "_given_up",
        "_is_bare",
        "_lane",
        "_lane_bytes",
        "_late",
        "_loop",
        "_newest",
        "_next_frame_at",
        "_over",
        "_passed_over",
        "_planned",
        "_ready",
        "_roomy",
        "_send",
        "_sending",
        "_sent_frames",
        "_shown",
        "_slot",
        "_slow",
        "_told_next",
        "_turn",
        "_turns",
        "_unacked",
        "by_role",
        "close_code",
        "doubt",
        "fps",
        "next_resync_at",
        "outcomes",
        "resync_waits",
        "role",
        "sender",
        "told_end",
        "told_status",
    )

    def __init__(
        self,
        send: Send,
        *,
        sender: str,
        role: str,
        by_role: bool = False,
        slow: float = 5.0,
    ) -> None:
        self.sender = sender
        self.role = role
        self.by_role = by_role
        """Whether frames differ from role to role, so that the viewer's role must be heard too."""
        self.told_status: tuple[object, ...] = ()
        self.told_end = False
        self.next_resync_at = 0.0
        self.resync_waits = False
        self.close_code: CloseCode | None = None
        self.doubt = asyncio.Event()
        """Set where the viewer's rights may have changed, and are to be looked at."""
        self.outcomes = Outcomes()
        """Of the commands that came from here."""
        self._send = send
        self._slow = slow  # seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._turns: Turns | None = None  # once it pumps
        self._over: asyncio.Future[None] | None = None  # while it pumps
        self._planned = False  # to go on
        self._ready = False  # it pumps, and nothing waits or is on its way: a frame may be sent at once
        self._sending: asyncio.Task[None] | None = None  # what the server has not taken at once
        self._given_up = False  # by us: the send that is cancelled
        self._is_bare = isinstance(getattr(send, "__self__", None), Bare)
        self._context = copy_context()  # of the pump: every send has it, but a bare one, which needs none
        self._late: asyncio.TimerHandle | None = None
        self._turn: asyncio.TimerHandle | None = None
        self._roomy = asyncio.Event()
        self._lane: deque[str] = deque()
        self._lane_bytes = 0
        self._newest = ""
        self._told_next: str | None = None
        self._drain_by = float("inf")
        self._slot: Feed | None = None
        self._shown = (-1, -1)
        self._unacked: deque[tuple[int, int]] = deque()
        self._acks = False
        self.fps = math.inf
        """Frames a second that the viewer wants, at most."""
        self._gap = 0.0  # seconds between two frames, at the viewer's own wish
        self._next_frame_at = 0.0
        self._sent_frames = self._passed_over = 0
        self._counted: Feed | None = None  # whose frames it is not shown are counted; None: all
        self._count = 0  # frames that are

    # what the hub says

    def say(self, text: str) -> None:
        """Put a message into the ordered lane; a viewer whose lane is full is closed."""
        if self.close_code is not None:
            return
        if len(self._lane) >= LANE_LIMIT or self._lane_bytes > LANE_BYTES:
            self.close(CloseCode.TOO_SLOW)
            return
        self._lane.append(text)
        self._lane_bytes += _size(text)
        self._plan()

    def say_newest(self, text: str) -> None:
        """`say`, in place of what was said last so, where that waits and nothing came after it."""
        if self.close_code is not None:
            return
        if self._lane and self._lane[-1] is self._newest:
            self._lane_bytes -= _size(self._lane.pop())
        self._newest = text
        self.say(text)

    def tell_end(self, text: str, following: str | None) -> None:
        """Tell of the run's end, once; and once more where another run, `following`, comes after it."""
        if self.told_end and following in (None, self._told_next):
            return
        self.told_end, self._told_next = True, following
        self.say(text)

    def show(self, feed: Feed) -> None:
        """Have the feed's newest frame sent, unless a newer one was: that which is the newest then."""
        self._counted, self._count = feed, feed.shown
        if self._takes(feed):
            self._plan()

    def show_now(self, feed: Feed) -> None:
        """`show`, in its turn, outside of all tasks: it is sent here and now.

        To who is ready in as few calls as can be, for it is most of what a process does for a thousand.
        """
        missed = feed.shown - self._count - 1  # so often was it to be shown since then,
        if missed > 0 and (self._counted is feed or self._counted is None):
            self._passed_over += missed  # and this process had no time for that
        self._counted, self._count = feed, feed.shown
        frame, over = feed.newest, self._over
        is_ready = self._ready and not (self._acks and len(self._unacked) >= UNACKED_LIMIT)
        if not is_ready or frame is None or over is None or over.done():
            if self._takes(feed) and not self._planned:
                self._go_on()
            return
        if frame.role != "all" and frame.role != self.role:
            return
        try:
            if (text := self._taken(feed, frame)) is not None:
                rest = self._send(text) if self._is_bare else self._context.run(self._send, text)
                if rest is not None:
                    self._wait_for(rest)
        except BaseException as exc:
            self._broken(exc)

    def _takes(self, feed: Feed) -> bool:
        """Whether its newest frame is to be sent, which is noted."""
        frame = feed.newest
        if frame is None or self.close_code is not None or frame.number <= self._shown:
            return False
        if frame.role != "all" and frame.role != self.role:
            return False
        if self._slot is not None and self._waits_for_us():
            self._passed_over += 1
        self._slot, self._ready = feed, False
        return True

    def count(self) -> tuple[int, int]:
        """Frames that were sent since this was last asked, and those that this process had no time for."""
        counts = self._sent_frames, self._passed_over
        self._sent_frames = self._passed_over = 0
        return counts

    def close(self, code: CloseCode) -> None:
        """Have the socket closed.

        What waits is still sent, all of it in the time of one slow send; except
        to one that is too slow for it, or may no longer have it.
        """
        if self.close_code is None:
            self.close_code = code
            self._slot = None
            self._drain_by = time.monotonic() + self._slow
            if code is CloseCode.TOO_SLOW or code in RIGHTLESS:
                self._clear_lane()
            self._plan()
            self._roomy.set()

    # commands

    def accept(self, client_id: str, command: str) -> None:
        """Say that the command is stored, and its outcome, where that came first."""
        self.say(frames.accepted(client_id, command))
        if early := self.outcomes.accept(client_id):
            self.answer(early)

    def is_sender(self, verdict: Verdict) -> bool:
        """Whether the command is this viewer's, or its person's from elsewhere."""
        return verdict.sender == self.sender

    def answer(self, verdict: Verdict) -> None:
        """Say the outcome of one of this sender's commands: once, and after *accepted*."""
        if self.outcomes.take(verdict):
            self.say(verdict.text(to_sender=True))

    # what the viewer asks about its frames

    def ack(self, epoch: int, seq: int) -> None:
        """The viewer has drawn this frame. From the first time on it is held to two unacknowledged."""
        self._acks = True
        while self._unacked and self._unacked[0] <= (epoch, seq):
            self._unacked.popleft()
        if self._slot is not None:
            self._plan()

    def rate(self, fps: float) -> None:
        """The viewer wants at most so many frames a second; 0: none until it says otherwise."""
        self.fps = fps if fps < ALL_FRAMES else math.inf
        self._gap = 1 / self.fps if fps > 0 else math.inf
        self._next_frame_at = time.monotonic() if fps > 0 else math.inf
        self._plan()

    def resync(self) -> None:
        """Forget what was shown and what was to be, so that the next frame is sent whatever its number."""
        self._slot = None
        self._shown = (-1, -1)
        self._unacked.clear()
        self._plan()

    def change_role(self, role: str) -> None:
        """From now on only frames of this role are sent."""
        self.role = role
        self.resync()

    # sending

    async def room(self) -> None:
        """Wait until little is in the lane: whoever asks fast is answered as fast as it reads."""
        while not self._is_roomy() and self.close_code is None:
            self._roomy.clear()
            await self._roomy.wait()

    async def pump(self) -> None:
        """Send what there is until the viewer is closed, by us or by one send that takes too long.

        Raises what the server's send raises, which is that the socket is gone.
        """
        self._loop = asyncio.get_running_loop()
        self._turns = turns()
        self._over = self._loop.create_future()
        self._context = copy_context()
        self._plan()
        try:
            await self._over
        finally:
            self._over.cancel()
            self._ready = False
            self._stop_timers()
            if self._sending is not None:
                self._sending.cancel()

    def _plan(self) -> None:
        """Go on soon: outside of whatever task has something to say."""
        self._ready = False
        if not self._planned and self._sending is None and self._turns is not None:
            self._planned = True
            self._turns.ask(self._go_on)

    def _go_on(self) -> None:
        """Send what there is, as far as the server takes it at once. In the loop, and in no task."""
        self._planned = False
        if self._over is None or self._over.done() or self._sending is not None:
            return
        try:
            while (text := self._next()) is not None:
                rest = self._send(text) if self._is_bare else self._context.run(self._send, text)
                if rest is not None:
                    self._wait_for(rest)
                    return
        except BaseException as exc:
            self._broken(exc)
            return
        if self.close_code is not None and not self._lane:
            self._end()
        elif self._slot is not None or self._turn is not None or self._late is not None:
            self._come_back()
        waits = self._lane or self._slot is not None or self._planned or self.close_code is not None
        self._ready = not waits and not self._gap

    def _broken(self, exc: BaseException) -> None:
        """A send has raised: the socket is gone. Called where it is caught."""
        if isinstance(exc, asyncio.CancelledError):
            self._end(ConnectionAbortedError("a send was broken off"))
            return
        self._end(exc)
        if not isinstance(exc, Exception):
            raise exc

    def _end(self, exc: BaseException | None = None) -> None:
        """Nothing more is sent; the pump raises this, where there is any."""
        self._ready = False
        if self._over is None or self._over.done():
            return
        if exc is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(exc)

    def _wait_for(self, rest: Coroutine[Any, Any, None]) -> None:
        """The server takes no more for now, or needs a task to take it; a send has so much time."""
        assert self._loop is not None
        self._ready = False
        limit = min(self._slow * (1 + SPREAD * random.random()), self._drain_by - time.monotonic())
        self._sending = self._loop.create_task(rest, context=self._context)
        self._sending.add_done_callback(self._sent)
        self._late = self._loop.call_later(limit, self._too_late)

    def _too_late(self) -> None:
        self.close(CloseCode.TOO_SLOW)
        self._clear_lane()
        if self._sending is not None:
            self._given_up = True
            self._sending.cancel()

    def _sent(self, sending: asyncio.Task[None]) -> None:
        self._sending = None
        self._stop_timers()
        if self._over is None or self._over.done():
            return
        if sending.cancelled():
            if self._given_up:
                self._go_on()
            else:
                self._end(ConnectionAbortedError("a send was broken off"))
        elif exc := sending.exception():
            self._end(exc)
        else:
            self._go_on()

    def _come_back(self) -> None:
        """When a frame that waits for its turn has it."""
        self._stop_timers()
        if self._slot is None or self._loop is None or not self._gap or self._next_frame_at == math.inf:
            return
        if not (self._acks and len(self._unacked) >= UNACKED_LIMIT):
            delay = max(0.001, self._next_frame_at - time.monotonic())
            self._turn = self._loop.call_later(delay, self._go_on)

    def _stop_timers(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _next(self) -> str | None:
        if self._lane and (text := self._next_message()) is not None:
            return text
        return None if self._slot is None else self._next_frame()

    def _next_message(self) -> str | None:
        """The first of the lane, in which there is one."""
        text = self._lane.popleft()
        self._lane_bytes -= _size(text)
        if self._is_roomy():
            self._roomy.set()
        return text

    def _next_frame(self) -> str | None:
        feed = self._slot
        if feed is None or ((self._acks or self._gap) and self._paced()):
            return None
        self._slot = None
        text = None if feed.newest is None else self._taken(feed, feed.newest)
        if text is not None and self._gap:
            self._next_frame_at = time.monotonic() + self._gap
        return text

    def _taken(self, feed: Feed, frame: Frame) -> str | None:
        """What is to be sent to show the feed's newest frame, as if it were; None where there is nothing."""
        number = frame.number
        if number <= self._shown:
            return None
        text = frame.delta if frame.base == self._shown else feed.whole()
        if not text:
            return None
        self._shown = number
        self._sent_frames += 1
        if self._acks:
            self._unacked.append(number)
        return text

    def _is_roomy(self) -> bool:
        return len(self._lane) <= ROOMY and self._lane_bytes <= LANE_BYTES // 2

    def _waits_for_us(self) -> bool:
        """Whether it is this process that has not come to send yet, and neither viewer nor server."""
        return self._planned or (self._sending is not None and self._sending.done())

    def _clear_lane(self) -> None:
        self._lane.clear()
        self._lane_bytes = 0

    def _paced(self) -> bool:
        if self._acks and len(self._unacked) >= UNACKED_LIMIT:
            return True
        return bool(self._gap) and time.monotonic() < self._next_frame_at


def _size(text: str) -> int:
    """Bytes that a message takes on its way."""
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
