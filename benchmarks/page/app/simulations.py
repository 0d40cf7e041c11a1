"""Many that move, and many figures."""

from __future__ import annotations

from django_livesim import Points, Simulation, Table, register

SIZE = 100.0


@register
class Flock(Simulation):
    """A thousand points at 20 frames a second, and 20 plots."""

    tick_rate = 20
    frame_rate = 20
    tables = (Table("birds", x=0.01, y=0.01, u=0.01, v=0.01, kind=int),)

    def setup(self, birds: int = 1000, figures: int = 20) -> None:
        uniform = self.random.uniform
        self.state = {"figures": figures, "birds": {}}
        for number in range(birds):
            place = {"x": uniform(0, SIZE), "y": uniform(0, SIZE), "u": uniform(-9, 9), "v": uniform(-9, 9)}
            self.state["birds"][f"bird-{number}"] = place | {"kind": number % 7}

    @classmethod
    def portray(cls) -> Points:
        return Points("birds", color="kind", bounds=(0, 0, SIZE, SIZE), smooth=True)

    def step(self, dt: float) -> None:
        for bird in self.state["birds"].values():
            for place, speed in (("x", "u"), ("y", "v")):
                bird[place] += bird[speed] * dt
                if not 0 < bird[place] < SIZE:
                    bird[speed] = -bird[speed]

    def metrics(self) -> dict[str, float]:
        places = [bird["x"] for bird in self.state["birds"].values()]
        return {f"sum {number:02}": sum(places[number::7]) for number in range(self.state["figures"])}
