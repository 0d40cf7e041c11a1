"""The kinds that are numbers."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any, ClassVar

from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from django_livesim.params import fields
from django_livesim.params.kinds import Kind
from django_livesim.params.limits import COMPARISONS
from django_livesim.protocol.plain import MAX_INTEGER

MAX_DIGITS = 308
"""Digits before or after the point of a decimal number, as in a float."""


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
