"""A web process's one subscription to a run, and the way from there to each viewer.

What it hears may be lost, doubled or reordered. Frames carry numbers, and older
ones are dropped; results are told once for each id, and are read from the rows
where they do not come; status and end are compared with the row every few
seconds. A hub lives in one event loop, from its first viewer to shortly after
its last.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import orjson

from django_livesim.bus.feed import Feed, Frame
from django_livesim.bus.interest import Interest
from django_livesim.bus.large import LARGE, Large
from django_livesim.bus.presence import Presence
from django_livesim.bus.receiver import Receiver
from django_livesim.bus.rows import Facts, Rows
from django_livesim.bus.seldom import Seldom
from django_livesim.bus.senders import Senders
from django_livesim.bus.turns import turns
from django_livesim.bus.viewer import Viewer
from django_livesim.bus.watch import ALL, RowWatch
from django_livesim.protocol.frames import Verdict
from django_livesim.protocol.names import CloseCode, Role, run_group

RESYNC_GAP = 1.0  # seconds between two resyncs of one viewer
LINGER = 1.0  # seconds that a hub stays after its last viewer, for one who reloads the page
FRAME = ("role", "epoch", "seq", "tick", "text", "prev", "delta", "check")
SEEN_LIMIT = 4096  # verdicts that are remembered, so that a doubled one is told once

logger = logging.getLogger(__name__)
seldom = Seldom(logger)


class Hub:
    """See the module. What is not a coroutine is a plain call in the hub's loop."""

    def __init__(self, run_id: UUID, rows: Rows, receiver: Receiver, on_close: Callable[[Hub], None]) -> None:
        self.run_id = run_id
        self.id = uuid4().hex
        self.viewers: set[Viewer] = set()
        self.facts: Facts | None = None
        self.feeds: dict[str, Feed] = {}
        """By role, or for all."""
        self.large: dict[str, Large] = {}
        """Where the newest view was too large to be sent."""
        self.in_doubt = True
        """Whether what was shown last may not be the last there is."""
        self._epoch = 0
        self._told_tick = 0
        """Of what was told last of a run that is produced: several processes may tell of it at once."""
        self._moved = False
        """Whether a worker has spoken that may not have heard yet that somebody watches."""
        self._receiver = receiver
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._watch = RowWatch(self, rows)
        self._interest = Interest(self, receiver)
        self._senders = Senders(rows, self.viewers)
        self._presence = Presence(self.viewers)
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._groups: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._linger: asyncio.TimerHandle | None = None
        self._closed = False

    # viewers

    def join(self, viewer: Viewer, facts: Facts) -> None:
        """Take in a viewer: status first, then the end if there was one, then the newest frame."""
        if self._linger:
            self._linger.cancel()
            self._linger = None
        self.viewers.add(viewer)
        if self.facts and self.facts.sharing != facts.sharing:
            viewer.doubt.set()  # let in by a row that is older, or newer, than ours
        self._tell(viewer, facts)
        if facts.ended:
            viewer.tell_end(facts.end_text, facts.following)
        self._show_newest(viewer)
        self.facts = self.facts or facts
        self._hear_roles()
        if not self._tasks:
            self._start("rows", self._watch.run())
            self._start("interest", self._interest.run())
            self._start("senders", self._senders.run())
        self._watch.ask()
        self._interest.ask()
        self._presence.announce()

    def leave(self, viewer: Viewer) -> None:
        """Let a viewer go; safe to call twice."""
        if viewer not in self.viewers:
            return
        self.viewers.discard(viewer)
        if self._closed:
            return
        self._interest.note_wish(viewer.role, viewer.fps)
        self._presence.announce()
        if self.viewers:
            self._hear_roles()
        else:
            self._linger = self._loop.call_later(LINGER, self.close)

    def change_role(self, viewer: Viewer, role: Role) -> None:
        """The viewer has gained or lost a right, and may see another view from now on."""
        viewer.change_role(role)
        self._hear_roles()
        self._renew(viewer)

    def rate(self, viewer: Viewer, fps: float) -> None:
        """The viewer wants at most so many frames a second; where it matters, the worker is told."""
        before = viewer.fps
        viewer.rate(fps)
        self._interest.note_wish(viewer.role, max(before, viewer.fps))

    def resync(self, viewer: Viewer) -> None:
        """Show the viewer the newest frame again, and have the worker send one; at most once a second."""
        if viewer.resync_waits:
            return
        delay = viewer.next_resync_at - time.monotonic()
        if delay > 0:
            viewer.resync_waits = True
            self._loop.call_later(delay, self._resync, viewer)
        else:
            self._resync(viewer)

    def _resync(self, viewer: Viewer) -> None:
        viewer.resync_waits = False
        viewer.next_resync_at = time.monotonic() + RESYNC_GAP
        if viewer in self.viewers:
            viewer.resync()
            self._renew(viewer)

    def _renew(self, viewer: Viewer) -> None:
        self._show_newest(viewer)
        self.in_doubt = True
        self._interest.ask()

    def close(self, code: CloseCode = CloseCode.RESTARTING) -> None:
        """End everything: what viewers are left, the subscription, the tasks."""
        if self._closed:
            return
        self._closed = True
        for viewer in self.viewers:
            viewer.close(code)
        if self._linger:
            self._linger.cancel()
        self._presence.stop()
        for group in self._groups:
            self._receiver.leave(group)
        for task in self._tasks:
            task.cancel()
        self._on_close(self)

    def _start(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work, name=f"livesim-hub-{what}-{self.run_id.hex}")
        self._tasks.append(task)
        task.add_done_callback(self._check_task)

    def _check_task(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception():
            logger.error(
                "hub failed run=%s task=%s; its viewers connect again",
                self.run_id,
                task.get_name(),
                exc_info=task.exception(),
            )
            self.close()

    def _hear_roles(self) -> None:
        """Listen to the groups of the roles that watch, and to the one for all."""
        roles = {ALL} | {str(viewer.role) for viewer in self.viewers if viewer.by_role}
        wanted = {run_group(self.run_id, role) for role in roles}
        for group in wanted - self._groups:
            self._receiver.join(group, self.hear, self._joined)
        for group in self._groups - wanted:
            self._receiver.leave(group)
        for role in self.feeds.keys() - roles:
            del self.feeds[role]
        self.large = {role: each for role, each in self.large.items() if role in roles}
        self._groups = wanted

    def _show_newest(self, viewer: Viewer) -> None:
        for role in (ALL, viewer.role):
            if feed := self.feeds.get(role):
                viewer.show(feed)

    @property
    def shows(self) -> bool:
        """Whether there is anything to be seen."""
        return any(feed.newest for feed in self.feeds.values())

    def newest(self, role: str) -> Frame | None:
        """The frame that was shown last in this role, or to all."""
        feed = self.feeds.get(role) or self.feeds.get(ALL)
        return feed.newest if feed else None

    # what is heard

    def hear(self, message: dict[str, Any]) -> None:
        """Take one message of the bus. Never raises."""
        handle = self._HANDLERS.get(message.get("type"))
        try:
            if handle and not self._closed:
                handle(self, message)
        except Exception:
            seldom.warning("A malformed message on the bus was dropped: run=%s", self.run_id, exc_info=True)

    def _joined(self) -> None:
        """From now on messages arrive; what was said before is asked for."""
        self.in_doubt = True
        for viewer in self.viewers:
            viewer.outcomes.hurry()
        self._watch.ask()
        self._interest.ask()

    def _hear_frame(self, message: dict[str, Any]) -> None:
        self.take_frame(Frame(**{name: message[name] for name in FRAME if name in message}))

    def _hear_large(self, message: dict[str, Any]) -> None:
        self.take_large(Large.decode(message))

    def _hear_lane(self, message: dict[str, Any]) -> None:
        text, kind, epoch = message["text"], message.get("kind"), message.get("epoch", self._epoch)
        if epoch < self._epoch:  # of a worker that has lost the run
            return
        if epoch > self._epoch:  # what it was told before this, it was told before it had the run
            self._epoch, self._moved = epoch, True
            self._watch.ask()
        if self._is_produced:
            if message["tick"] < self._told_tick:
                return
            self._told_tick = message["tick"]
        if kind == "status":
            self._note_status(orjson.loads(text))
        following = orjson.loads(text).get("next") if kind == "end" else None
        for viewer in self.viewers:
            if kind == "end":
                self._senders.then(viewer, partial(viewer.tell_end, text, following))
            elif kind == "status" and self._is_produced:
                self._senders.then(viewer, partial(viewer.say_newest, text))
            else:
                self._senders.then(viewer, partial(viewer.say, text))

    def _note_status(self, status: dict[str, Any]) -> None:
        """Keep what viewers are told now, which is told again where the row cannot be read."""
        known = self.facts
        if known is None:  # nobody watches
            return
        self.facts = known.after(status)
        if self.facts.is_news_after(known):
            self._watch.heard_status()
            self._watch.ask()
        for viewer in self.viewers:
            viewer.told_status = self.facts.told()
            viewer.told_end = viewer.told_end and self.facts.ended

    @property
    def _is_produced(self) -> bool:
        return self.facts is not None and self.facts.produced

    def _hear_verdict(self, message: dict[str, Any]) -> None:
        verdict = Verdict.decode(message)
        key = (verdict.sender, verdict.id)
        if key in self._seen:
            return
        self._seen[key] = None
        if len(self._seen) > SEEN_LIMIT:
            self._seen.popitem(last=False)
        self.in_doubt = True  # until a frame shows what it did
        others = verdict.text(to_sender=False)
        is_wanted = False  # by somebody who may know who sent it
        for viewer in self.viewers:
            if viewer.is_sender(verdict):
                self._senders.then(viewer, partial(viewer.answer, verdict))
            elif viewer.role in self._senders.knowing:
                is_wanted = True
            else:
                viewer.say(others)
        if is_wanted:
            self._senders.tell(verdict)

    def _hear_look(self, message: dict[str, Any]) -> None:
        self._watch.ask()

    _HANDLERS: dict[Any, Callable[[Hub, dict[str, Any]], None]] = {
        "livesim.frame": _hear_frame,
        LARGE: _hear_large,
        "livesim.lane": _hear_lane,
        "livesim.verdict": _hear_verdict,
        "livesim.look": _hear_look,
    }

    # what the rows say

    def take_facts(self, facts: Facts) -> None:
        """Tell viewers what has changed since they were last told."""
        known = self.facts
        if facts.produced:
            if known and (facts.epoch, facts.tick) < (self._epoch, self._told_tick):
                facts = replace(known, sharing=facts.sharing)  # it was read before what was told last
            else:
                self._epoch, self._told_tick = facts.epoch, facts.tick
        self.facts = facts
        if known is None or known.worker != facts.worker or self._moved:
            self.in_doubt, self._moved = True, False
            self._interest.ask()
        for viewer in self.viewers:
            if known and known.sharing != facts.sharing:
                viewer.doubt.set()
            self._tell(viewer, facts)

    def take_frame(self, frame: Frame) -> None:
        """Show a frame, unless a newer one was shown."""
        feed = self.feeds.get(frame.role)
        if feed is None:
            feed = self.feeds[frame.role] = Feed(self._interest.ask)
        newest, large = feed.newest, self.large.get(frame.role)
        if frame.epoch < self._epoch or frame.number <= feed.number:
            return
        if large and frame.number <= large.number:
            return
        if frame.epoch > self._epoch:
            self._epoch = frame.epoch
        is_shown = feed.take(frame)
        if feed.misses:
            self._interest.ask()
        if not is_shown:
            if newest:
                what = "was lost on its way, or does not fit"
                seldom.warning("A frame %s, and a whole one is asked for: run=%s", what, self.run_id)
            return
        self.in_doubt = False
        if self.large.pop(frame.role, None):
            self.tell_all()
        if newest and frame.shows_the_same(newest):
            return
        if self._watch.is_blind or self._watch.is_silent:
            self._watch.ask()  # that may be over
        turns().show(self.viewers, feed)
        self._interest.weigh(frame)

    def take_large(self, large: Large) -> None:
        """Tell that the newest view is not shown, unless a newer one was."""
        newest, known = self.newest(large.role), self.large.get(large.role)
        if large.epoch < self._epoch or (newest and large.number <= newest.number):
            return
        self._epoch = large.epoch
        self.in_doubt = False  # a whole one that is asked for is as large
        self.large[large.role] = large
        if known is None:
            self.tell_all()

    def hears(self) -> bool:
        """Whether messages arrive, as far as is known."""
        return self._receiver.hears()

    def tell_all(self) -> None:
        """Tell viewers what keeps them from seeing what there is, and what no longer does."""
        for viewer in self.viewers:
            if self.facts is not None:
                self._tell(viewer, self.facts)

    def _tell(self, viewer: Viewer, facts: Facts) -> None:
        told = facts.told()
        large = self.large.get(ALL) or self.large.get(viewer.role)
        if trouble := "; ".join(filter(None, (self._watch.trouble(facts), large.reason if large else ""))):
            facts = replace(facts, reason="; ".join(filter(None, (facts.reason, trouble))))
            told = (*facts.told(), facts.tick)  # which no frame shows
        if viewer.told_status != told:
            viewer.told_status = told
            viewer.say(facts.status_text)
        viewer.told_end = viewer.told_end and facts.ended
