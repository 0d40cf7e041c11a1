"""The host's ASGI application with our socket and channel in it; may be imported before `django.setup()`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter
from django.urls import path, re_path

from django_livesim.protocol.names import RUNS_CHANNEL, CloseCode

__all__ = ["channel_routes", "livesim_application", "websocket_urlpatterns"]

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def _socket(scope: Scope, receive: Receive, send: Send) -> None:
    from django_livesim.consumers import LivesimConsumer

    await LivesimConsumer(scope, receive, send).serve()


async def _list_socket(scope: Scope, receive: Receive, send: Send) -> None:
    from django_livesim.consumers import ListConsumer

    await ListConsumer(scope, receive, send).serve()


async def _runs(scope: Scope, receive: Receive, send: Send) -> None:
    from django_livesim.worker import RunsConsumer

    await RunsConsumer.as_asgi()(scope, receive, send)


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts and closes: a browser would retry a refused handshake for ever."""
    if (await receive())["type"] == "websocket.connect":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": int(CloseCode.NOT_FOUND)})


RUN_ROUTE = "ws/livesim/runs/<uuid:run>/"
LIST_ROUTE = "ws/livesim/runs/"

websocket_urlpatterns = [path(RUN_ROUTE, _socket), path(LIST_ROUTE, _list_socket)]  # type: ignore[arg-type]
"""For a host that builds its own `URLRouter`; needs `AuthMiddlewareStack` around it."""

channel_routes: dict[str, Application] = {RUNS_CHANNEL: _runs}
"""For a host that builds its own `ChannelNameRouter`."""


def livesim_application(
    http: Application, *, websocket: Sequence[Any] = (), channels: Mapping[str, Application] | None = None
) -> ProtocolTypeRouter:
    """The ASGI application of a project: `http`, and sockets and channels, ours and the host's own.

    `websocket` are URL patterns and `channels` is a mapping of channel name to
    application, as for Channels' own routers. Sockets get session and user, and
    a foreign `Origin` is refused.
    """
    from django_livesim.origins import OriginGuard

    ours = path(RUN_ROUTE, _WithSession(_socket))  # type: ignore[arg-type]
    lists = path(LIST_ROUTE, _list_socket)  # type: ignore[arg-type]
    nowhere = re_path(r"", _nowhere)  # type: ignore[arg-type]
    hosts = re_path(r"", _Identified(URLRouter([*websocket, nowhere])))  # type: ignore[arg-type]
    if sys.argv[1:2] == ["runworker"] and RUNS_CHANNEL in sys.argv[2:]:
        from django_livesim.worker import start_background

        start_background()
    return ProtocolTypeRouter(
        {
            "http": _Started(http),
            "websocket": _Started(OriginGuard(_Mounted(URLRouter([ours, lists, hosts])))),
            "channel": ChannelNameRouter({**channel_routes, **(channels or {})}),
        }
    )


class _Started:
    """Has the embedded worker started, where there is to be one, by the first request."""

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from django_livesim.bus.layers import set_home
        from django_livesim.embedded import ensure_started

        set_home()
        ensure_started()
        await self.application(scope, receive, send)


class _Mounted:
    """Routes by the path below the one that the project is mounted at.

    That is `root_path`, as a server is told it, or `FORCE_SCRIPT_NAME`. A proxy may have taken it away
    already, and a server may have put it back: both are right, as they are for Django's own requests.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from django.conf import settings

        below: str = scope["path"]
        for mounted in (scope.get("root_path"), settings.FORCE_SCRIPT_NAME):
            prefix = (mounted or "").rstrip("/") + "/"
            if prefix != "/" and below.startswith(prefix):
                below = below[len(prefix) - 1 :]
                break
        await self.application({**scope, "path_remaining": below}, receive, send)


def _has_sessions() -> bool:
    from django.apps import apps

    return all(apps.is_installed(f"django.contrib.{name}") for name in ("auth", "sessions"))


class _WithSession:
    """Puts the session that the cookie names into the scope, and does not load it.

    Who that is our socket asks by itself, when it has accepted and can say
    that the database is away; and not in the one thread of Channels.
    """

    def __init__(self, inner: Application) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _has_sessions():
            scope = {**scope, "session": self._session(scope)}
        await self.inner(scope, receive, send)

    def _session(self, scope: Scope) -> Any:
        from django.conf import settings
        from django.http import parse_cookie

        engine = import_module(settings.SESSION_ENGINE)
        cookies = [value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"]
        return engine.SessionStore(parse_cookie("; ".join(cookies)).get(settings.SESSION_COOKIE_NAME))


class _Identified:
    """Puts session and user into the scope of the host's own sockets, where it has these apps."""

    def __init__(self, inner: Application) -> None:
        self.inner = inner
        self._stack: Application | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._stack is None:
            self._stack = self._make_stack()
        await self._stack(scope, receive, send)

    def _make_stack(self) -> Application:
        if not _has_sessions():
            return self.inner
        from channels.auth import AuthMiddlewareStack

        return AuthMiddlewareStack(self.inner)
