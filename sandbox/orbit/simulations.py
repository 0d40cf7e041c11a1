"""Bodies with a position and a velocity, and commands that add some while they move."""

from __future__ import annotations

from typing import Annotated, Any

from django_livesim import Click, Limits, Points, Refused, Simulation, command, param, register

SIZE = 100.0  # the box reaches from 0 to SIZE on both axes
Place = Annotated[float, Limits(ge=0, le=SIZE)]
Entity = Annotated[dict[str, Any], 'As JSON, for example {"position": [50, 50], "velocity": [3, -2]}.']


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
    """Bodies drifting in a box: click to add one."""

    tick_rate = 20

    def setup(
        self,
        bodies: Annotated[int, Limits(ge=0, le=500)] = 50,
        gravity: Annotated[
            float, Limits(ge=-20, le=20), "How hard they are pulled down", param(live=True)
        ] = 0.0,
    ) -> None:
        self.state = {"entities": {}, "added": 0}
        for _body in range(bodies):
            self.add(self.random.uniform(0, SIZE), self.random.uniform(0, SIZE))

    @classmethod
    def portray(cls) -> Points:
        box, add = (0, 0, SIZE, SIZE), Click("add")
        return Points(
            "entities", x="position.0", y="position.1", heading="velocity", bounds=box, smooth=True, click=add
        )

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
    def add(self, x: Place, y: Place) -> str:
        """Add a body at a place, which gets a name and a velocity; the answer is the name."""
        name, velocity = f"body-{self.state['added']}", [self.random.uniform(-12, 12) for _axis in "xy"]
        self.state["added"] += 1  # a name that somebody has taken is tried once
        self.add_entity(name, {"position": [x, y], "velocity": velocity})
        return name

    @command
    def add_entity(self, entity_id: str, entity_data: Entity) -> None:
        """Add a body with a name, at a place and with a velocity."""
        if entity_id in self.state["entities"]:
            raise Refused("that body is there already")
        if len(self.state["entities"]) >= 1000:
            raise Refused("the box is full: 1000 bodies")
        if surplus := set(entity_data) - {"position", "velocity"}:
            raise Refused(f"entity_data holds position and velocity only; got {', '.join(sorted(surplus))}")
        ranges = {"position": (0, SIZE), "velocity": (-SIZE, SIZE)}
        self.state["entities"][entity_id] = {name: pair(entity_data, name, *ranges[name]) for name in ranges}

    @command
    def remove_entity(self, entity_id: str) -> None:
        """Take a body out."""
        if self.state["entities"].pop(entity_id, None) is None:
            raise Refused(f"there is no body {entity_id!r}")

    def metrics(self) -> dict[str, float]:
        speeds = [body["velocity"] for body in self.state["entities"].values()]
        return {"bodies": len(speeds), "kinetic energy": sum(x * x + y * y for x, y in speeds) / 2}
