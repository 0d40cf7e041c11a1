"""The tests' settings, with this app, and beats that are soon missed."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.process.tasking"]  # noqa: F405
LIVESIM = {**LIVESIM, "BEAT": 0.5, "LEASE_TTL": 5.0}  # noqa: F405
CHANNEL_LAYERS = {
    "default": {**CHANNEL_LAYERS["default"], "BACKEND": os.environ["LAYER"]},  # noqa: F405
}
