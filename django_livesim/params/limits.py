"""Limits on a parameter, ours or anybody's: whatever has `ge`, `gt`, `le`, `lt` and the like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core import validators
from django.utils.deconstruct import deconstructible
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext_lazy

COMPARISONS = ("ge", "gt", "le", "lt")
LENGTHS = ("min_length", "max_length")
NAMES = (*COMPARISONS, *LENGTHS, "multiple_of")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a parameter may be: `Annotated[int, Limits(ge=1, le=500)]`.

    `ge`, `gt`, `le`, `lt` bound numbers and moments, `multiple_of` numbers;
    `min_length`, `max_length` bound texts, lists and dicts. The objects of
    the `annotated-types` package do as well.
    """

    ge: Any = None
    gt: Any = None
    le: Any = None
    lt: Any = None
    min_length: int | None = None
    max_length: int | None = None
    multiple_of: Any = None


@deconstructible
class GreaterThanValidator(validators.BaseValidator):
    message = _("Ensure this value is greater than %(limit_value)s.")
    code = "min_value"

    def compare(self, a: Any, b: Any) -> bool:
        return bool(a <= b)


@deconstructible
class LessThanValidator(validators.BaseValidator):
    message = _("Ensure this value is less than %(limit_value)s.")
    code = "max_value"

    def compare(self, a: Any, b: Any) -> bool:
        return bool(a >= b)


@deconstructible
class MultipleValidator(validators.StepValueValidator):
    """What is too large to be divided is no multiple."""

    def compare(self, a: Any, b: Any) -> bool:
        try:
            return bool(super().compare(a, b))
        except (ArithmeticError, ValueError):
            return True


@deconstructible
class MinItemsValidator(validators.MinLengthValidator):
    message = ngettext_lazy(
        "Ensure there is at least %(limit_value)d item (there are %(show_value)d).",
        "Ensure there are at least %(limit_value)d items (there are %(show_value)d).",
        "limit_value",
    )


@deconstructible
class MaxItemsValidator(validators.MaxLengthValidator):
    message = ngettext_lazy(
        "Ensure there is at most %(limit_value)d item (there are %(show_value)d).",
        "Ensure there are at most %(limit_value)d items (there are %(show_value)d).",
        "limit_value",
    )


VALIDATORS: dict[str, type[validators.BaseValidator]] = {
    "ge": validators.MinValueValidator,
    "gt": GreaterThanValidator,
    "le": validators.MaxValueValidator,
    "lt": LessThanValidator,
    "min_length": validators.MinLengthValidator,
    "max_length": validators.MaxLengthValidator,
    "multiple_of": MultipleValidator,
}
ITEM_VALIDATORS = VALIDATORS | {"min_length": MinItemsValidator, "max_length": MaxItemsValidator}
_NAMES_OF_VALIDATORS: dict[type, str] = {validator: name for name, validator in VALIDATORS.items()} | {
    validators.StepValueValidator: "multiple_of"
}


def limits_of(metadata: Any) -> dict[str, Any]:
    """The limits in one piece of `Annotated` metadata by name; none where it is something else."""
    name = _NAMES_OF_VALIDATORS.get(type(metadata))
    if name is not None and _is_plain(metadata):
        return {name: metadata.limit_value}
    if isinstance(metadata, type | str) or callable(metadata):
        return {}
    return {name: value for name in NAMES if (value := getattr(metadata, name, None)) is not None}


def _is_plain(validator: Any) -> bool:
    """Whether a Django validator says no more than its limit."""
    own_words = "message" in vars(validator)
    return not (own_words or callable(validator.limit_value) or getattr(validator, "offset", None))
