"""Which pages may open a socket: those of the site itself, and `CSRF_TRUSTED_ORIGINS`.

A socket carries the user's cookies wherever the page came from, so the check is
that of Django's CSRF protection: scheme, host and port. A client that is no
browser sends no `Origin` and is let through; it has no cookies of others.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import SplitResult, urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost, ImproperlyConfigured
from django.http import HttpRequest
from django.utils.http import is_same_domain

logger = logging.getLogger(__name__)

Origin = tuple[str, str, int]
"""Scheme, host and port."""

PORTS = {"http": 80, "https": 443}


class OriginGuard:
    """Refuses the handshake of a page that is not the site's own."""

    def __init__(self, application: Callable[..., Awaitable[None]]) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if is_allowed(scope):
            await self.application(scope, receive, send)
            return
        logger.warning("A socket was refused to the origin %.200r", _headers(scope, b"origin"))
        await receive()
        await send({"type": "websocket.close", "code": 4403})


def is_allowed(scope: dict[str, Any]) -> bool:
    """Whether the page that opens this socket may."""
    origins = _headers(scope, b"origin")
    if not origins:
        return True
    origin = _parts(origins[0]) if len(origins) == 1 else None
    return origin is not None and (origin == _own_origin(scope) or _is_trusted(origin))


def _parts(text: str) -> Origin | None:
    """The parts of an origin; None where it is none, such as "null" or a malformed one."""
    try:
        split: SplitResult = urlsplit(text)
        port = split.port or PORTS.get(split.scheme)
    except ValueError:
        return None
    if split.scheme not in PORTS or not split.hostname or not port:
        return None
    if split.path or split.query or split.fragment or "@" in split.netloc:
        return None
    return split.scheme, split.hostname, port


class _Handshake(HttpRequest):
    """Enough of a request for Django to say which host and scheme it came to."""

    def __init__(self, scope: dict[str, Any]) -> None:
        super().__init__()
        self._is_tls = scope.get("scheme") == "wss"
        for name, value in scope.get("headers", ()):
            key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
            self.META[key] = (
                f"{self.META[key]},{value.decode('latin-1')}" if key in self.META else value.decode("latin-1")
            )
        host, port = (scope.get("server") or ("unknown", None))[:2]
        self.META |= {"SERVER_NAME": host, "SERVER_PORT": str(port or (443 if self._is_tls else 80))}

    def _get_scheme(self) -> str:
        return "https" if self._is_tls else "http"


def _own_origin(scope: dict[str, Any]) -> Origin | None:
    """The site's own origin; None where the request names a host that is not in ALLOWED_HOSTS."""
    request = _Handshake(scope)
    try:
        return _parts(f"{request.scheme}://{request.get_host()}")
    except (DisallowedHost, ImproperlyConfigured):
        return None


def _is_trusted(origin: Origin) -> bool:
    """Whether `CSRF_TRUSTED_ORIGINS` names it, where `https://*.example.com` is every subdomain."""
    scheme, host, port = origin
    for text in settings.CSRF_TRUSTED_ORIGINS:
        trusted = _parts(text.replace("://*.", "://."))
        if trusted and (scheme, port) == (trusted[0], trusted[2]) and is_same_domain(host, trusted[1]):
            return True
    return False


def _headers(scope: dict[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope.get("headers", ()) if key.lower() == name]
