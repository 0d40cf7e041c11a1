"""The one run that everybody shares: how it is called, who is told of it, and who may do what with it."""

from __future__ import annotations

from typing import Any

SIMULATION = "entities"
KEY = "sandbox"  # that of `seed_sandbox`
GROUP = "entities.updates"


def policy(user: Any, action: str, run: Any, command: str | None) -> bool | None:
    """`LIVESIM["POLICY"]`: whoever comes may watch, command, start and stop that run, and not delete it."""
    if (run.simulation, run.key) == (SIMULATION, KEY) and action in ("view", "command", "control"):
        return True
    return None
