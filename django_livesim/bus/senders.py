"""Who sent a command, for those of a hub's viewers who may know it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection

from django_livesim.bus.rows import Rows
from django_livesim.bus.seldom import Seldom
from django_livesim.bus.viewer import Viewer
from django_livesim.protocol import frames
from django_livesim.protocol.frames import Verdict

MOST = 1000  # names that are kept, and things to be told that wait for them
KEPT = 60.0  # seconds for which a name is taken for the same
LIMIT = 1.0  # seconds that a verdict waits for a name, before it is told without

Act = Callable[[], None]

logger = logging.getLogger(__name__)
seldom = Seldom(logger)


class Senders:
    """Tells verdicts with their senders' names, and what else is said, in the order in which they come.

    A name is read once a minute, all that wait by one query; where the database is slow or gone, or too much
    waits, verdicts are told without. Used in its hub's loop, in which `run` goes on until it is cancelled.
    """

    def __init__(self, rows: Rows, viewers: Collection[Viewer]) -> None:
        """The hub adds to `viewers`, and takes away."""
        self.knowing = rows.know_senders
        """The roles that are told who sent a command."""
        self._rows = rows
        self._viewers = viewers
        self._names: OrderedDict[str, tuple[str, float]] = OrderedDict()  # and until when they are kept
        self._waiting: deque[Verdict | Act] = deque()
        self._some = asyncio.Event()

    def tell(self, verdict: Verdict) -> None:
        """Tell those who may know the sender: now where it is known, and nothing waits before it."""
        if self._waiting or self._is_unknown(verdict.sender):
            self._wait_with(verdict)
        else:
            self._tell(verdict)

    def then(self, viewer: Viewer, act: Act) -> None:
        """Do what says something else to a viewer; to one who may know the senders, after what waits."""
        if self._waiting and viewer.role in self.knowing:
            self._wait_with(act)
        else:
            act()

    def _wait_with(self, one: Verdict | Act) -> None:
        self._waiting.append(one)
        if len(self._waiting) > MOST:
            self._let_out(len(self._waiting))
        else:
            self._some.set()

    def _let_out(self, count: int) -> None:
        for _ in range(min(count, len(self._waiting))):
            one = self._waiting.popleft()
            if isinstance(one, Verdict):
                self._tell(one)
            else:
                one()

    async def run(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            count = len(self._waiting)
            senders = {each.sender for each in self._waiting if isinstance(each, Verdict)}
            await self._read({each for each in senders if self._is_unknown(each)})
            self._let_out(count)
            if self._waiting:
                self._some.set()

    def _tell(self, verdict: Verdict) -> None:
        name, _ = self._names.get(verdict.sender, ("", 0.0))
        text = verdict.text(to_sender=False, by=frames.sender(verdict.sender, name))
        for viewer in self._viewers:
            if viewer.role in self.knowing and not viewer.is_sender(verdict):
                viewer.say(text)

    def _is_unknown(self, sender: str) -> bool:
        if not sender.startswith("u:") or self._rows.names is None:
            return False
        return self._names.get(sender, ("", 0.0))[1] < time.monotonic()

    async def _read(self, senders: set[str]) -> None:
        if not senders or self._rows.names is None:
            return
        try:
            async with asyncio.timeout(LIMIT):
                found = await self._rows.names(sorted(senders))
        except Exception:
            seldom.warning("The names of those who send commands could not be read", exc_info=True)
            return
        until = time.monotonic() + KEPT
        for sender in senders:
            self._names[sender] = (found.get(sender, ""), until)
            self._names.move_to_end(sender)
        while len(self._names) > MOST:
            self._names.popitem(last=False)
