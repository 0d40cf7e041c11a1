"""Settings of the site that is drawn: the sandbox's, with one simulation."""

from __future__ import annotations

from sandbox.config.settings import *  # noqa: F403
from sandbox.config.settings import INSTALLED_APPS as OF_SANDBOX

INSTALLED_APPS = [each for each in OF_SANDBOX if not each.startswith("sandbox.")]
INSTALLED_APPS += ["sandbox.config", "benchmarks.page.app"]
LIVESIM: dict[str, object] = {}
