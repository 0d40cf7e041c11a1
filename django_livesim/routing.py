"""The host's ASGI application with our socket and channel in it; may be imported before `django.setup()`."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
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


async def _runs(scope: Scope, receive: Receive, send: Send) -> None:
    from django_livesim.worker import RunsConsumer

    await RunsConsumer.as_asgi()(scope, receive, send)


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Accepts and closes: a browser would retry a refused handshake for ever."""
    if (await receive())["type"] == "websocket.connect":
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": int(CloseCode.NOT_FOUND)})


websocket_urlpatterns = [path("ws/livesim/runs/<uuid:run>/", _socket)]  # type: ignore[arg-type]
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

    nowhere = re_path(r"", _nowhere)  # type: ignore[arg-type]
    router = URLRouter([*websocket_urlpatterns, *websocket, nowhere])
    if sys.argv[1:2] == ["runworker"] and RUNS_CHANNEL in sys.argv[2:]:
        from django_livesim.worker import start_background

        start_background()
    return ProtocolTypeRouter(
        {
            "http": _Started(http),
            "websocket": _Started(OriginGuard(_Identified(router))),
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


class _Identified:
    """Puts session and user into the scope, where the host has these apps."""

    def __init__(self, inner: Application) -> None:
        self.inner = inner
        self._stack: Application | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._stack is None:
            self._stack = self._make_stack()
        await self._stack({**scope, "livesim.send": send}, receive, send)

    def _make_stack(self) -> Application:
        from django.apps import apps

        if not all(apps.is_installed(f"django.contrib.{name}") for name in ("auth", "sessions")):
            return self.inner
        from channels.auth import AuthMiddlewareStack

        return AuthMiddlewareStack(self.inner)
