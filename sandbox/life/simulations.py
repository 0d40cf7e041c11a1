"""Conway's game of life on a torus; whoever watches may switch a cell."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

from django_livesim import Click, Grid, Limits, Refused, Simulation, command, param, register

ALIVE, DEAD = "#", "."
NEIGHBOURS = [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (dx, dy) != (0, 0)]


@register
class Life(Simulation):
    """Conway's game of life: click a cell to switch it."""

    tick_rate = 5
    frame_rate = 5
    open_commands = True

    def setup(
        self,
        width: Annotated[int, Limits(ge=5, le=120), "Cells in a row"] = 60,
        height: Annotated[int, Limits(ge=5, le=120), "Rows"] = 40,
        density: Annotated[float, Limits(ge=0, le=1), "Share of cells alive at the start"] = 0.25,
        noise: Annotated[
            float, Limits(ge=0, le=0.01), "Chance of each dead cell to come alive by itself", param(live=True)
        ] = 0.0,
    ) -> None:
        cells = [(x, y) for y in range(height) for x in range(width) if self.random.random() < density]
        self.state = {"width": width, "height": height, "rows": []}
        self.draw(set(cells))

    @classmethod
    def portray(cls) -> Grid:
        names = {ALIVE: "alive", DEAD: "dead"}
        return Grid("rows", colors={ALIVE: "#2a9d5c"}, names=names, click=Click("toggle"))

    def draw(self, alive: set[tuple[int, int]]) -> None:
        """Write the living cells into the state, a text for each row."""
        columns, rows = range(self.state["width"]), range(self.state["height"])
        self.state["rows"] = ["".join(ALIVE if (x, y) in alive else DEAD for x in columns) for y in rows]
        self.state["alive"] = len(alive)

    def alive(self) -> set[tuple[int, int]]:
        rows = enumerate(self.state["rows"])
        return {(x, y) for y, row in rows for x, cell in enumerate(row) if cell == ALIVE}

    def step(self, dt: float) -> None:
        width, height, alive = self.state["width"], self.state["height"], self.alive()
        counts = Counter(((x + dx) % width, (y + dy) % height) for x, y in alive for dx, dy in NEIGHBOURS)
        born = {cell for cell, count in counts.items() if count == 3 or (count == 2 and cell in alive)}
        self.draw(born | self.woken())

    def woken(self) -> set[tuple[int, int]]:
        """Cells that come alive by themselves."""
        noise = self.params["noise"]
        if not noise:
            return set()
        cells = [(x, y) for y in range(self.state["height"]) for x in range(self.state["width"])]
        return {cell for cell in cells if self.random.random() < noise}

    @command
    def toggle(self, x: Annotated[int, Limits(ge=0)], y: Annotated[int, Limits(ge=0)]) -> bool:
        """Switch one cell; the answer is whether it now lives."""
        width, height = self.state["width"], self.state["height"]
        if x >= width or y >= height:
            raise Refused(f"there is no cell {x}, {y}: the field is {width} by {height}")
        alive = self.alive() ^ {(x, y)}
        self.draw(alive)
        return (x, y) in alive

    @command
    def scatter(self, density: Annotated[float, Limits(ge=0, le=1)] = 0.25) -> None:
        """Begin anew with a random field."""
        cells = [(x, y) for y in range(self.state["height"]) for x in range(self.state["width"])]
        self.draw({cell for cell in cells if self.random.random() < density})

    def metrics(self) -> dict[str, float]:
        return {"alive": self.state["alive"]}
