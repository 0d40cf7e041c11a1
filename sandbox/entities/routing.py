from __future__ import annotations

from django.urls import path

from sandbox.entities.consumers import SimulationSocket

websocket_urlpatterns = [path("ws/simulation/", SimulationSocket.as_asgi())]
