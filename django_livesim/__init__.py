"""Long-running simulations that live on a Django website.

What authors and hosts use is here; importing it needs no configured Django.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django_livesim.gateway import acancel as acancel
    from django_livesim.gateway import apublish_state as apublish_state
    from django_livesim.gateway import asend as asend
    from django_livesim.gateway import asend_to as asend_to
    from django_livesim.gateway import astart as astart
    from django_livesim.gateway import cancel as cancel
    from django_livesim.gateway import on_channel as on_channel
    from django_livesim.gateway import publish_state as publish_state
    from django_livesim.gateway import send as send
    from django_livesim.gateway import send_to as send_to
    from django_livesim.gateway import start as start
    from django_livesim.gateway import task as task
    from django_livesim.jobs import Job as Job
    from django_livesim.params import Limits as Limits
    from django_livesim.params import param as param
    from django_livesim.portrayal import Click as Click
    from django_livesim.portrayal import Grid as Grid
    from django_livesim.portrayal import Network as Network
    from django_livesim.portrayal import Points as Points
    from django_livesim.protocol.errors import BadArgs as BadArgs
    from django_livesim.protocol.errors import LivesimError as LivesimError
    from django_livesim.protocol.errors import Refused as Refused
    from django_livesim.protocol.errors import RegistrationError as RegistrationError
    from django_livesim.protocol.errors import RunHeld as RunHeld
    from django_livesim.protocol.errors import RunLost as RunLost
    from django_livesim.protocol.tables import Table as Table
    from django_livesim.registry import job as job
    from django_livesim.registry import register as register
    from django_livesim.simulation import Simulation as Simulation
    from django_livesim.simulation import command as command
    from django_livesim.worker.attaching import attach as attach

__version__ = "0.1.0"

_HOMES = {
    "BadArgs": "django_livesim.protocol.errors",
    "LivesimError": "django_livesim.protocol.errors",
    "Refused": "django_livesim.protocol.errors",
    "RegistrationError": "django_livesim.protocol.errors",
    "RunHeld": "django_livesim.protocol.errors",
    "RunLost": "django_livesim.protocol.errors",
    "Simulation": "django_livesim.simulation",
    "command": "django_livesim.simulation",
    "Job": "django_livesim.jobs",
    "job": "django_livesim.registry",
    "register": "django_livesim.registry",
    "Limits": "django_livesim.params",
    "param": "django_livesim.params",
    "Table": "django_livesim.protocol.tables",
    "Points": "django_livesim.portrayal",
    "Grid": "django_livesim.portrayal",
    "Network": "django_livesim.portrayal",
    "Click": "django_livesim.portrayal",
    "start": "django_livesim.gateway",
    "send": "django_livesim.gateway",
    "cancel": "django_livesim.gateway",
    "astart": "django_livesim.gateway",
    "asend": "django_livesim.gateway",
    "acancel": "django_livesim.gateway",
    "attach": "django_livesim.worker.attaching",
    "publish_state": "django_livesim.gateway",
    "apublish_state": "django_livesim.gateway",
    "task": "django_livesim.gateway",
    "on_channel": "django_livesim.gateway",
    "send_to": "django_livesim.gateway",
    "asend_to": "django_livesim.gateway",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
