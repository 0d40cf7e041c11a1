"""Runs that harm their worker when they are told to, once."""

from __future__ import annotations

import ctypes
import itertools
import os
import time
from pathlib import Path

from django_livesim import Simulation, command, register


@register
class Harmful(Simulation):
    tick_rate = 20

    def setup(self) -> None:
        self.state = {"steps": 0, "how": "", "file": ""}

    def step(self, dt: float) -> None:
        self.state["steps"] += 1
        file = Path(self.state["file"])
        if self.state["how"] and not file.exists():
            file.touch()
            HARMS[self.state["how"]]()

    @command
    def harm(self, how: str, file: str) -> None:
        self.state |= {"how": how, "file": file}


@register
class Hurried(Harmful):
    """One whose steps may not take long."""

    step_timeout = 0.5


def hang() -> None:
    while True:
        try:
            time.sleep(0.1)
        except Exception:  # as authors do
            continue


HARMS = {
    "exit": lambda: os._exit(0),
    "crash": lambda: ctypes.string_at(0),
    "hang": hang,
    "hold": lambda: ctypes.PyDLL(None).sleep(3),  # no other thread of this process runs meanwhile
    "spin": lambda: sum(itertools.repeat(0)),  # in C, which looks at no signal
}
