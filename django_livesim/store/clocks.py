"""The clock of leases: by it a worker times its own beats, and the silence of the others."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial


def _lease_time() -> Callable[[], float]:
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC if sys.platform == "darwin" else None)
    return time.monotonic if clock is None else partial(time.clock_gettime, clock)


lease_time = _lease_time()
"""Seconds that only grow, the time included for which the machine was asleep.

Linux stops CLOCK_MONOTONIC meanwhile and has CLOCK_BOOTTIME; on macOS it is `time.monotonic` that stops,
and CLOCK_MONOTONIC goes on.
"""
