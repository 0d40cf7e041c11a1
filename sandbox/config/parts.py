"""What the installed examples bring along: their sockets and their pages.

An example is a package of the sandbox that stands in `INSTALLED_APPS`. Its `routing.py` has
`websocket_urlpatterns`, its `urls.py` has pages under `/documents/`; it may have neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from django.urls import include, path


def websocket_routes(installed: Iterable[str]) -> list[Any]:
    """The routes of their sockets, for `livesim_application(websocket=...)`."""
    return [route for module in _modules(installed, "routing") for route in module.websocket_urlpatterns]


def pages(installed: Iterable[str]) -> list[Any]:
    """URL patterns of their pages."""
    return [path("documents/", include(module)) for module in _modules(installed, "urls")]


def _modules(installed: Iterable[str], name: str) -> Iterator[Any]:
    for app in installed:
        if app.startswith("sandbox.") and app != "sandbox.config" and find_spec(f"{app}.{name}"):
            yield import_module(f"{app}.{name}")
