"""The template of seed document 000; CHANGES says what is different."""

import asyncio
import datetime
import json
import os
import sys
import time

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "benchmarks.baseline.settings")
django.setup()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.consumer import AsyncConsumer  # noqa: E402
from channels.layers import get_channel_layer  # noqa: E402
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.worker import Worker  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.urls import path  # noqa: E402

from benchmarks.live.state import RATE, entities  # noqa: E402


class SimulationConsumer(AsyncConsumer):
    """Consumer that handles simulation commands and updates"""

    # This will be our in-memory state
    simulation_state = {
        "entities": entities(int(os.environ.get("ENTITIES", "100"))),
        "time": 0,
        "last_update": str(datetime.datetime.now()),
    }
    update_task = None

    async def start_simulation(self, event):
        """Start the simulation if it's not already running"""
        if self.update_task is None or self.update_task.done():
            self.update_task = asyncio.create_task(self.run_simulation())

    async def stop_simulation(self, event):
        """Stop the simulation if it's running"""
        if self.update_task and not self.update_task.done():
            self.update_task.cancel()
            try:
                await self.update_task
            except asyncio.CancelledError:
                pass
            self.update_task = None

    async def add_entity(self, event):
        """Add an entity to the simulation"""
        entity_id = event.get("entity_id")
        entity_data = event.get("entity_data", {})
        self.simulation_state["entities"][entity_id] = entity_data

    async def run_simulation(self):
        """Run the simulation loop - our long-running process"""
        channel_layer = get_channel_layer()
        try:
            while True:
                # Update simulation time
                self.simulation_state["time"] += 1
                self.simulation_state["last_update"] = str(datetime.datetime.now())

                # Update entities based on simulation rules
                for entity_id, entity in list(self.simulation_state["entities"].items()):
                    # Example: move entities
                    if "position" in entity and "velocity" in entity:
                        entity["position"] = [
                            entity["position"][0] + entity["velocity"][0],
                            entity["position"][1] + entity["velocity"][1],
                        ]

                # Report state periodically
                self.simulation_state["sent"] = time.time() * 1000
                await channel_layer.group_send(
                    "simulation_updates",
                    {
                        "type": "simulation.update",
                        "state": self.simulation_state,
                    },
                )

                # Sleep to control simulation speed
                await asyncio.sleep(1 / RATE)
        except asyncio.CancelledError:
            raise
        except Exception as e:
            print(f"Error in simulation loop: {e}")


class SimulationWebSocketConsumer(AsyncConsumer):
    """WebSocket consumer that provides access to the simulation"""

    async def websocket_connect(self, event):
        # Accept the connection
        await self.send(
            {
                "type": "websocket.accept",
            }
        )

        # Add the connection to the simulation_updates group
        await self.channel_layer.group_add("simulation_updates", self.channel_name)

    async def websocket_disconnect(self, event):
        # Remove the connection from the simulation_updates group
        await self.channel_layer.group_discard("simulation_updates", self.channel_name)

    async def websocket_receive(self, event):
        # Parse the message and forward to simulation
        try:
            message = json.loads(event["text"])
            command_type = message.get("command")

            if command_type in ["start_simulation", "stop_simulation", "add_entity"]:
                await self.channel_layer.send("simulation", {"type": command_type, **message})
        except json.JSONDecodeError:
            await self.send({"type": "websocket.send", "text": json.dumps({"error": "Invalid JSON"})})

    async def simulation_update(self, event):
        # Forward simulation updates to the client
        await self.send(
            {
                "type": "websocket.send",
                "text": json.dumps({"type": "update", "state": event["state"]}),
            }
        )


application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        "websocket": AuthMiddlewareStack(
            URLRouter(
                [
                    path("ws/simulation/", SimulationWebSocketConsumer.as_asgi()),
                ]
            )
        ),
        "channel": ChannelNameRouter(
            {
                "simulation": SimulationConsumer.as_asgi(),
            }
        ),
    }
)


def run_worker():
    """Run the simulation worker"""
    channel_layer = get_channel_layer()

    # Create a worker that listens to the 'simulation' channel
    worker = Worker(application, ["simulation"], channel_layer)

    # Start the simulation when the worker starts
    from asgiref.sync import async_to_sync

    async_to_sync(channel_layer.send)("simulation", {"type": "start_simulation"})

    # Run the worker (this is blocking)
    worker.run()


if __name__ == "__main__":
    sys.modules.setdefault("benchmarks.baseline.simulation_worker", sys.modules["__main__"])
    run_worker()
