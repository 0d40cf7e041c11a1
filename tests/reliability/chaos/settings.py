"""Settings of the processes that are killed: those of the tests, the ledgers, and a log with moments."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.reliability.ledger_app"]

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"moment": {"format": "%(asctime)s %(process)d %(levelname)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "moment"}},
    "loggers": {"django_livesim": {"handlers": ["console"], "level": "INFO", "propagate": False}},
}
