"""The tests' settings, with this app."""

from __future__ import annotations

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.process.setting"]  # noqa: F405
