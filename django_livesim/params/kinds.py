"""The kinds of parameter: how each is read from JSON, written to it, limited and shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import BaseValidator
from django.utils.translation import gettext_lazy as _

from django_livesim.params import fields
from django_livesim.params.limits import COMPARISONS, LENGTHS, VALIDATORS

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
        self.live = False
        """Whether it can be changed while a run goes on."""

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


class Written(Kind):
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


class Uuid(Written):
    """A UUID."""

    expected = _("a UUID")
    python = UUID
    field_class = fields.UUIDField
    format = "uuid"

    def from_text(self, text: str) -> UUID:
        return UUID(text)

    def write(self, value: UUID) -> str:
        return str(value)
