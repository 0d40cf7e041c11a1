"""A run that harms its worker when it is told to, once, and notes before whose code it is."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from django_livesim import Simulation, command, register
from django_livesim.models import Run
from django_livesim.worker import Engine

ENGINES: list[Any] = []


def _remember(init: Any = Engine.__init__) -> None:
    def made(self: Engine, **options: Any) -> None:
        init(self, **options)
        ENGINES.append(options.get("notes"))

    Engine.__init__ = made


_remember()


@register
class Harmful(Simulation):
    tick_rate = 20

    def setup(self) -> None:
        self.state = {"steps": 0, "how": "", "file": "", "limit": 0.0}

    def step(self, dt: float) -> None:
        self.state["steps"] += 1
        file = Path(self.state["file"])
        if self.state["how"] and not file.exists():
            file.touch()
            ENGINES[-1].steps.enter(
                self.run.id, Run.objects.get(id=self.run.id).epoch, float(self.state["limit"])
            )
            HARMS[self.state["how"]]()
            ENGINES[-1].steps.leave()

    @command
    def harm(self, how: str, file: str, limit: float = 0.0) -> None:
        self.state |= {"how": how, "file": file, "limit": limit}


def hang() -> None:
    while True:
        time.sleep(0.1)


HARMS = {
    "exit": lambda: os._exit(0),
    "crash": lambda: ctypes.string_at(0),
    "hang": hang,
    "hold": lambda: ctypes.PyDLL(None).sleep(3),  # no other thread of this process runs meanwhile
}
