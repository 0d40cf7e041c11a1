"""The worker as `livesim_worker` starts it: a parent and its children, or one process alone on Windows."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings as django_settings

from django_livesim.worker import child
from django_livesim.worker.health import HealthFile
from django_livesim.worker.order import Order, environment

ALONE = sys.platform == "win32"
"""No signal ends a process there in good order, and none of its descriptors can be handed on."""


def serve(
    *,
    processes: int = 1,
    queues: Iterable[str] = ("default",),
    max_runs: int | None = None,
    memory: int | None = None,
    health_file: Path | None = None,
    reload: bool = False,
) -> int:
    """Have `processes` children step runs until SIGTERM or SIGINT; the exit status. In the main thread.

    The first signal finishes the steps under way, stores every run and lets it go, within the GRACE
    setting. A second one ends everything at once; runs then go on from what was stored. `queues`, `max_runs`
    and `memory`, in megabytes, are those of each child.

    Raises ValueError where that is not to be had.
    """
    if reload and not django_settings.DEBUG:
        raise ValueError("--reload is for development: it needs DEBUG = True. Leave it out, or set DEBUG.")
    if ALONE:
        if processes != 1 or memory is not None or health_file is not None or reload:
            raise ValueError(
                "On Windows the worker is one process, which nobody watches: it has no --processes,"
                " --memory, --health-file and --reload. Leave them out, or run it on Linux or macOS."
            )
        return child.serve(queues=queues, max_runs=max_runs)
    if "DJANGO_SETTINGS_MODULE" not in os.environ:
        raise ValueError(
            "The worker's processes find the settings by DJANGO_SETTINGS_MODULE, and it is not set."
            " Expected a module's name; settings.configure() reaches this process alone."
        )
    from django_livesim.worker.parent import Parent

    order = Order(queues=list(queues), max_runs=max_runs, memory=memory)
    env = environment(django_settings.SECRET_KEY, os.environ)
    health = None if health_file is None else _health(health_file)
    return Parent(order, env, processes=processes, health=health, reload=reload).run()


def _health(path: Path) -> HealthFile:
    try:
        return HealthFile(path)
    except OSError as exc:
        raise ValueError(
            f"--health-file cannot be written: {exc}. Name a file in a folder of yours."
        ) from exc
