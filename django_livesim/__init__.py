"""Long-running simulations that live on a Django website.

What authors and hosts use is here; importing it needs no configured Django.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "BadArgs": "django_livesim.protocol.errors",
    "LivesimError": "django_livesim.protocol.errors",
    "Refused": "django_livesim.protocol.errors",
    "RegistrationError": "django_livesim.protocol.errors",
    "Simulation": "django_livesim.simulation",
    "command": "django_livesim.simulation",
    "register": "django_livesim.registry",
    "Limits": "django_livesim.params",
    "start": "django_livesim.gateway",
    "send": "django_livesim.gateway",
    "astart": "django_livesim.gateway",
    "asend": "django_livesim.gateway",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
