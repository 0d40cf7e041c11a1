"""Settings of the servers that the browser tests look at: a strict policy, and simulations to look at."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS, MIDDLEWARE

INSTALLED_APPS = [*INSTALLED_APPS, "tests.browser"]
MIDDLEWARE = ["tests.browser.policy.strict", *MIDDLEWARE]
LOGIN_URL = "admin:login"
ROOT_URLCONF = "tests.browser.urls"
