"""Simulations for the tests of `assert_deterministic`, in a module that other processes can import."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from django_livesim import Simulation, command

WORDS = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen", "ibex", "jay"]


class Good(Simulation):
    """Numbers, texts and nested things, all of them its own."""

    def setup(self, size: int = 3):
        self.state = {"cells": [0] * size, "by_name": {}}

    def step(self, dt):
        cell = self.random.randrange(len(self.state["cells"]))
        self.state["cells"][cell] += 1
        self.state["by_name"][f"tick {self.tick}"] = {"cell": cell}

    @command
    def clear(self, cell: int):
        self.state["cells"][cell] = 0

    @command
    def end(self):
        self.finish(self.state["cells"])


class Played(Good):
    """The same, kept in an object and played again from tick 0."""

    recovery = "replay"

    def setup(self, size: int = 3):
        super().setup(size)
        self.model, self.state = self.state, {}

    def step(self, dt):
        cell = self.random.randrange(len(self.model["cells"]))
        self.model["cells"][cell] += 1

    @command
    def clear(self, cell: int):
        self.model["cells"][cell] = 0

    def view(self, role: str) -> dict[str, Any]:
        return self.model


class Dice(Good):
    """Throws dice that nobody has seeded."""

    def step(self, dt):
        self.state["cells"][1] = random.random()


class Shared(Good):
    """Keeps something on the class, where all runs of a process see it."""

    made: ClassVar[list[int]] = []

    def step(self, dt):
        self.made.append(1)
        self.state["by_name"]["made"] = len(self.made)


class Forgetful(Good):
    """Keeps something on the instance, which a crash loses."""

    count = 0

    def step(self, dt):
        self.count += 1
        self.state["by_name"]["count"] = self.count


class Ordered(Good):
    """Writes down a set in the order in which it comes."""

    def step(self, dt):
        self.state["by_name"] = dict.fromkeys(set(WORDS), 1)


class Wasteful(Good):
    """Draws a number more where it has been loaded; the state does not show it."""

    loaded = False

    def load(self, data):
        super().load(data)
        self.loaded = True

    def step(self, dt):
        if self.loaded:
            self.random.random()
        self.random.random()


class Ending(Good):
    """Ends by something that it does not store."""

    count = 0

    def step(self, dt):
        self.count += 1
        if self.count == 80:
            self.finish()
