"""Settings of the servers that are measured."""

from __future__ import annotations

import os

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

DEBUG = False
INSTALLED_APPS = [*INSTALLED_APPS, "benchmarks.live.app"]
ALLOWED_HOSTS = ["*"]
LIVESIM = {
    "DIRECT_SENDS": os.environ.get("LIVESIM_DIRECT") != "0",
    "GC_THRESHOLD": int(os.environ.get("GC_THRESHOLD", "0")) or None,
    "FRAME_RATE": float(os.environ.get("RATE", "20")),
}
