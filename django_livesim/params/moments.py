"""The kinds that are times: days, hours, moments, durations."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_duration
from django.utils.duration import duration_iso_string
from django.utils.translation import gettext_lazy as _

from django_livesim.params import fields
from django_livesim.params.kinds import Written
from django_livesim.params.limits import COMPARISONS


class Date(Written):
    """A day."""

    expected = _('a date, such as "2030-12-31"')
    python = date
    field_class = fields.DateField
    takes = COMPARISONS
    format = "date"

    def native(self, value: Any) -> bool:
        return isinstance(value, date) and not isinstance(value, datetime)

    def from_text(self, text: str) -> date:
        return date.fromisoformat(text)


class Time(Written):
    """A time of the day, of no zone."""

    expected = _('a time, such as "23:59:30"')
    python = time
    field_class = fields.TimeField
    takes = COMPARISONS
    json_type: ClassVar[dict[str, Any]] = {"type": "string"}

    def tidy(self, value: time) -> time:
        if value.tzinfo is not None:
            raise ValueError
        return value

    def from_text(self, text: str) -> time:
        return time.fromisoformat(text)

    def schema(self) -> dict[str, Any]:
        return dict(self.json_type)  # the format "time" of JSON Schema wants a zone


class DateTime(Written):
    """A moment: with USE_TZ aware and in UTC, a naive one being of the current time zone; else naive."""

    expected = _('a moment, such as "2030-12-31T23:59:30+00:00"')
    python = datetime
    field_class = fields.DateTimeField
    takes = COMPARISONS
    json_type: ClassVar[dict[str, Any]] = {"type": "string"}

    def tidy(self, value: datetime) -> datetime:
        if settings.USE_TZ:
            aware = timezone.make_aware(value) if timezone.is_naive(value) else value
            return aware.astimezone(UTC)
        return value if timezone.is_naive(value) else timezone.make_naive(value)

    def comparable(self, limit: datetime) -> datetime:
        return self.tidy(limit)

    def from_text(self, text: str) -> datetime:
        return datetime.fromisoformat(text)

    def attributes(self) -> dict[str, Any]:
        return {}  # a browser would compare in its own zone

    def schema(self) -> dict[str, Any]:
        return dict(self.json_type)  # the format "date-time" would forbid a naive one


class Duration(Written):
    """A length of time; JSON numbers are seconds."""

    expected = _('a duration, such as "00:01:30", "PT90S" or 90 (seconds)')
    python = timedelta
    field_class = fields.DurationField
    takes = COMPARISONS
    json_type: ClassVar[dict[str, Any]] = {"type": ["string", "number"]}

    def convert(self, value: Any) -> timedelta:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return timedelta(seconds=value)
        found: timedelta = super().convert(value)
        return found

    def from_text(self, text: str) -> timedelta:
        duration = parse_duration(text)
        if duration is None:
            raise ValueError
        return duration

    def write(self, value: timedelta) -> str:
        return duration_iso_string(value)

    def attributes(self) -> dict[str, Any]:
        return {}  # it is a text box

    def schema(self) -> dict[str, Any]:
        return dict(self.json_type)
