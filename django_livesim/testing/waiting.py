"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

EVERY = 0.02  # seconds between two looks


def wait_until(condition: Callable[[], T], timeout: float = 5.0) -> T:
    """Call `condition` until it gives something true, and give that.

    Raises AssertionError with what came last after `timeout` seconds.
    """
    until = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"Still {value!r} after {timeout:g} seconds of waiting.")
        time.sleep(EVERY)
    return value
