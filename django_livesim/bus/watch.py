"""The hub's eye on the rows: what messages did not say, or said and lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING

from django.db import DatabaseError, InterfaceError

from django_livesim import conf
from django_livesim.bus.feed import Frame
from django_livesim.bus.large import Large
from django_livesim.bus.rows import Facts, Rows
from django_livesim.bus.seldom import Seldom
from django_livesim.bus.viewer import Viewer
from django_livesim.protocol import frames
from django_livesim.protocol.names import CloseCode, Status

if TYPE_CHECKING:
    from django_livesim.bus.hub import Hub

INTERVAL = 5.0  # seconds between two looks at the row
GAP = 0.1  # seconds between two looks, at least
ROUND = 200  # outcomes that are asked for in one query
BEATS = 2.5  # of a worker's beats, for which it may be silent
PATIENCE = 1.0  # seconds for a frame, or an end, to come from the worker before the rows say it

DEAF = "shown late, since no messages from its worker arrive; the run goes on, and takes commands"
BLIND = "the database does not answer; no command is taken, and the run waits for it"
SILENT = "its worker gives no sign of life; the run waits, and goes on by itself"

AWAY = (DatabaseError, InterfaceError, OSError, TimeoutError)
"""What a reading raises where the database does not answer; anything else is wrong with what was read."""

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

ALL = "all"


class RowWatch:
    """Reads a run's row when asked to and every few seconds, and outcomes that are overdue."""

    def __init__(self, hub: Hub, rows: Rows) -> None:
        self._hub = hub
        self._rows = rows
        self._asked = asyncio.Event()
        self._born = time.monotonic()
        self._ended_at: float | None = None
        self._heard = True  # whether messages arrived when the row was read last
        self._beat: tuple[object, ...] = ()  # of the run's worker, as it was read last,
        self._beat_at = 0.0  # and when that was read first
        self.is_blind = False
        """Whether the row could not be read, the last time."""
        self.is_silent = False
        """Whether the run's worker has not beaten between two readings, for longer than it may."""
        self._statuses = 0  # changes heard, to notice one that came while the row was read

    def ask(self) -> None:
        """Have the row read soon."""
        self._asked.set()

    def heard_status(self) -> None:
        """A row that is being read now may be older than what was just heard."""
        self._statuses += 1

    def trouble(self, facts: Facts) -> str:
        """What keeps viewers from seeing what there is, or the run from going on, as far as is known here."""
        if facts.ended:
            return ""
        if self.is_blind:
            return BLIND
        if facts.status != Status.RUNNING or not facts.worker:
            return ""
        if self.is_silent:
            return SILENT
        return "" if self._hub.hears() else DEAF

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self._asked.clear()
            try:
                await self._read_row()
                await self._read_answers()
            except Exception as exc:
                seldom.warning("The rows of run=%s could not be read", self._hub.run_id, exc_info=True)
                if isinstance(exc, AWAY):
                    self.is_blind = True
                    self._hub.tell_all()  # what a later reading gives, takes it back
                await asyncio.sleep(1.0)
            look_at = time.monotonic() + INTERVAL
            await asyncio.sleep(GAP)
            await self._sleep_until(look_at)

    async def _sleep_until(self, look_at: float) -> None:
        """Until somebody asks, it is time to look, an outcome is overdue, or we are deaf, or no more so."""
        while not self._asked.is_set() and self._hub.hears() is self._heard:
            queries = (viewer.outcomes.next_query_at() for viewer in self._hub.viewers)
            first = min([look_at, *(at for at in queries if at is not None)])
            now = time.monotonic()
            if first <= now:
                return
            with contextlib.suppress(TimeoutError):
                # At most half a second, since a command that is sent meanwhile does not wake this.
                async with asyncio.timeout(min(0.5, first - now)):
                    await self._asked.wait()

    async def _read_row(self) -> None:
        hub = self._hub
        self._heard = hub.hears()
        for _again in range(3):
            statuses = self._statuses
            facts = await self._rows.facts(hub.run_id)
            if statuses == self._statuses:
                break
        if facts is None:
            hub.close(CloseCode.DELETED)
            return
        self.is_blind = False
        self._note_beat(facts)
        hub.take_facts(facts)
        self._note_end(facts)
        await self._read_stored_views(facts)

    def _note_beat(self, facts: Facts) -> None:
        """Time the silence of the worker by our own clock, as its peers do."""
        now, beat = time.monotonic(), (facts.worker, facts.beat)
        if beat != self._beat:
            self._beat, self._beat_at = beat, now
        self.is_silent = facts.beat is not None and now - self._beat_at >= BEATS * conf.settings.BEAT

    def _note_end(self, facts: Facts) -> None:
        """Tell of an end that the worker has not told of in time."""
        if not facts.ended:
            self._ended_at = None
            return
        now = time.monotonic()
        if self._ended_at is None:
            self._ended_at = now
            self._ask_later()
        elif now - self._ended_at >= PATIENCE:
            for viewer in self._hub.viewers:
                viewer.tell_end(facts.end_text, facts.following)

    def _ask_later(self) -> None:
        asyncio.get_running_loop().call_later(PATIENCE, self._asked.set)

    async def _read_stored_views(self, facts: Facts) -> None:
        """Show what was stored, where no worker shows anything newer."""
        hub = self._hub
        held = facts.worker is not None
        if held and not hub.shows and time.monotonic() - self._born < PATIENCE:
            self._ask_later()
            return
        by_role = {str(viewer.role) for viewer in hub.viewers if viewer.by_role}
        in_doubt = hub.in_doubt
        if not held:
            hub.in_doubt = False  # nobody shows anything newer than what is read now
        for role in by_role or {ALL}:
            newest, large = hub.newest(role), hub.large.get(role)
            if large and (held or facts.tick <= large.tick):
                continue
            if newest and (held or not (in_doubt or facts.tick > newest.tick)):
                continue
            try:
                stored = await self._rows.stored_view(hub.run_id, role)
            except Exception:
                hub.in_doubt = True
                raise
            if stored:
                self._take_stored(role, facts, *stored)

    def _take_stored(self, role: str, facts: Facts, tick: int, body: bytes) -> None:
        known = (self._hub.newest(role), self._hub.large.get(role))
        newest = max((each for each in known if each), key=lambda each: each.number, default=None)
        seq = 0
        if newest and newest.epoch >= facts.epoch:
            if newest.epoch > facts.epoch or tick < newest.tick:  # never an older state after a newer one
                return
            seq = newest.seq + 1
        if facts.produced:
            seq = tick
        if len(body) > (most := conf.settings.MAX_FRAME_BYTES):
            number = {"epoch": facts.epoch, "seq": seq, "tick": tick}
            self._hub.take_large(Large(role=role, size=len(body), most=most, **number))
            return
        text = frames.snapshot(facts.epoch, seq, tick, body)
        self._hub.take_frame(Frame(role=role, epoch=facts.epoch, seq=seq, tick=tick, text=text))

    async def _read_answers(self) -> None:
        now = time.monotonic()
        asked = [(viewer, each) for viewer in self._hub.viewers for each in viewer.outcomes.overdue(now)]
        if not asked:
            return
        asked.sort(key=lambda pair: (pair[0].sender, pair[1]))
        for start in range(0, len(asked), ROUND):
            await self._read_round(asked[start : start + ROUND])

    async def _read_round(self, asked: list[tuple[Viewer, str]]) -> None:
        wanted = sorted({(viewer.sender, each) for viewer, each in asked})
        verdicts = await self._rows.answers(self._hub.run_id, wanted)
        answers = {(verdict.sender, verdict.id): verdict for verdict in verdicts}
        for viewer, each in asked:
            if verdict := answers.get((viewer.sender, each)):
                viewer.answer(verdict)
