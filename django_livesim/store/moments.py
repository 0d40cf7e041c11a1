"""The moment of a statement, as the columns of the database in use hold moments."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now
from django.utils import timezone


class Moment(Now):
    """The present moment, by the clock of the database: in place of Django's `Now`.

    On SQLite `Now` is always in UTC, while its columns hold what Django writes there: local time where
    `USE_TZ` is off, and the connection's own time zone where `DATABASES` names one. SQLite's clock is
    that of this process, so the moment is written as Django writes every other one.
    """

    def as_sqlite(self, compiler: Any, connection: Any, **extra: Any) -> Any:
        return "%s", [connection.ops.adapt_datetimefield_value(timezone.now())]
