"""A socket opened with `?format=html`: it is sent fragments for htmx, and takes no commands."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from django.http import HttpRequest, parse_cookie
from django.utils import translation
from django.utils.safestring import SafeString

from django_livesim import conf
from django_livesim.bus.feed import Feed
from django_livesim.bus.seldom import Seldom
from django_livesim.bus.viewer import Viewer
from django_livesim.consumers.fragments import Subject
from django_livesim.consumers.painter import Messages, Painter, shared
from django_livesim.protocol.errors import BadArgs, Code, LivesimError

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

JSON, HTML = "json", "html"
FORMATS = (JSON, HTML)
UNRENDERED = 256  # messages that may wait for one viewer to be rendered

Say = Callable[[str], None]


def format_of(scope: Mapping[str, Any]) -> str:
    """In which form a socket wants to be told. Raises BadArgs for one that there is not."""
    asked = _asked(scope, "format", JSON)
    if asked not in FORMATS:
        expected = ", ".join(FORMATS)
        told = f'Expected one of: {expected}. Got: "{asked[:40]}". Without it, messages are JSON.'
        raise BadArgs(f"format: {told}", fields={"format": [told]})
    return asked


def language_of(scope: Mapping[str, Any]) -> str:
    """The language that the socket's address names, or else the one that a page would have by its request."""
    try:
        return translation.get_supported_language_variant(_asked(scope, "language", ""))
    except LookupError:
        request = HttpRequest()
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        request.META["HTTP_ACCEPT_LANGUAGE"] = headers.get(b"accept-language", "")
        request.COOKIES = parse_cookie(headers.get(b"cookie", ""))
        return translation.get_language_from_request(request)


def _asked(scope: Mapping[str, Any], name: str, default: str) -> str:
    query = parse_qs(scope.get("query_string", b"").decode(errors="replace"))
    return query.get(name, [default])[-1]


def downlink_only() -> LivesimError:
    """Why a message of a client's is not taken."""
    return LivesimError(
        "A socket with format=html takes no commands. Post them, as the forms of the run's page do with"
        " hx-post, or send them over a socket without format=html.",
        code=Code.UNKNOWN_COMMAND,
    )


class HtmlViewer(Viewer):
    """A viewer whose frames come from a painter, and whose messages are rendered before they are sent.

    They stay in order; where more wait to be rendered than may wait to be sent, further ones are dropped.
    """

    def __init__(
        self, send: Callable[[str], Awaitable[None]], *, subject: Subject, language: str, **options: Any
    ) -> None:
        super().__init__(send, **options)
        self._subject, self._language = subject, language
        self._messages = shared(Messages, subject, language)
        self._waiting: deque[tuple[str, Say]] = deque()
        self._waiting_newest = ""
        self._rendering = False
        self._painter = self._join()
        self.fps = float(conf.settings.HTML_RATE)

    def _join(self) -> Painter:
        painter = shared(Painter, self._subject, self.role, self._language)
        painter.viewers.add(self)
        return painter

    # frames

    def show(self, feed: Feed) -> None:
        """Have the feed's newest frame rendered, and sent; what has been rendered already at once."""
        self._painter.look(feed)
        self.show_painted()

    def show_painted(self) -> None:
        super().show(self._painter.painted)

    def change_role(self, role: str) -> None:
        """From now on only what is rendered for this role is sent."""
        super().change_role(role)
        self._painter.leave(self)
        self._painter = self._join()

    def rate(self, fps: float) -> None:
        """As any viewer; but more than are rendered are of no use."""
        super().rate(fps)
        self.fps = min(self.fps, float(conf.settings.HTML_RATE))

    def count(self) -> tuple[int, int]:
        """Frames that are passed over here are none that the process could not pass on."""
        super().count()
        return 0, 0

    async def pump(self) -> None:
        try:
            await super().pump()
        finally:
            self._painter.leave(self)

    # messages

    def say(self, text: str) -> None:
        """Have a message rendered, and put into the ordered lane."""
        self._render_later(text, super().say)

    def say_newest(self, text: str) -> None:
        """`say`, in place of what was said last so, where that waits and nothing came after it."""
        if self._waiting and self._waiting[-1][0] is self._waiting_newest:
            self._waiting.pop()
        self._waiting_newest = text
        self._render_later(text, super().say_newest)

    def _render_later(self, text: str, say: Say) -> None:
        if self.close_code is not None:
            return
        if len(self._waiting) >= UNRENDERED:
            seldom.warning("A message was not rendered in time, and is dropped: run=%s", self._subject.id)
            return
        self._waiting.append((text, say))
        self._render_next()

    def _render_next(self) -> None:
        if self._waiting and not self._rendering:
            self._rendering = True
            text, say = self._waiting.popleft()
            self._messages.html(text).add_done_callback(partial(self._rendered, say))

    def _rendered(self, say: Say, made: Any) -> None:
        self._rendering = False
        html: SafeString | None = made.result()
        if html is None:
            html = self._messages.trouble()
        if html:
            say(html)
        self._render_next()
