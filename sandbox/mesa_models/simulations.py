"""Two models that come with Mesa, unchanged, live on a page.

A Mesa model cannot be stored. It is played again from tick 0 with the seed
and the commands of the run instead (`recovery = "replay"`).
"""

from __future__ import annotations

from typing import Annotated, Any

from mesa.examples import BoidFlockers
from mesa.examples import Schelling as SchellingModel

from django_livesim import Limits, Simulation, register


@register
class Schelling(Simulation):
    """Schelling's segregation: people move until enough of their neighbours are like them."""

    tick_rate = 4
    recovery = "replay"
    script = "mesa_models/schelling.js"

    def setup(
        self,
        size: Annotated[int, Limits(ge=5, le=60)] = 40,
        density: Annotated[float, Limits(ge=0.1, le=0.95)] = 0.9,
        homophily: Annotated[float, Limits(ge=0, le=1)] = 0.6,
    ) -> None:
        self.model = SchellingModel(size, size, density, homophily=homophily, seed=self.run.seed)
        # Mesa would keep a row for every agent and step, for as long as the run lives.
        self.model.datacollector.collect = lambda model: None

    def step(self, dt: float) -> None:
        self.model.step()

    def view(self, role: str) -> dict[str, Any]:
        people = [[*agent.cell.coordinate, agent.type, agent.happy] for agent in self.model.agents]
        return {"width": self.model.grid.width, "height": self.model.grid.height, "people": people}

    def metrics(self) -> dict[str, float]:
        return {"happy": self.model.happy, "people": len(self.model.agents)}


@register
class Boids(Simulation):
    """Reynolds's boids: birds that keep together, keep apart and fly the same way."""

    tick_rate = 10
    recovery = "replay"
    script = "mesa_models/boids.js"

    def setup(self, birds: Annotated[int, Limits(ge=1, le=300)] = 100) -> None:
        self.model = BoidFlockers(population_size=birds, seed=self.run.seed)

    def step(self, dt: float) -> None:
        self.model.step()

    def view(self, role: str) -> dict[str, Any]:
        birds = [[*boid.position.tolist(), *boid.direction.tolist()] for boid in self.model.agents]
        return {"size": self.model.space.size.tolist(), "birds": birds}
