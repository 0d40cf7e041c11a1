"""Simulations of which each person, or each browser, has a run of their own; and one that is open to all."""

from __future__ import annotations

from django_livesim import Simulation, command


class Garden(Simulation):
    """Grows for one person."""

    sharing = "per_user"
    may_start = "users"
    when_unwatched = "pause"

    def setup(self, beds: int = 1) -> None:
        self.state = {"beds": beds}

    def step(self, dt: float) -> None:
        pass


class Kiosk(Simulation):
    """Plays for one browser."""

    sharing = "per_session"
    may_start = "anyone"
    when_unwatched = "stop"

    def setup(self) -> None:
        self.state = {}

    def step(self, dt: float) -> None:
        pass


class Arena(Simulation):
    """Whoever may watch it may play."""

    open_commands = True

    def setup(self) -> None:
        self.state = {"value": 0}

    def step(self, dt: float) -> None:
        pass

    @command
    def add(self, n: int = 1) -> None:
        self.state["value"] += n


class Chess(Simulation):
    """Whoever may watch it watches."""

    def setup(self) -> None:
        self.state = {"value": 0}

    def step(self, dt: float) -> None:
        pass

    @command
    def add(self, n: int = 1) -> None:
        self.state["value"] += n
