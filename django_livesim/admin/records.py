"""Commands, checkpoints and workers in the admin: to be read, not changed."""

from __future__ import annotations

from django_livesim.admin.checkpoints import CheckpointAdmin
from django_livesim.admin.commands import CommandAdmin
from django_livesim.admin.workers import WorkerAdmin

__all__ = ["CheckpointAdmin", "CommandAdmin", "WorkerAdmin"]
