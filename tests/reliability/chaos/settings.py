"""Settings of the processes that are killed: those of the tests, and the ledgers."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.reliability.ledger_app"]
