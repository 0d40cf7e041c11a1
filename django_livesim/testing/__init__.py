"""For tests of simulations, and of sites that run them. See docs/testing.md.

Importing it needs no configured Django; `worker_in_process` and `run_tasks` do.
"""

from __future__ import annotations

from django_livesim.runtime.clock import ManualClock
from django_livesim.testing.answers import Answer, Event, Frame, RunFailed
from django_livesim.testing.background import run_tasks
from django_livesim.testing.determinism import assert_deterministic
from django_livesim.testing.in_process import worker_in_process
from django_livesim.testing.trial import Trial
from django_livesim.testing.waiting import wait_until

__all__ = [
    "Answer",
    "Event",
    "Frame",
    "ManualClock",
    "RunFailed",
    "Trial",
    "assert_deterministic",
    "run_tasks",
    "wait_until",
    "worker_in_process",
]
