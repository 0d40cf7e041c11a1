"""Own loops that harm their worker when they are told to, once."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Any

from django_livesim import register


def obey(sim: Any) -> None:
    """Do what it is told, once."""
    for message in sim.messages():
        file = Path(message.args["file"])
        if not file.exists():
            file.touch()
            LOOP_HARMS[message.name]()


@register
def stubborn(sim: Any) -> None:
    """A loop that does what it is told, for ever or once."""
    while True:
        sim.state["n"] = sim.state.get("n", 0) + 1
        obey(sim)
        sim.sleep(0.05)


@register(step_timeout=0.5)
def hurried_loop(sim: Any) -> None:
    """A loop that may not take long."""
    while True:
        obey(sim)
        sim.sleep(0.05)


@register(step_timeout=0.5)
async def blocks(sim: Any) -> None:
    """A loop that keeps all others of its event loop from running, when it is told to."""
    while True:
        obey(sim)
        await sim.sleep(0.05)


def wait_on_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def hold_the_gil() -> None:
    """No other thread of this process runs meanwhile."""
    ctypes.PyDLL(None).sleep(3600)


LOOP_HARMS = {"lock": wait_on_a_lock, "hold": hold_the_gil, "exit": lambda: os._exit(3)}
