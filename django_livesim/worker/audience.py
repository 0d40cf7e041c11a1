"""How many watch each run, as the hubs of the web processes say again and again."""

from __future__ import annotations

import threading
import time
from uuid import UUID

from django_livesim.runtime.ports import Options


class Audience:
    """Soft state: a hub that says nothing more is forgotten, as for the frames. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._told: dict[UUID, dict[str, tuple[int, float]]] = {}  # by hub: how many, and until when
        self._sweep_at = 0.0

    def tell(self, run: UUID, hub: str, viewers: int) -> None:
        """Of so many viewers that run is watched through this hub."""
        now = time.monotonic()
        with self._lock:
            if now >= self._sweep_at:
                self._sweep(now)
            self._told.setdefault(run, {})[hub] = viewers, now + Options.interest_ttl

    def count(self, run: UUID) -> int:
        """How many watch it."""
        now = time.monotonic()
        with self._lock:
            return sum(viewers for viewers, until in self._told.get(run, {}).values() if until > now)

    def _sweep(self, now: float) -> None:
        """Forget the hubs that have gone silent, of runs too that others hold by now."""
        kept = {
            run: {hub: each for hub, each in hubs.items() if each[1] > now}
            for run, hubs in self._told.items()
        }
        self._told = {run: hubs for run, hubs in kept.items() if hubs}
        self._sweep_at = now + Options.interest_ttl
