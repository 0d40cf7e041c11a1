"""The socket `ws/livesim/runs/<uuid>/`: an adapter between one viewer and the hub of the run."""

from __future__ import annotations

from django_livesim.consumers.socket import LivesimConsumer

__all__ = ["LivesimConsumer"]
