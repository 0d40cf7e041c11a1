"""The JSON Schemas of the socket's messages, as a test uses them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

from jsonschema import Draft202012Validator

DOCS = Path(__file__).resolve().parent.parent / "docs"

Side = Literal["server", "client"]


@cache
def schema(side: Side) -> dict[str, Any]:
    """The document of everything that one side may say."""
    document: dict[str, Any] = json.loads((DOCS / "schemas" / f"{side}.json").read_text())
    Draft202012Validator.check_schema(document)
    return document


def message_types(side: Side) -> list[str]:
    return [each["$ref"].rpartition("/")[2] for each in schema(side)["oneOf"]]


@cache
def _validator(side: Side, kind: str) -> Draft202012Validator:
    return Draft202012Validator({**schema(side), "oneOf": [{"$ref": f"#/$defs/{kind}"}]})


def problems(side: Side, message: Any) -> list[str]:
    """What is wrong with a message, nothing where it is one of the protocol's."""
    kind = message.get("type") if isinstance(message, dict) else None
    if kind not in message_types(side):
        return [f"{kind!r} is no type of message that the {side} sends"]
    found = _validator(side, kind).iter_errors(message)
    return [inner.message for error in found for inner in (error.context or [error])]


def check(side: Side, message: Any) -> Any:
    """The message, once it is known to hold the schema."""
    assert not problems(side, message), (message, problems(side, message))
    return message
