"""`--reload`: whether the code on disk has changed since it was last looked at.

A thread of its own looks once a second, by Django's own `StatReloader`: at the modules that the parent has,
and at every Python file of the project's apps and beside its settings, for a child may have imported
others. The parent imports nothing anew, so a mistake in the code harms its children alone.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import sysconfig
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from django.apps import apps
from django.utils.autoreload import StatReloader

logger = logging.getLogger(__name__)

EVERY = 1.0  # seconds


class CodeWatch:
    """Says once of each change that there was one. `changed` may be asked in any thread."""

    def __init__(self) -> None:
        self._reloader = StatReloader()
        for folder in folders():
            self._reloader.watch_dir(folder, "**/*.py")
        self._changed = threading.Event()
        self._over = threading.Event()
        self._looked_at = time.time()
        self._seen = self._look()
        self._thread = threading.Thread(target=self._run, name="livesim-reload", daemon=True)
        self._thread.start()

    def changed(self) -> bool:
        """Whether anything has changed since this was last asked."""
        found = self._changed.is_set()
        self._changed.clear()
        return found

    def stop(self) -> None:
        self._over.set()
        self._thread.join(EVERY)

    def _run(self) -> None:
        while not self._over.wait(EVERY):
            before, since = self._seen, self._looked_at
            self._looked_at = time.time()
            self._seen = self._look()
            path = changed(before, self._seen, since)
            if path is not None:
                logger.info("the code has changed: %s", path)
                self._changed.set()

    def _look(self) -> dict[Path, float]:
        return dict(self._reloader.snapshot_files())


def changed(before: Mapping[Path, float], now: Mapping[Path, float], since: float) -> Path | None:
    """A file that is not as it was, None where there is none; of each, when it was written last.

    One that is looked at only now, as the parent has imported it since, has not changed; one that was written
    `since`, has.
    """
    for path in before.keys() | now.keys():
        if path not in now or now[path] != before.get(path, now[path]):
            return path
        if path not in before and now[path] >= since:
            return path
    return None


def folders() -> Iterator[Path]:
    """Where the project's own code is: its apps that are not installed packages, and its settings."""
    installed = [Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib", "stdlib")]
    spec = importlib.util.find_spec(os.environ["DJANGO_SETTINGS_MODULE"])
    found = {Path(config.path).resolve() for config in apps.get_app_configs()}
    if spec is not None and spec.origin is not None:
        found.add(Path(spec.origin).resolve().parent)
    return (each for each in found if not any(each.is_relative_to(place) for place in installed))
