"""Simulations that portray themselves, for the eye."""

from __future__ import annotations

from typing import Annotated, Any

from django_livesim import Click, Grid, Network, Points, Simulation, Table, command, param, register

HOSTILE = '<img src=x onerror="document.title=1">{{7*7}}<script>document.title=2</script>'
BOX = (0, 0, 100, 100)


@register
class Plotted(Simulation):
    """Two large marks that stand still, one with texts that want to be markup."""

    tick_rate = 20
    frame_rate = 20

    def setup(self) -> None:
        entities = {
            "red": {"x": 25, "y": 25, "kind": "r"},
            HOSTILE: {"x": 75, "y": 75, "kind": "b", HOSTILE: HOSTILE},
        }
        self.state = {"entities": entities, "added": [], "time": 0}

    @classmethod
    def portray(cls) -> Points:
        colors = {"r": "#ff0000", "b": "#0000ff"}
        click = Click("add", args={"kind": "g"})
        look: dict[str, Any] = {"colors": colors, "legend": HOSTILE, "size": 10, "label": True}
        return Points("entities", color="kind", bounds=BOX, click=click, **look)

    def step(self, dt: float) -> None:
        self.state["time"] += 1

    @command
    def add(self, x: float, y: float, kind: str) -> None:
        self.state["added"].append([x, y])

    @command
    def end(self) -> None:
        self.finish()


@register
class Board(Simulation):
    """Cells that can be switched, and counters that stand on them."""

    tick_rate = 20
    frame_rate = 20

    def setup(self) -> None:
        self.state = {"rows": ["....", ".#..", "....", "...."], "counters": [[2.5, 2.5]], "switched": []}

    @classmethod
    def portray(cls) -> list[Any]:
        cells = Grid("rows", colors={"#": "#00ff00"}, click=Click("switch"))
        return [cells, Points("counters", x="0", y="1", color="#ff00ff", size=0.5)]

    def step(self, dt: float) -> None: ...

    @command
    def switch(self, x: int, y: int) -> None:
        row = self.state["rows"][y]
        self.state["rows"][y] = row[:x] + ("." if row[x] == "#" else "#") + row[x + 1 :]
        self.state["switched"].append([x, y])


@register
class Web(Simulation):
    """Nodes without places; those that are marked are of another colour."""

    tick_rate = 20
    frame_rate = 20

    def setup(self, nodes: int = 12) -> None:
        self.state = {
            "nodes": [{"name": f"n{number}", "marked": False} for number in range(nodes)],
            "links": [{"source": f"n{number}", "target": f"n{number // 2}"} for number in range(1, nodes)],
            "marked": [],
        }

    @classmethod
    def portray(cls) -> Network:
        colors = {True: "#ff00ff", False: "#00ff00"}
        mark = Click("mark", id="node")
        return Network("nodes", "links", id="name", color="marked", colors=colors, click=mark)

    def step(self, dt: float) -> None: ...

    @command
    def mark(self, node: str) -> None:
        for each in self.state["nodes"]:
            each["marked"] = each["marked"] or each["name"] == node
        self.state["marked"].append(node)


GARBAGE: list[Any] = [
    None,
    0,
    "text",
    [],
    {},
    [None, 1, "a", [], {}],
    {"a": None, "b": {"x": None, "y": "5"}, "c": {"x": 1e308, "y": -1e308}, "d": {"x": 1, "y": 2}},
    [[1, 2, [3]], "ab", None, [{}, [], True]],
    [{"x": 1, "y": 1, "source": {}, "target": None, "kind": [], "at": [1, "2"]}],
    {"__proto__": {"x": 1, "y": 1}, "constructor": 5, "": {"x": -5, "y": 3}},
]


@register
class Garbled(Simulation):
    """Its view is another kind of nonsense each step; at last it is one that can be drawn."""

    tick_rate = 20
    frame_rate = 20

    def setup(self, steps: int = 60) -> None:
        self.state = {"steps": steps}

    @classmethod
    def portray(cls) -> list[Any]:
        every: dict[str, Any] = {"color": "kind", "size": "x", "label": "kind", "heading": "at"}
        return [
            Grid("some", width="x.y"),
            Grid("some"),
            Points("some", **every, smooth=True, bounds="other"),
            Network("some", "other", **every),
            Points("good", color="#ff0000", size=2),
        ]

    def step(self, dt: float) -> None: ...

    def view(self, role: str) -> dict[str, Any]:
        if self.tick > self.state["steps"]:
            return {"good": [{"x": 5, "y": 5}], "x": {"y": 3}}
        other = GARBAGE[self.tick // len(GARBAGE) % len(GARBAGE)]
        return {"some": GARBAGE[self.tick % len(GARBAGE)], "other": other, "x": {"y": other}}


@register
class Crowd(Simulation):
    """Many that move, with all that a page can have: a picture, figures and a parameter to be set."""

    tick_rate = 20
    frame_rate = 20
    tables = (Table("birds", x=0.01, y=0.01, u=0.01, v=0.01, kind=int),)

    def setup(self, birds: int = 1000, calm: Annotated[bool, param(live=True)] = False) -> None:
        uniform = self.random.uniform
        self.state = {
            "birds": {
                f"bird-{number}": {
                    "x": uniform(0, 100),
                    "y": uniform(0, 100),
                    "u": uniform(-9, 9),
                    "v": uniform(-9, 9),
                    "kind": number % 7,
                }
                for number in range(birds)
            }
        }

    @classmethod
    def portray(cls) -> Points:
        return Points("birds", color="kind", bounds=BOX, smooth=True)

    def step(self, dt: float) -> None:
        if self.params["calm"]:
            return
        for bird in self.state["birds"].values():
            for place, speed in (("x", "u"), ("y", "v")):
                bird[place] += bird[speed] * dt
                if not 0 < bird[place] < 100:
                    bird[speed] = -bird[speed]

    def metrics(self) -> dict[str, float]:
        return {"birds": len(self.state["birds"])}
