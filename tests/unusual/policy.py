"""The strictest policy for every page but the admin's: its scripts and styles have no nonces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django

OWN = {"script-src": ["'self'"], "style-src": ["'self'"]}

if django.VERSION >= (6, 0):
    from django.conf import settings
    from django.middleware.csp import ContentSecurityPolicyMiddleware as MIDDLEWARE
    from django.views.decorators.csp import csp_override

    def relaxed(view: Callable[..., Any]) -> Callable[..., Any]:
        return csp_override(settings.POLICY | OWN)(view)

else:
    from csp.decorators import csp_replace
    from csp.middleware import CSPMiddleware as MIDDLEWARE

    def relaxed(view: Callable[..., Any]) -> Callable[..., Any]:
        return csp_replace(OWN)(view)


__all__ = ["MIDDLEWARE", "relaxed"]
