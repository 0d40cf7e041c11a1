"""The kind with a fixed set of values: Enum and Literal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from django_livesim.params import fields
from django_livesim.params.kinds import Kind


class Member:
    """One of the values of a choice: `key` in HTML and on the command line."""

    def __init__(self, python: Any, plain: Any, label: Any, name: str = "") -> None:
        self.python = python
        self.json = plain
        self.label = label
        self.key = plain if isinstance(plain, str) and plain else name or json.dumps(plain)

    def is_value(self, value: Any) -> bool:
        """Whether `value` is this member, or its JSON: `1` is not `true`, nor `1.0`."""
        return value is self.python or (type(value) is type(self.json) and bool(value == self.json))


class Choice(Kind):
    """One of a fixed set: an Enum or a Literal."""

    field_class = fields.ChoiceField

    def __init__(self, members: Iterable[Member]) -> None:
        super().__init__()
        self.members = list(members)
        shown = ", ".join(json.dumps(member.json, ensure_ascii=False) for member in self.members)
        self.expected = format_lazy(_("one of: {members}"), members=shown)

    def native(self, value: Any) -> bool:
        return any(value is member.python for member in self.members) or self._find(value) is not None

    def _find(self, value: Any) -> Member | None:
        return next((member for member in self.members if member.is_value(value)), None)

    def tidy(self, value: Any) -> Any:
        found = self._find(value)
        return found.python if found else value

    def write(self, value: Any) -> Any:
        found = self._find(value)
        if found is None:
            raise self.wrong(value)
        return found.json

    def parse(self, text: str) -> Any:
        found = (member.json for member in self.members if text in (member.key, json.dumps(member.json)))
        return next(found, text)

    def member(self, key: str) -> Any:
        return next((member.python for member in self.members if member.key == key), fields.MISSING)

    def key(self, value: Any) -> Any:
        found = self._find(value)
        return found.key if found else value

    def field_options(self, default: Any) -> dict[str, Any]:
        blank = [("", "---------")] if default is fields.MISSING or self.may_be_blank else []
        return {"choices": blank + [(member.key, member.label) for member in self.members]}

    def schema(self) -> dict[str, Any]:
        return {"enum": [member.json for member in self.members]}
