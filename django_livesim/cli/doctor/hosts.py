"""Under which names the site is reached, and whose pages may open its sockets."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from channels.security.websocket import OriginValidator
from django.conf import settings
from django.utils.module_loading import import_string

from django_livesim import checks
from django_livesim.cli.doctor.finding import Finding, advice, ok, problem


def look_at_hosts() -> Iterator[Finding]:
    """ALLOWED_HOSTS, and the scheme that sockets' origins are compared with."""
    names = ", ".join(settings.ALLOWED_HOSTS)
    if settings.DEBUG and not names:
        yield ok("hosts", "localhost alone, since DEBUG is on")
    elif not names:
        message = "ALLOWED_HOSTS is empty and DEBUG is off: each page answers 400, each socket is refused"
        hint = 'Name the hosts that browsers ask for, as in: ALLOWED_HOSTS = ["sims.example.org"]'
        yield problem("hosts", message, hint)
    elif "*" in settings.ALLOWED_HOSTS:
        message = (
            "ALLOWED_HOSTS has '*'. Expected: the names of the site, with which a socket's origin agrees"
        )
        hint = 'Name them, as in: ALLOWED_HOSTS = ["sims.example.org"]'
        yield advice("hosts", message, hint)
    else:
        yield ok("hosts", names)
    if _is_secure() and not settings.SECURE_PROXY_SSL_HEADER and not _trusts_https():
        yield advice(
            "hosts",
            "the site is https, and nothing tells the server so: behind a proxy that speaks http to it,"
            " each socket is refused",
            hint="Where there is such a proxy, have it set the header, and set:"
            ' SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")'
            '\nor name the origin: CSRF_TRUSTED_ORIGINS = ["https://sims.example.org"]',
        )


def _is_secure() -> bool:
    secure = settings.SECURE_SSL_REDIRECT or settings.SESSION_COOKIE_SECURE or settings.CSRF_COOKIE_SECURE
    return bool(secure and not settings.DEBUG)


def _trusts_https() -> bool:
    return any(urlsplit(origin).scheme == "https" for origin in settings.CSRF_TRUSTED_ORIGINS)


def look_at_origins() -> Iterator[Finding]:
    """Who keeps other sites' pages from opening sockets with the cookies of a visitor."""
    path = getattr(settings, "ASGI_APPLICATION", None)
    if not path:
        return  # the check E006 tells of it
    guards = list(checks.guards_of(import_string(path)))
    if any(not isinstance(guard, OriginValidator) for guard in guards):
        yield ok("origins", "a socket's origin is compared with the site's")
    elif guards:
        yield advice(
            "origins",
            "AllowedHostsOriginValidator compares the host alone, and raises where an origin is malformed."
            " Expected: livesim_application, or OriginGuard",
            hint="In its place put: django_livesim.origins.OriginGuard",
        )
    else:
        yield problem(
            "origins",
            f"nothing in {path} looks at a socket's origin: a page of any site could open one as its visitor",
            hint="Use livesim_application, or put django_livesim.origins.OriginGuard around the sockets.",
        )
