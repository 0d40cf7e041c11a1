"""What somebody knows of a view: whole by a snapshot, kept up by deltas, by their numbers.

A worker has one of what it sent last, a hub of what it heard last, a client of what it was sent last. After
(3, 7) a mirror takes a delta of epoch 3 whose `prev` is 7, or any newer snapshot. Another delta says that
something is missing: then the mirror stays as it is, until a snapshot comes.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from django_livesim.protocol import delta, tables
from django_livesim.protocol.delta import BadPatch, View
from django_livesim.protocol.tables import Packed

LEAST, MOST = -(2**63), 2**64 - 1  # whole numbers that orjson writes as such


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A view as it is sent: what is in no table, and the tables."""

    state: View
    tables: Mapping[str, Packed] = field(default_factory=dict)

    def check(self) -> int:
        """CRC-32 of it as JSON with sorted names, where whole numbers are written as such: 1.0 as 1."""
        plain = {"state": _plain(self.state), "tables": _plain(self.tables)}
        return zlib.crc32(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS))


def _plain(value: Any) -> Any:
    if value.__class__ is dict:
        return {name: _plain(member) for name, member in value.items()}
    if value.__class__ is list:
        return [_plain(member) for member in value]
    if value.__class__ is float and value.is_integer() and LEAST <= value < MOST:
        return int(value)
    return value


def after(picture: Picture, message: Mapping[str, Any]) -> Picture:
    """The picture after a delta. Raises BadPatch where that does not fit it."""
    changed = message.get("tables", {})
    if not changed.keys() <= picture.tables.keys():
        raise BadPatch("The delta is of a table that the view does not have.")
    return Picture(
        state=delta.apply(picture.state, message["patch"], message["nulls"]),
        tables={
            name: tables.apply(table, changed[name]) if name in changed else table
            for name, table in picture.tables.items()
        },
    )


class Mirror:
    """Takes the frames of one view in the order in which they come, and says whether something is missing."""

    def __init__(self) -> None:
        self.number = (-1, -1)
        self.tick = 0
        self.picture: Picture | None = None

    def take(self, message: Mapping[str, Any]) -> bool:
        """Take a `snapshot` or a `delta`; False where a snapshot is needed to go on. Old ones are dropped."""
        number = (message["epoch"], message["seq"])
        if number <= self.number:
            return True
        if message["type"] == "snapshot":
            picture = Picture(state=message["state"], tables=message.get("tables", {}))
        elif self.picture is None or (message["epoch"], message["prev"]) != self.number:
            return False
        else:
            try:
                picture = after(self.picture, message)
            except BadPatch:
                return False
            if "crc" in message and message["crc"] != picture.check():
                return False
        self.number, self.tick, self.picture = number, message["tick"], picture
        return True
