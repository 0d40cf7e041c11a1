"""The sockets: `ws/livesim/runs/<uuid>/`, between one viewer and the hub of the run; and that of the list."""

from __future__ import annotations

from django_livesim.consumers.listing import ListConsumer
from django_livesim.consumers.socket import LivesimConsumer

__all__ = ["ListConsumer", "LivesimConsumer"]
