"""What the job and the socket both know."""

from __future__ import annotations

from uuid import UUID

PAUSE = 0.2  # seconds between two looks at the service


def progress_group(run: UUID) -> str:
    """The group that is told how far the job is."""
    return f"prog.run.{run.hex}"
