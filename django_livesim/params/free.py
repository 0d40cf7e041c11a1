"""Arguments of a loop that declares no commands: any plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

from django_livesim.params.containers import Anything, copy
from django_livesim.params.rules import Fields, Rules, bad_args, checked_mapping, texts_of


class Free(Rules):
    """Whatever plain JSON comes."""

    def clean(self, args: Mapping[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = {}
        errors: Fields = {}
        for name, value in checked_mapping(args).items():
            try:
                result.update(copy({name: value}))
            except ValidationError as exc:
                errors[name] = texts_of(exc)
        if errors:
            raise bad_args(errors)
        return result

    def bind(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return self.clean(args)

    def jsonable(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        return self.clean(cleaned)

    def clean_some(self, args: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
        return self.clean(args)

    def jsonable_some(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        return self.clean(cleaned)

    def parse_value(self, name: str, text: str) -> Any:
        """JSON where it is JSON, else the text."""
        return Anything().parse(text)

    def schema(self) -> dict[str, Any]:
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}
