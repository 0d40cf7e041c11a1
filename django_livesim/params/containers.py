"""The kinds that hold others: lists, dicts, anything plain, and `X | None`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from django_livesim.params import fields
from django_livesim.params.choices import Choice, Member
from django_livesim.params.kinds import Kind, Text, Truth, length_words
from django_livesim.params.limits import ITEM_VALIDATORS, LENGTHS
from django_livesim.protocol import plain

MAX_DEPTH = 16
"""How deep arguments may be nested; the socket's protocol takes no more either."""


def copy(value: Any, depth: int = 0) -> Any:
    """A copy of plain JSON data. Raises ValidationError for anything else, and says where."""
    if depth == 0 and (difference := plain.first_difference(value, "value")):
        raise ValidationError(_("Expected plain JSON data; %(what)s."), params={"what": difference})
    if isinstance(value, str):
        return _text(value)
    if not isinstance(value, list | dict):
        return value
    if depth == MAX_DEPTH:
        raise ValidationError(_("Expected at most %(depth)s levels of nesting."), params={"depth": MAX_DEPTH})
    if isinstance(value, list):
        return [copy(item, depth + 1) for item in value]
    return {_text(key): copy(item, depth + 1) for key, item in value.items()}


def _text(value: str) -> str:
    if "\0" in value:
        raise ValidationError(_("Null characters are not allowed."))
    return value


class _Json(Kind):
    """Shown as JSON in a text area."""

    field_class = fields.JsonField

    def parse(self, text: str) -> Any:
        try:
            return json.loads(text, cls=fields.StrictDecoder)
        except json.JSONDecodeError:
            return text


class Anything(_Json):
    """Any plain JSON data."""

    expected = _("plain JSON data")
    may_be_blank = True

    def native(self, value: Any) -> bool:
        return True

    def read(self, value: Any) -> Any:
        return copy(value)

    def write(self, value: Any) -> Any:
        return copy(value)


class _Container(_Json):
    takes = LENGTHS
    limit_validators = ITEM_VALIDATORS

    def __init__(self, item: Kind) -> None:
        super().__init__()
        self.item = item

    def pairs(self, value: Any) -> list[tuple[Any, Any]]:
        """Place and value of each item."""
        raise NotImplementedError

    def native(self, value: Any) -> bool:
        return type(value) is self.python and all(
            self.item.native(item) for _place, item in self.pairs(value)
        )

    def read(self, value: Any) -> Any:
        if type(value) is not self.python:
            raise self.wrong(value)
        return self._each(self.item.read, value)

    def write(self, value: Any) -> Any:
        return self._each(self.item.write, value)

    def check(self, value: Any) -> None:
        super().check(value)
        self._each(self.item.check, value)

    def _each(self, function: Callable[[Any], Any], value: Any) -> Any:
        results = []
        for place, item in self.pairs(value):
            try:
                results.append((place, function(item)))
            except ValidationError as exc:
                text = " ".join(exc.messages)
                raise ValidationError(
                    _("Item %(place)s: %(text)s"), params={"place": place, "text": text}
                ) from exc
        return self.join(results)

    def join(self, pairs: list[tuple[Any, Any]]) -> Any:
        """The container of such pairs."""
        raise NotImplementedError


class Items(_Container):
    """A list, each item of one kind. Places in errors count from 0, as in JSON."""

    expected = _("a list")
    python = list
    json_type: ClassVar[dict[str, Any]] = {"type": "array"}

    def pairs(self, value: list[Any]) -> list[tuple[Any, Any]]:
        return list(enumerate(value))

    def join(self, pairs: list[tuple[Any, Any]]) -> list[Any]:
        return [item for _place, item in pairs]

    def schema(self) -> dict[str, Any]:
        words = length_words(self.limits, "minItems", "maxItems")
        return self.json_type | {"items": self.item.schema()} | words


class Mapping(_Container):
    """A dict with string keys, each value of one kind."""

    expected = _("an object")
    python = dict
    json_type: ClassVar[dict[str, Any]] = {"type": "object"}

    def __init__(self, item: Kind) -> None:
        super().__init__(item)
        self.keys = Text()

    def pairs(self, value: dict[str, Any]) -> list[tuple[Any, Any]]:
        return list(value.items())

    def native(self, value: Any) -> bool:
        return super().native(value) and all(self.keys.native(key) for key in value)

    def join(self, pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        return {self.keys.read(key): item for key, item in pairs}

    def schema(self) -> dict[str, Any]:
        words = length_words(self.limits, "minProperties", "maxProperties")
        return self.json_type | {"additionalProperties": self.item.schema()} | words


class Maybe(Kind):
    """`X | None`: null in JSON, empty on a page. Limits and validators are those of X."""

    may_be_blank = True

    def __init__(self, inner: Kind) -> None:
        super().__init__()
        self.inner = inner
        inner.may_be_blank = True
        self.help = inner.help
        self.takes, self.limits, self.validators = inner.takes, inner.limits, inner.validators
        self.expected = format_lazy(_("{kind} or null"), kind=inner.expected)

    def bound(self, limit: Any) -> bool:
        return self.inner.bound(limit)

    def native(self, value: Any) -> bool:
        return value is None or self.inner.native(value)

    def read(self, value: Any) -> Any:
        return None if value is None else self._inside(self.inner.read, value)

    def write(self, value: Any) -> Any:
        return None if value is None else self._inside(self.inner.write, value)

    def _inside(self, function: Callable[[Any], Any], value: Any) -> Any:
        try:
            return function(value)
        except ValidationError as exc:
            raise self.wrong(value) if exc.error_list[0].code == "type" else exc from exc

    def check(self, value: Any) -> None:
        if value is not None:
            self.inner.check(value)

    def parse(self, text: str) -> Any:
        if isinstance(self.inner, Text):
            return text
        return None if text.lower() in ("", "null", "none") else self.inner.parse(text)

    def member(self, key: str) -> Any:
        return self.inner.member(key)

    def key(self, value: Any) -> Any:
        return self.inner.key(value)

    def field(self, *, default: Any, help_text: str) -> fields.ParamField:
        self.inner.widget = self.widget or self.inner.widget
        field = self.inner.field(default=default, help_text=help_text)
        field.kind = self
        return field

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [self.inner.schema(), {"type": "null"}]}


def optional(kind: Kind) -> Kind:
    """`kind | None`. A truth that may be unknown is a choice, since a tick box has no third state."""
    if not isinstance(kind, Truth):
        return Maybe(kind)
    choice = Choice([Member(True, True, _("Yes")), Member(False, False, _("No"))])
    choice.help, choice.validators = kind.help, kind.validators
    return Maybe(choice)
