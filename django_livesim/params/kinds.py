"""The kinds of parameter: how each is read from JSON, written to it, limited and shown."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import BaseValidator, MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.dateparse import parse_duration
from django.utils.duration import duration_iso_string
from django.utils.translation import gettext_lazy as _

from django_livesim.params import fields
from django_livesim.params.limits import COMPARISONS, LENGTHS, VALIDATORS
from django_livesim.protocol.plain import MAX_INTEGER

MAX_DIGITS = 308
"""Digits before or after the point of a decimal number, as in a float."""

SHOWN = 60
"""Characters of a wrong value that an error repeats."""


def got(value: Any) -> str:
    """`value` as an error shows it: JSON where it is JSON, cut short."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"{type(value).__name__} {value!r}"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


class Kind:
    """One type of value. Subclasses say how it looks in Python, JSON and HTML.

    `read` takes JSON or the Python value and gives the Python value; `write`
    gives JSON. Both are exact: `read(write(x)) == x`, and nothing is guessed
    from a value of another type. Wrong ones raise ValidationError.
    """

    expected: Any = ""
    """What is taken, in words, with an article."""
    python: ClassVar[type | tuple[type, ...]] = ()
    field_class: ClassVar[type[fields.ParamField]]
    takes: tuple[str, ...] = ()
    """The limits that make sense for it."""
    limit_validators: ClassVar[dict[str, type[BaseValidator]]] = VALIDATORS
    json_type: ClassVar[dict[str, Any]] = {}
    always: ClassVar[tuple[Callable[[Any], None], ...]] = ()
    """Validators that hold for every value of the kind."""
    may_be_blank = False
    """Whether a page may post it empty."""

    def __init__(self) -> None:
        self.limits: dict[str, Any] = {}
        self.validators: list[Callable[[Any], None]] = []
        self.help = ""
        self.widget: forms.Widget | None = None

    def native(self, value: Any) -> bool:
        """Whether `value` is the Python value already."""
        return isinstance(value, self.python) and not isinstance(value, bool)

    def bound(self, limit: Any) -> bool:
        """Whether `limit` can be compared with values of the kind."""
        return self.native(limit)

    def comparable(self, limit: Any) -> Any:
        """A limit in the form in which values are compared with it."""
        return limit

    def read(self, value: Any) -> Any:
        """JSON, or the Python value, to the Python value."""
        try:
            return self.tidy(value) if self.native(value) else self.convert(value)
        except (TypeError, ValueError, ArithmeticError) as exc:
            raise self.wrong(value) from exc

    def tidy(self, value: Any) -> Any:
        """The Python value in its one canonical form."""
        return value

    def convert(self, value: Any) -> Any:
        """JSON to the Python value; raises TypeError, ValueError or ArithmeticError."""
        raise TypeError

    def write(self, value: Any) -> Any:
        """The Python value to JSON."""
        return value

    def parse(self, text: str) -> Any:
        """What somebody typed after `key=` to JSON, or the text itself where it is none."""
        return text

    def member(self, key: str) -> Any:
        """The value of a choice with that key, or `fields.MISSING`."""
        return fields.MISSING

    def key(self, value: Any) -> Any:
        """The key of a choice's value, or what came where it has none."""
        return value

    def wrong(self, value: Any) -> ValidationError:
        return ValidationError(
            _("Expected %(expected)s. Got: %(got)s."),
            code="type",
            params={"expected": self.expected, "got": got(value)},
        )

    def check(self, value: Any) -> None:
        """Hold the Python value against its limits and validators."""
        errors: list[ValidationError] = []
        for validator in (*self.always, *self._limit_validators(), *self.validators):
            try:
                validator(value)
            except ValidationError as exc:
                errors.extend(exc.error_list)
        if errors:
            raise ValidationError(errors)

    def _limit_validators(self) -> Iterator[Callable[[Any], None]]:
        for name, limit in self.limits.items():
            if name in COMPARISONS:
                limit = partial(self.comparable, limit)  # looked at when it is compared
            yield self.limit_validators[name](limit)

    def field(self, *, default: Any, help_text: str) -> fields.ParamField:
        """The form field. `default` may be `fields.MISSING`."""
        options = self.field_options(default) | ({"widget": self.widget} if self.widget else {})
        field = self.field_class(
            required=not self.may_be_blank,
            initial=None if default is fields.MISSING else default,
            help_text=help_text,
            **options,
        )
        field.kind, field.default = self, default
        field.widget.attrs.update(self.attributes())
        return field

    def field_options(self, default: Any) -> dict[str, Any]:
        return {}

    def attributes(self) -> dict[str, Any]:
        """HTML attributes that let a browser hold the limits too."""
        return {}

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the JSON form."""
        return dict(self.json_type)


class _Numeric(Kind):
    takes = (*COMPARISONS, "multiple_of")

    def bound(self, limit: Any) -> bool:
        number = isinstance(limit, int | float | Decimal) and not isinstance(limit, bool)
        return number and math.isfinite(limit)

    def attributes(self) -> dict[str, Any]:
        low, high = self.limits.get("ge"), self.limits.get("le")
        step = self.limits.get("multiple_of")
        found = {"min": low, "max": high}
        if step is not None and (low is None or not math.remainder(low, step)):
            found["step"] = step  # a browser counts steps from the minimum
        return {name: str(value) for name, value in found.items() if value is not None}

    def schema(self) -> dict[str, Any]:
        words = {
            "ge": "minimum",
            "le": "maximum",
            "gt": "exclusiveMinimum",
            "lt": "exclusiveMaximum",
            "multiple_of": "multipleOf",
        }
        limits = {words[name]: float_or_int(value) for name, value in self.limits.items()}
        return self.json_type | limits


def float_or_int(value: Any) -> float | int:
    """A limit as a JSON number."""
    return value if isinstance(value, int) else float(value)


class Integer(_Numeric):
    """A whole number within 2^53, so that every client reads the same."""

    expected = _("an integer")
    python = int
    field_class = fields.IntegerField
    json_type: ClassVar[dict[str, Any]] = {
        "type": "integer",
        "minimum": -MAX_INTEGER,
        "maximum": MAX_INTEGER,
    }
    always = (MinValueValidator(-MAX_INTEGER), MaxValueValidator(MAX_INTEGER))

    def tidy(self, value: int) -> int:
        return int(value)

    def parse(self, text: str) -> Any:
        try:
            return int(text)
        except ValueError:
            return text


class Number(_Numeric):
    """A finite float; JSON integers are taken."""

    expected = _("a finite number")
    python = (int, float)
    field_class = fields.FloatField
    json_type: ClassVar[dict[str, Any]] = {"type": "number"}

    def tidy(self, value: float) -> float:
        value = float(value)
        if not math.isfinite(value):
            raise ValueError
        return value

    def parse(self, text: str) -> Any:
        try:
            return float(text)
        except ValueError:
            return text


class DecimalNumber(_Numeric):
    """An exact decimal number, text in JSON; JSON numbers are taken as they are written."""

    expected = _('a decimal number, such as "1.50"')
    python = Decimal
    field_class = fields.DecimalField
    json_type: ClassVar[dict[str, Any]] = {"type": ["string", "number"]}

    def tidy(self, value: Decimal) -> Decimal:
        if not value.is_finite() or abs(value.adjusted()) > MAX_DIGITS:
            raise ValueError
        return value

    def convert(self, value: Any) -> Decimal:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise TypeError
        return self.tidy(Decimal(value if isinstance(value, str) else repr(value)))

    def write(self, value: Decimal) -> str:
        return str(value)


class Truth(Kind):
    """True or false."""

    expected = _("true or false")
    python = bool
    field_class = fields.BooleanField
    json_type: ClassVar[dict[str, Any]] = {"type": "boolean"}
    may_be_blank = True

    WORDS: ClassVar[dict[str, bool]] = {
        **dict.fromkeys(("true", "yes", "on", "1"), True),
        **dict.fromkeys(("false", "no", "off", "0"), False),
    }

    def native(self, value: Any) -> bool:
        return isinstance(value, bool)

    def parse(self, text: str) -> Any:
        return self.WORDS.get(text.lower(), text)


class Text(Kind):
    """A text that the database can store: no NUL, no lone surrogates."""

    expected = _("a string")
    python = str
    field_class = fields.CharField
    takes = LENGTHS
    json_type: ClassVar[dict[str, Any]] = {"type": "string"}

    def tidy(self, value: str) -> str:
        value = str.__str__(value)
        value.encode()
        if "\0" in value:
            raise ValueError
        return value

    def field(self, *, default: Any, help_text: str) -> fields.ParamField:
        field = super().field(default=default, help_text=help_text)
        wanted = default is fields.MISSING or self.limits.get("min_length", 0) > 0
        field.required = wanted and not self.may_be_blank
        return field

    def field_options(self, default: Any) -> dict[str, Any]:
        return {"empty_value": None} if self.may_be_blank else {}

    def attributes(self) -> dict[str, Any]:
        names = {"min_length": "minlength", "max_length": "maxlength"}
        return {names[name]: str(limit) for name, limit in self.limits.items()}

    def schema(self) -> dict[str, Any]:
        return self.json_type | length_words(self.limits, "minLength", "maxLength")


def length_words(limits: dict[str, Any], low: str, high: str) -> dict[str, Any]:
    """Limits of length in the words of JSON Schema."""
    words = {"min_length": low, "max_length": high}
    return {words[name]: limit for name, limit in limits.items()}


class _Written(Kind):
    """A value that JSON holds as text."""

    format = ""

    def convert(self, value: Any) -> Any:
        if not isinstance(value, str):
            raise TypeError
        return self.tidy(self.from_text(value))

    def from_text(self, text: str) -> Any:
        raise NotImplementedError

    def write(self, value: Any) -> str:
        return str(self.tidy(value).isoformat())

    def attributes(self) -> dict[str, Any]:
        names = {"ge": "min", "le": "max"}
        return {names[name]: self.write(limit) for name, limit in self.limits.items() if name in names}

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "format": self.format}


class Date(_Written):
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


class Time(_Written):
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


class DateTime(_Written):
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


class Duration(_Written):
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


class Uuid(_Written):
    """A UUID."""

    expected = _("a UUID")
    python = UUID
    field_class = fields.UUIDField
    format = "uuid"

    def from_text(self, text: str) -> UUID:
        return UUID(text)

    def write(self, value: UUID) -> str:
        return str(value)
