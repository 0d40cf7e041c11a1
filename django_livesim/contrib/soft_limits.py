"""Celery's soft time limit, kept from receivers of its signals.

The limit is a signal to the child of a worker, whose handler raises `SoftTimeLimitExceeded` in the main
thread, wherever that is. What a receiver raises Celery passes over. So a limit that came there would break
off the receiver, and the task would never have it.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps

from billiard.pool import SIG_SOFT_TIMEOUT, soft_timeout_sighandler  # type: ignore[import-untyped]

SOON = 0.1  # seconds until a limit that was held back comes again: Celery is done with its receivers

_again: threading.Timer | None = None
"""The limit that is to come again; the main thread of the child alone has to do with it."""


def unbroken(*, task_goes_on: bool) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """A receiver that the limit does not break off: it comes soon after, where the task goes on.

    To a task whose function has left it comes no more, nor to the next one in this process. The hard limit is
    not held back. Anywhere but in the main thread of a worker's child there is no limit, and nothing is done.
    """

    def decorate(receiver: Callable[..., None]) -> Callable[..., None]:
        @wraps(receiver)
        def call(*args: object, **kwargs: object) -> None:
            global _again
            if _again is not None and not task_goes_on:
                _again.cancel()
                _again = None
            with _held_back() as came:
                receiver(*args, **kwargs)
            if came and task_goes_on:
                main = threading.main_thread().ident
                _again = threading.Timer(SOON, signal.pthread_kill, (main, SIG_SOFT_TIMEOUT))
                _again.daemon = True
                _again.start()

        return call

    return decorate


@contextmanager
def _held_back() -> Iterator[list[int]]:
    """The limits that came within the block; elsewhere than in a child's main thread always none."""
    came: list[int] = []
    if (
        SIG_SOFT_TIMEOUT is None
        or threading.current_thread() is not threading.main_thread()
        or signal.getsignal(SIG_SOFT_TIMEOUT) is not soft_timeout_sighandler
    ):
        yield came
        return
    signal.signal(SIG_SOFT_TIMEOUT, lambda number, frame: came.append(number))
    try:
        yield came
    finally:
        signal.signal(SIG_SOFT_TIMEOUT, soft_timeout_sighandler)
