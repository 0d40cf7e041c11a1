"""Django form fields that clean what a page posts into what a `Kind` says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError

if TYPE_CHECKING:
    from django_livesim.params.kinds import Kind

MISSING: Any = object()
"""Stands for "has no default"."""


class ParamField(forms.Field):
    """A field of a parameter. What a page does not post at all means the default.

    `initial` and bound values may be Python values or stored JSON.
    """

    kind: Kind
    default: Any = MISSING

    def clean(self, value: Any) -> Any:
        if value is None and self.default is not MISSING:
            return self.kind.read(self.default)
        return super().clean(value)

    def run_validators(self, value: Any) -> None:
        super().run_validators(value)
        if value is not None:
            self.kind.check(value)

    def prepare_value(self, value: Any) -> Any:
        if value is None and self.required:
            return ""  # nothing given yet; null would be no answer
        with suppress(ValidationError):  # what somebody typed is shown again as it came
            value = self.kind.read(value)
        return super().prepare_value(value)


class IntegerField(ParamField, forms.IntegerField):
    pass


class FloatField(ParamField, forms.FloatField):
    pass


class DecimalField(ParamField, forms.DecimalField):
    pass


class CharField(ParamField, forms.CharField):
    pass


class BooleanField(ParamField, forms.BooleanField):
    """A tick box: not posted means no, whatever the default."""


class UUIDField(ParamField, forms.UUIDField):
    pass


class DurationField(ParamField, forms.DurationField):
    pass


class DateField(ParamField, forms.DateField):
    widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})


class TimeField(ParamField, forms.TimeField):
    widget = forms.TimeInput(format="%H:%M:%S", attrs={"type": "time", "step": "any"})


class DateTimeField(ParamField, forms.DateTimeField):
    """In the current time zone, as Django's own."""

    widget = forms.DateTimeInput(format="%Y-%m-%dT%H:%M:%S", attrs={"type": "datetime-local", "step": "any"})


class ChoiceField(ParamField, forms.ChoiceField):
    """Posts a member's key, cleans to the member."""

    def to_python(self, value: Any) -> Any:
        if value in (None, ""):
            return None
        member = self.kind.member(str(value))
        if member is MISSING:
            raise ValidationError(
                self.error_messages["invalid_choice"], code="invalid_choice", params={"value": value}
            )
        return member

    def validate(self, value: Any) -> None:
        if value is None and self.required:
            raise ValidationError(self.error_messages["required"], code="required")

    def prepare_value(self, value: Any) -> Any:
        return self.kind.key(value)


MAX_LEVELS = 100
"""How deep JSON may be nested to be read at all: far from where Python falls over, in reading and writing."""


class StrictDecoder(json.JSONDecoder):
    """Python's decoder takes NaN and falls over on deep nesting and endless digits; these are bad JSON."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs | {"parse_constant": _refuse_constant})

    def decode(self, s: str, *args: Any) -> Any:
        try:
            value = super().decode(s, *args)
        except json.JSONDecodeError:
            raise
        except (ValueError, RecursionError) as exc:
            raise json.JSONDecodeError(str(exc), s, 0) from exc
        if _is_deep(value):
            raise json.JSONDecodeError("nested too deep", s, 0)
        return value


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_LEVELS):
        level = [item for each in level if isinstance(each, list | dict) for item in _members(each)]
        if not level:
            return False
    return True


def _members(value: list[Any] | dict[str, Any]) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class JsonField(ParamField, forms.JSONField):
    """JSON in a text area; an empty object or list is a value like any other."""

    empty_values = [None, ""]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(decoder=StrictDecoder, **kwargs)

    def to_python(self, value: Any) -> Any:
        value = super().to_python(value)
        return None if value is None else self.kind.read(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.to_python(initial) != self.to_python(data))
        except ValidationError:
            return True

    def prepare_value(self, value: Any) -> Any:
        if value is None and self.required:
            return ""  # nothing given yet; null would be no answer
        with suppress(ValidationError):
            value = self.kind.write(self.kind.read(value))
        return forms.JSONField.prepare_value(self, value)
