"""The sandbox under the strictest policy that a page with scripts and a socket can have."""

from __future__ import annotations

from sandbox.config.settings import *  # noqa: F403
from sandbox.config.settings import MIDDLEWARE

MIDDLEWARE = ["tests.browser.policy.strict", *MIDDLEWARE]
