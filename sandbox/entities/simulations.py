"""Entities with a position and a velocity; everybody who is at the socket gets a report every ten steps."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from django.utils import timezone

from django_livesim import Limits, Refused, Simulation, command, register
from sandbox.entities.shared import GROUP, KEY

FASTEST, FARTHEST = 100.0, 1e6
MOST, LONGEST = 100, 1000  # entities, and characters of what is known of one


def check_pair(entity_data: dict[str, Any], name: str, limit: float) -> None:
    """Refuse what is no pair of numbers; an entity without one of the two stays where it is."""
    if name not in entity_data:
        return
    pair = entity_data[name]
    if not isinstance(pair, list) or len(pair) != 2:
        raise Refused(f"{name!r} is a list of two numbers; got {repr(pair)[:80]}")
    for value in pair:
        if isinstance(value, bool) or not isinstance(value, int | float) or not -limit <= value <= limit:
            raise Refused(f"{name!r} holds two numbers from {-limit:g} to {limit:g}; got {repr(value)[:80]}")


@register
class Entities(Simulation):
    """Entities that move by their velocity. Anybody may add one, start it and stop it."""

    tick_rate = 10
    report_every = 10
    may_start = "anyone"
    open_commands = True
    script = "entities/entities.js"

    def setup(self) -> None:
        self.state = {"entities": {}, "time": 0}

    def step(self, dt: float) -> None:
        self.state["time"] += 1
        for entity in self.state["entities"].values():
            if "position" in entity and "velocity" in entity:
                (x, y), (dx, dy) = entity["position"], entity["velocity"]
                entity["position"] = [x + dx, y + dy]
        if self.state["time"] % self.report_every == 0 and self.run.key == KEY:
            self.group_send(GROUP, {"type": "simulation.update", "state": self.view("view")})

    def view(self, role: str) -> dict[str, Any]:
        """With the clock, which is read here and not in `step`: the rules give the same again."""
        return self.state | {"last_update": str(timezone.now())}

    @command
    def add_entity(
        self,
        entity_id: Annotated[str, Limits(min_length=1, max_length=40)],
        entity_data: Annotated[
            dict[str, Any], 'As JSON, for example {"position": [0, 0], "velocity": [0.1, 0.05]}.'
        ],
    ) -> None:
        """Add an entity, or put it in the place of another of that name."""
        entities = self.state["entities"]
        if entity_id not in entities and len(entities) >= MOST:
            raise Refused(f"there are {MOST} entities already")
        if len(orjson.dumps(entity_data)) > LONGEST:
            raise Refused(f"entity_data has at most {LONGEST} characters of JSON")
        check_pair(entity_data, "position", FARTHEST)
        check_pair(entity_data, "velocity", FASTEST)
        entities[entity_id] = entity_data

    @command
    def clear(self) -> None:
        """Take out all entities."""
        self.state["entities"] = {}
