from __future__ import annotations

from channels.routing import URLRouter
from django.urls import path

from sandbox.prog.consumers import HourSocket, ProgSocket

own = [
    path("", ProgSocket.as_asgi()),
    path("hour/", HourSocket.as_asgi()),
]

websocket_urlpatterns = [path("prog/", URLRouter(own))]
