"""Runs that harm their worker, each in the way that it is told, from the tick that it is told on."""

from __future__ import annotations

import ctypes
import itertools
import os
import time
from collections import deque
from typing import Any

from django_livesim import register
from tests.reliability.ledger_app.simulations import OPEN, Ledger

LIMIT = 0.3  # seconds of one step
MUCH = 2 * 2**30  # bytes
SOME = 2**16


def spin() -> None:
    while True:
        pass


def spin_in_c() -> None:
    """Code in C that keeps the interpreter's lock and looks for no signal."""
    deque(itertools.repeat(0), maxlen=0)


def raise_error() -> None:
    raise RuntimeError("this step raises")


HARMS = {
    "raises": raise_error,
    "hangs": spin,
    "sleeps": lambda: time.sleep(1000.0),
    "hangs in C": spin_in_c,
    "allocates": lambda: bytearray(MUCH),
    "hoards": lambda: [bytearray(b"x" * SOME) for _ in range(MUCH // SOME)],
    "crashes": lambda: ctypes.string_at(0),
    "exits": lambda: os._exit(3),
}


def mark(how: str) -> None:
    """A line of the log from which on the harm is done."""
    os.write(1, f"{time.monotonic():.3f} harm: {how}\n".encode())


@register(**OPEN)
class Harmful(Ledger):
    """Steps well until the tick `after`; the step from there does what `how` says."""

    step_timeout = LIMIT

    def setup(self, how: str, after: int = 0) -> None:
        super().setup()
        self.state |= {"how": how, "after": after}

    def step(self, dt: float) -> None:
        if self.tick >= self.state["after"]:
            mark(self.state["how"])
            HARMS[self.state["how"]]()
        super().step(dt)


@register(frame_rate=10, step_timeout=LIMIT, **OPEN)
def harmful_loop(sim: Any, after: int = 0) -> None:
    """A loop that blocks its thread, and hangs at the tick `after`."""
    while True:
        if sim.tick >= after:
            mark("a blocking loop hangs")
            spin()
        sim.sleep(0.05)
