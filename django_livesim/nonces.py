"""The nonce of a page's Content Security Policy."""

from __future__ import annotations

from django.http import HttpRequest


def nonce_of(request: HttpRequest | None) -> str | None:
    """The nonce that the middleware of Django 6, or of django-csp, has given a request."""
    for name in ("_csp_nonce", "csp_nonce"):
        nonce = getattr(request, name, None)
        if nonce is not None:
            return str(nonce)
    return None
