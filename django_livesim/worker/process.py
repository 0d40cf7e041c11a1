"""The worker as a process of its own: signals, and leaving in good order."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from django_livesim.worker.engine import Engine

logger = logging.getLogger(__name__)


def serve(*, processes: int = 1, queues: Iterable[str] = ("default",), max_runs: int | None = None) -> int:
    """Step runs in this thread, the main one, until SIGTERM or SIGINT; the exit status.

    The first signal finishes the steps under way, stores every run and lets
    it go, within the GRACE setting. A second one ends the process at once;
    runs then go on from what was stored.
    """
    if processes != 1:
        raise ValueError(
            f"one process steps runs for now; got processes={processes}. Start more workers instead."
        )
    engine = Engine(queues=queues, max_runs=max_runs)
    with signals(engine.drain):
        engine.run()
    return 0


@contextmanager
def signals(drain: Callable[[], None]) -> Iterator[None]:
    """SIGTERM and SIGINT call `drain`; the handlers before are put back at the end."""
    told = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if told:
            os._exit(128 + number)
        told = True
        drain()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
