"""A socket opened with `?format=html`: it is sent fragments for htmx, and takes no commands."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from django.http import HttpRequest, parse_cookie
from django.utils import translation
from django.utils.safestring import SafeString

from django_livesim import conf
from django_livesim.bus.feed import Feed
from django_livesim.bus.viewer import Viewer
from django_livesim.bus.wire import Send
from django_livesim.consumers.fragments import Subject
from django_livesim.consumers.painter import Painter, messages, shared
from django_livesim.protocol.errors import BadArgs, Code, LivesimError
from django_livesim.protocol.names import CloseCode

JSON, HTML = "json", "html"
FORMATS = (JSON, HTML)


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

    A message stays in the lane until it is rendered: they stay in order, and what holds of those that wait
    to be sent holds of those that wait to be rendered.
    """

    def __init__(self, send: Send, *, subject: Subject, language: str, **options: Any) -> None:
        super().__init__(send, **options)
        self._subject = subject
        self._messages = messages(subject, language, self)
        self._making: tuple[str, asyncio.Future[SafeString | None]] | None = None  # of the lane's first
        self._giving_up: asyncio.TimerHandle | None = None
        self._feed: Feed | None = None
        self._painter = self._join()
        self.fps = float(conf.settings.HTML_RATE)

    def _join(self) -> Painter:
        painter = shared(Painter, self._subject, self.role, self._messages.language)
        painter.viewers.add(self)
        return painter

    # frames

    def show(self, feed: Feed) -> None:
        """Have the feed's newest frame rendered, and sent; what has been rendered already at once."""
        self._feed = feed
        if self.fps > 0 and self.close_code is None:
            self._painter.look(feed)
        self.show_painted()

    def show_now(self, feed: Feed) -> None:
        if self in self._painter.viewers:  # it has not left meanwhile
            self.show(feed)

    def show_painted(self) -> None:
        super().show(self._painter.painted)

    def change_role(self, role: str) -> None:
        """From now on only what is rendered for this role is sent."""
        super().change_role(role)
        self._painter.leave(self)
        self._painter = self._join()

    def rate(self, fps: float) -> None:
        """As any viewer; but more than are rendered are of no use, and none is rendered for one at rest."""
        super().rate(fps)
        self.fps = min(self.fps, float(conf.settings.HTML_RATE))
        if self._feed is not None:
            self.show(self._feed)

    def count(self) -> tuple[int, int]:
        """Frames that are passed over here are none that the process could not pass on."""
        super().count()
        return 0, 0

    async def pump(self) -> None:
        try:
            await super().pump()
        finally:
            self._painter.leave(self)
            self._messages.leave(self)
            if self._giving_up is not None:
                self._giving_up.cancel()

    # messages

    def say(self, text: str) -> None:
        """Have a message rendered and sent in its turn, unless there is no template for such."""
        if not self._messages.is_silent(text):
            super().say(text)

    def close(self, code: CloseCode) -> None:
        """As any viewer; what waits is rendered in the time in which it may be sent."""
        if self.close_code is None:
            super().close(code)
            self._giving_up = asyncio.get_running_loop().call_later(self._slow, self._give_up)

    def _give_up(self) -> None:
        self._clear_lane()
        self._plan()

    def _next_message(self) -> str | None:
        """The first of the lane that comes to any HTML; None while that is being made."""
        while self._lane:
            first = self._lane[0]
            if self._making is None or self._making[0] is not first:
                if self._messages.is_silent(first):
                    super()._next_message()
                    continue
                self._make(first)
            assert self._making is not None
            made = self._making[1]
            if not made.done():
                return None
            self._making = None
            super()._next_message()
            html = self._messages.trouble() if made.result() is None else made.result()
            if html:
                return html
        return None

    def _make(self, text: str) -> None:
        made = self._messages.html(text)
        self._making = text, made
        if text is self._newest:
            self._newest = ""  # it is not taken back any more: else a fast producer would never be heard
        if not made.done():
            made.add_done_callback(lambda _: self._plan())
