"""Bodies with a position and a velocity, and a command that adds one while they move."""

from __future__ import annotations

from typing import Annotated, Any

from django_livesim import Limits, Refused, Simulation, command, param, register

SIZE = 100.0  # the box reaches from 0 to SIZE on both axes


def pair(entity_data: dict[str, Any], name: str, low: float, high: float) -> list[float]:
    """Two numbers within the limits, from what a stranger sent, or Refused."""
    values = entity_data.get(name)
    if not isinstance(values, list) or len(values) != 2:
        raise Refused(f"entity_data needs {name!r}: a list of two numbers; got {values!r}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise Refused(f"{name!r} must hold two numbers from {low:g} to {high:g}; got {value!r}")
    return [float(value) for value in values]


@register
class Orbit(Simulation):
    """Bodies drifting in a box."""

    tick_rate = 20
    frame_rate = 10
    script = "orbit/orbit.js"

    def setup(
        self,
        bodies: Annotated[int, Limits(ge=0, le=500)] = 50,
        gravity: Annotated[
            float, Limits(ge=-20, le=20), "How hard they are pulled down", param(live=True)
        ] = 0.0,
    ) -> None:
        entities = {}
        for number in range(bodies):
            position = [self.random.uniform(0, SIZE), self.random.uniform(0, SIZE)]
            velocity = [self.random.uniform(-12, 12), self.random.uniform(-12, 12)]
            entities[f"body-{number}"] = {"position": position, "velocity": velocity}
        self.state = {"size": SIZE, "entities": entities}

    def step(self, dt: float) -> None:
        for body in self.state["entities"].values():
            position, velocity = body["position"], body["velocity"]
            velocity[1] += self.params["gravity"] * dt
            for axis in (0, 1):
                position[axis] += velocity[axis] * dt
                if not 0 <= position[axis] <= SIZE:
                    position[axis] = min(max(position[axis], 0.0), SIZE)
                    velocity[axis] = -velocity[axis]

    @command
    def add_entity(self, entity_id: str, entity_data: dict) -> None:  # type: ignore[type-arg]
        """Add a body: {"position": [x, y], "velocity": [vx, vy]}."""
        entities = self.state["entities"]
        if entity_id in entities:
            raise Refused("that body is there already")
        if len(entities) >= 1000:
            raise Refused("the box is full: 1000 bodies")
        surplus = set(entity_data) - {"position", "velocity"}
        if surplus:
            raise Refused(f"entity_data holds position and velocity only; got {', '.join(sorted(surplus))}")
        entities[entity_id] = {
            "position": pair(entity_data, "position", 0, SIZE),
            "velocity": pair(entity_data, "velocity", -SIZE, SIZE),
        }

    @command
    def remove_entity(self, entity_id: str) -> None:
        """Take a body out."""
        if self.state["entities"].pop(entity_id, None) is None:
            raise Refused(f"there is no body {entity_id!r}")

    def metrics(self) -> dict[str, float]:
        speeds = [body["velocity"] for body in self.state["entities"].values()]
        return {"bodies": len(speeds), "kinetic energy": sum(x * x + y * y for x, y in speeds) / 2}
