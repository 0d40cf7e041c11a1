from __future__ import annotations

from django.urls import path

from sandbox.chat.consumers import Echo, EchoAnywhere

websocket_urlpatterns = [
    path("chat/", Echo.as_asgi()),
    path("anywhere/<path:path>", EchoAnywhere.as_asgi()),
]
