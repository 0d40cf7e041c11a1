"""A view that is too large to be sent: what viewers' hubs are told in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MIB = 2**20

LARGE = "livesim.large"


@dataclass(frozen=True, kw_only=True)
class Large:
    """Takes the number that the frame would have had: `(epoch, seq)` says which of two is newer."""

    role: str
    epoch: int
    seq: int
    tick: int
    size: int
    """Bytes of the view,"""
    most: int
    """and those that are sent at most: MAX_FRAME_BYTES."""

    @property
    def number(self) -> tuple[int, int]:
        return self.epoch, self.seq

    @property
    def reason(self) -> str:
        """Why viewers do not see it, for the status."""
        return f"not shown, since its view takes {_size(self.size)}, and {_size(self.most)} are sent at most"

    def encode(self) -> dict[str, Any]:
        return {"type": LARGE, **asdict(self)}

    @classmethod
    def decode(cls, message: Mapping[str, Any]) -> Large:
        """Raises KeyError where something is missing."""
        return cls(**{name: message[name] for name in cls.__dataclass_fields__})


def _size(count: int) -> str:
    return f"{count / MIB:.1f} MiB" if count >= MIB / 10 else f"{count} bytes"
