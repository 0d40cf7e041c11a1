"""Work that takes a while, or does not come to its end."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from celery import shared_task


@shared_task(bind=True)
def count(self: Any, total: int = 20, seconds: float = 4.0) -> dict[str, int]:
    """Counts, and says how far it is."""
    for number in range(1, total + 1):
        time.sleep(seconds / total)
        self.update_state(
            state="PROGRESS", meta={"current": number, "total": total, "description": f"number {number}"}
        )
        if self.asked_to_stop:
            break
    return {"counted": number}


@shared_task
def at_once() -> str:
    """Is done as soon as it begins."""
    return "done"


@shared_task(bind=True)
def fail(self: Any) -> None:
    """Comes half way, and raises."""
    self.update_state(state="PROGRESS", meta={"current": 1, "total": 2, "description": "dividing"})
    raise ValueError("it cannot be divided")


@shared_task(bind=True)
def try_again(self: Any, seconds: float = 2.0) -> int:
    """Raises, and is tried again after a while."""
    self.update_state(state="PROGRESS", meta={"current": 3 if self.request.retries == 0 else 1, "total": 4})
    if self.request.retries == 0:
        try:
            raise ConnectionError("nobody answers")
        except ConnectionError as exc:
            raise self.retry(exc=exc, countdown=seconds) from exc
    return int(self.request.retries)


@shared_task
def die() -> None:
    """Kills its process."""
    os.kill(os.getpid(), signal.SIGKILL)


EXAMPLES = {task.name.rpartition(".")[2]: task for task in (count, at_once, fail, try_again, die)}
"""What the page offers."""
