"""Jobs for workers that are killed and told to end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from django_livesim import Job, job, register

HOUR = 3600


def note(file: str, line: str) -> None:
    with Path(file).open("a") as out:
        out.write(f"{line}\n")


@job(retries=1, backoff=0.2, visibility="public")
def dies_once(job: Any, file: str) -> dict[str, Any]:
    """Takes its process with it at the first attempt."""
    note(file, f"attempt {job.attempt}")
    job.state["seen"] = job.attempt
    job.progress(0.5, "half")
    if job.attempt == 1:
        os._exit(1)
    return {"attempt": job.attempt}


@job(visibility="public")
def once(job: Any, file: str, seconds: float = HOUR) -> str:
    """An hour of work, a tenth of a second at a time."""
    note(file, f"attempt {job.attempt}")
    try:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            job.progress(1 - left / seconds, f"{left:.0f} s")
            time.sleep(0.1)
        return "done"
    finally:
        note(file, "cleared away")


@register(visibility="public")
class Shell(Job):
    """Runs a command and shows its lines."""

    def work(self, script: str) -> int:
        for line in self.stream(["sh", "-c", script]):
            self.log(line)
            self.progress(text=line)
        return len(self.lines)


@job(visibility="public")
async def polls(job: Any, file: str) -> str:
    """Waits for a backend."""
    while not Path(file).exists():
        await job.progress(0.1, "waiting")
        await job.sleep(0.1)
    return Path(file).read_text()
