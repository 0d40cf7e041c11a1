"""The process that steps runs: puts store, bus and runtime together.

Importing it needs no configured Django: a child is told things before it has one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_livesim.worker.background import start_background as start_background
    from django_livesim.worker.doorbell import RunsConsumer as RunsConsumer
    from django_livesim.worker.engine import Engine as Engine
    from django_livesim.worker.process import serve as serve

_HOMES = {
    "Engine": "django_livesim.worker.engine",
    "RunsConsumer": "django_livesim.worker.doorbell",
    "serve": "django_livesim.worker.process",
    "start_background": "django_livesim.worker.background",
}

__all__ = ["Engine", "RunsConsumer", "serve", "start_background"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
