"""What a page says of a field of JSON to who has never seen any."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from django_livesim.params.fields import JsonField

ITEMS = {"string": "text", "integer": 1, "number": 1.5, "boolean": True}
"""An example for each type of JSON Schema that is no container."""


def hint(field: JsonField) -> str:
    """The help of a field that has none: an example, where its type tells what is in it and it takes that."""
    try:
        example = _example(field.kind.schema())
        field.kind.check(field.kind.read(example))
    except (LookupError, ValidationError):
        return _("As JSON.")
    text = json.dumps(example, ensure_ascii=False)
    return _("As JSON, for example %(example)s.") % {"example": text}


def _example(schema: dict[str, Any]) -> Any:
    """A small value of that schema, which limits may yet refuse; a LookupError where it may be anything."""
    inner = next(iter(schema.get("anyOf", [])), schema)
    if "enum" in inner:
        return inner["enum"][0]
    kind = inner["type"]
    if kind == "array":
        return [_example(inner["items"])]
    if kind == "object":
        return {"name": _example(inner["additionalProperties"])}
    return ITEMS[kind]
