"""What those who watch a run as HTML are shown: rendered once for all of one role and language."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary, WeakSet, WeakValueDictionary

from django.http import HttpRequest
from django.utils import translation
from django.utils.safestring import SafeString, mark_safe

from django_livesim import conf
from django_livesim.bus.feed import Feed, Frame
from django_livesim.consumers.brush import Brush, brush
from django_livesim.consumers.fragments import (
    FAILED,
    LATE,
    SILENT,
    Subject,
    kind_of,
    notice,
    of_frame,
    of_message,
)

logger = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds that a template may take before viewers are told
LANGUAGES = 8  # in which a run is told at once in this process, besides that of the site
KEPT = 64  # messages whose HTML is kept, for the next viewer
ALL = "all"

T = TypeVar("T")


class Shown(Protocol):
    """A viewer."""

    def show_painted(self) -> None:
        """There is something newer in `Painter.painted`."""


class Turn(asyncio.Lock):
    """To have a frame rendered: who waits longest is the next, and what is the newest then is rendered."""

    def __init__(self, simulation: str) -> None:
        super().__init__()


class Painter:
    """Renders the newest frame of a role, in one language, at most `HTML_RATE` times a second.

    In its hub's loop. Frames that come meanwhile are passed over for newer ones, and the last one is always
    rendered. Where a template raises, or takes long, viewers keep what was rendered last, with a notice.
    """

    def __init__(self, subject: Subject, role: str, language: str) -> None:
        self.painted = Feed()
        """The newest HTML, as frames with numbers of its own."""
        self.viewers: WeakSet[Shown] = WeakSet()
        self._subject, self._role, self._language = subject, role, language
        self._brush: Brush[Any] = brush(subject.simulation, "frames")
        self._turn = shared(Turn, subject.simulation)
        self._source: Feed | None = None  # where there is something to be rendered
        self._seen = (-1, -1)
        self._next_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self._good = SafeString()
        self._was_bad = False
        self._count = 0

    def look(self, feed: Feed) -> None:
        """Have the feed's newest frame rendered, unless a newer one was: that which is the newest then."""
        frame = feed.newest
        if frame is None or frame.role not in (ALL, self._role) or frame.number <= self._seen:
            return
        self._source = feed
        self._begin()

    def leave(self, viewer: Shown) -> None:
        """Let a viewer go; with the last one, rendering ends."""
        self.viewers.discard(viewer)
        if not self.viewers and self._task is not None:
            self._task.cancel()
            self._source, self._seen = None, (-1, -1)  # what was to be rendered was perhaps not

    def _begin(self) -> None:
        if self._task is None and self._source is not None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._work(), name=f"livesim-html-{self._subject.id.hex}")
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception():
            logger.error("HTML frames failed: run=%s", self._subject.id, exc_info=task.exception())
        self._begin()

    async def _work(self) -> None:
        """Until there is nothing newer. Cancelled, it leaves the thread to end what it renders."""
        loop = asyncio.get_running_loop()
        while self._source is not None:
            await asyncio.sleep(self._next_at - time.monotonic())
            late = loop.call_later(PATIENCE, self._show, LATE)
            try:
                async with self._turn:
                    await self._paint(self._source)
            finally:
                late.cancel()

    async def _paint(self, feed: Feed) -> None:
        self._source = None
        frame, text = feed.newest, feed.whole()
        if frame is None or not text:
            return
        self._seen = frame.number
        self._next_at = time.monotonic() + 1 / conf.settings.HTML_RATE
        html = await self._brush.do(partial(of_frame, self._subject, self._role, self._language, text))
        if html is None:
            self._show(FAILED)
        else:
            self._good = html
            self._show()

    def _show(self, trouble: Any = "") -> None:
        self._was_bad = self._was_bad or bool(trouble)
        text = self._good
        if self._was_bad:  # whoever was told of it is to be told that it is over, whatever they pass over
            text = mark_safe(text + notice(self._subject, self._language, trouble))  # noqa: S308  (both are safe)
        newest = self.painted.newest
        if not text or (newest is not None and newest.text == text):
            return
        self._count += 1
        self.painted.take(Frame(role=self._role, epoch=0, seq=self._count, tick=0, text=text))
        for viewer in list(self.viewers):
            viewer.show_painted()


class Messages:
    """All other messages of a run in one language, each rendered once for all viewers."""

    def __init__(self, subject: Subject, language: str) -> None:
        self.language = language
        self.viewers: WeakSet[Any] = WeakSet()
        self._subject = subject
        self._told = shared(Told, subject.id)
        self._told.add(self)
        self._brush: Brush[Any] = brush(subject.simulation, "messages")
        self._silent: set[str] = set()  # types of messages that have no template
        self._made: OrderedDict[str, asyncio.Future[SafeString | None]] = OrderedDict()

    def is_silent(self, text: str) -> bool:
        """Whether it is known that there is no template for a message of this type."""
        return kind_of(text) in self._silent

    def html(self, text: str) -> asyncio.Future[SafeString | None]:
        """The message as HTML: empty where it has no template, None where that failed. Never cancel it."""
        made = self._made.get(text)
        if made is None or (made.done() and made.result() is None):
            made = self._made[text] = self._brush.do(partial(of_message, self._subject, self.language, text))
            made.add_done_callback(partial(self._note, kind_of(text)))
            if len(self._made) > KEPT:
                self._made.popitem(last=False)
        return made

    def _note(self, kind: str, made: asyncio.Future[SafeString | None]) -> None:
        if not made.cancelled() and made.result() is SILENT:
            self._silent.add(kind)

    def trouble(self) -> SafeString:
        """What is shown in place of one that failed."""
        return notice(self._subject, self.language, FAILED)

    def leave(self, viewer: Any) -> None:
        """Let a viewer go; with the last one, nothing more is rendered."""
        self.viewers.discard(viewer)
        if not self.viewers:
            for made in self._made.values():
                made.cancel()
            self._made.clear()


class Told(WeakSet[Messages]):
    """What tells of one run: in a few languages at once, since each costs a thread its time."""

    def __init__(self, run: UUID) -> None:
        super().__init__()

    def language(self, wish: str) -> str:
        """In which somebody is told who wishes for this: the site's where there are too many others."""
        others = {each.language for each in self if each.viewers} - {site_language()}
        return wish if wish in others or len(others) < LANGUAGES else site_language()


def site_language() -> str:
    """That of who wishes for none."""
    return translation.get_language_from_request(HttpRequest())


def messages(subject: Subject, wish: str, viewer: Any) -> Messages:
    """Those that the viewer is told, who would like to have them in this language."""
    found = shared(Messages, subject, shared(Told, subject.id).language(wish))
    found.viewers.add(viewer)
    return found


_shared: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, Any]] = (
    WeakKeyDictionary()
)


def shared(make: Callable[..., T], *about: Hashable) -> T:
    """`make(*about)`, the same for all who have it in this event loop; it goes with the last of them."""
    kept = _shared.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    found: T | None = kept.get((make, *about))
    if found is None:
        found = kept[(make, *about)] = make(*about)
    return found
