"""Where the receivers of a worker's signals run: a thread that neither steps runs nor keeps the lease."""

from __future__ import annotations

import logging
import queue
import threading
import time

from django.db import connections

from django_livesim.bus.seldom import Seldom
from django_livesim.store import transitions
from django_livesim.store.transitions import Transition

LIMIT = 10_000  # transitions that may wait for slow receivers

logger = logging.getLogger(__name__)
seldom = Seldom(logger)


class Announcer:
    """Logs transitions as they come, and sends their signals in order, one at a time.

    There is no thread before the first that anybody listens to. With `LIMIT`
    of them waiting, further ones are dropped, and that is said.
    """

    def __init__(self) -> None:
        self._waiting: queue.Queue[Transition | None] = queue.Queue(LIMIT)
        self._thread: threading.Thread | None = None

    def tell(self, transition: Transition) -> None:
        """Take a transition that has committed. Never blocks; called in one thread alone."""
        transitions.log(transition)
        if not transitions.is_heard(transition):
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="livesim-signals", daemon=True)
            self._thread.start()
        try:
            self._waiting.put_nowait(transition)
        except queue.Full:
            seldom.warning(
                "receivers of signals are too slow; one was dropped run=%s epoch=%s status=%s",
                transition.run,
                transition.epoch,
                transition.status,
            )

    def stop(self, timeout: float) -> None:
        """Send what waits, for at most `timeout` seconds, and end."""
        thread, until = self._thread, time.monotonic() + timeout
        if thread is None:
            return
        try:
            self._waiting.put(None, timeout=timeout)
            thread.join(max(0.0, until - time.monotonic()))
        except queue.Full:
            pass
        if thread.is_alive():
            left = self._waiting.qsize()
            logger.error("receivers of signals did not end in time; %s changes are not told", left)

    def _run(self) -> None:
        while (transition := self._next()) is not None:
            try:
                transitions.send(transition)
            except BaseException:  # `sys.exit` in a receiver, too, must not end the thread of all the others
                logger.exception("signals not sent run=%s epoch=%s", transition.run, transition.epoch)
                connections.close_all()
        connections.close_all()

    def _next(self) -> Transition | None:
        """The next to send; while there is none, no connection is kept."""
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            connections.close_all()
            return self._waiting.get()
