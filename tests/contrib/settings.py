"""The sandbox for a browser: under a strict policy, and with the script and a page of celery-progress."""

from __future__ import annotations

from sandbox.config.settings import *  # noqa: F403
from sandbox.config.settings import BASE, INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "celery_progress"]
MIDDLEWARE = ["tests.browser.policy.strict", *MIDDLEWARE]
ROOT_URLCONF = "tests.contrib.urls"
STATICFILES_DIRS = [("seeds", BASE / "tests" / "seeds")]
