"""The admin: runs, their commands and checkpoints, tasks, and the workers.

`RunAdminMixin` goes before a host's own `ModelAdmin`, on any admin site.
"""

from __future__ import annotations

from django.contrib import admin

from django_livesim.admin.checkpoints import CheckpointAdmin
from django_livesim.admin.commands import CommandAdmin
from django_livesim.admin.runs import RunAdmin, RunAdminMixin
from django_livesim.admin.tasks import TaskAdmin
from django_livesim.admin.workers import WorkerAdmin
from django_livesim.models import Checkpoint, Command, Run, Task, Worker

__all__ = [
    "CheckpointAdmin",
    "CommandAdmin",
    "RunAdmin",
    "RunAdminMixin",
    "TaskAdmin",
    "WorkerAdmin",
    "register",
]


def register(site: admin.AdminSite) -> None:
    """Register runs, commands, checkpoints, tasks and workers on a site, as they are on the default one."""
    site.register(Run, RunAdmin)
    site.register(Command, CommandAdmin)
    site.register(Checkpoint, CheckpointAdmin)
    site.register(Task, TaskAdmin)
    site.register(Worker, WorkerAdmin)


register(admin.site)
