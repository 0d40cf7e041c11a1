"""Jobs that ask a service elsewhere how far it is, and tell whoever started them."""

from __future__ import annotations

from typing import Any

from django_livesim import job
from sandbox.prog.backend import Backend
from sandbox.prog.shared import PAUSE, progress_group


@job(label="ProgRock", sharing="per_session", may_start="anyone")
async def progrock(job: Any) -> None:
    """Seven seconds of somebody else's work. Each browser has one of its own."""
    await follow(job, Backend(pace=3))


@job(label="ProgRock, for an hour", sharing="per_session", may_start="anyone")
async def progrock_hour(job: Any) -> None:
    """An hour of somebody else's work, to be stopped."""
    await follow(job, Backend(pace=100 * PAUSE / 3600))


async def follow(job: Any, backend: Backend) -> None:
    """Look every 200 ms until it is done. While it sleeps, it takes nobody's time, and can be stopped."""
    while True:
        await job.sleep(PAUSE)
        percent = await backend.poll()
        if percent >= 100:
            return
        told = {"type": "job.progress", "run": str(job.run.id), "progress": percent}
        job.group_send(progress_group(job.run.id), told)
        await job.progress(percent / 100, "asked the service")
