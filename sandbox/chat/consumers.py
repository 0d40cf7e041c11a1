"""The echo of the document, and one that hears every path under its own."""

from __future__ import annotations

from channels.generic.websocket import AsyncWebsocketConsumer


class Echo(AsyncWebsocketConsumer):
    """Says what it was told; to nothing it says nothing."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data:
            await self.send(f"You said: {text_data}")


class EchoAnywhere(AsyncWebsocketConsumer):
    """The same at any path of a catch-all route, and says at which."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if text_data:
            await self.send(f"You said at {self.scope['path']}: {text_data}")
