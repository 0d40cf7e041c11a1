"""Stored bytes, deflated where that pays: the first byte says which."""

from __future__ import annotations

import zlib

THRESHOLD = 100_000  # bytes; below it deflating costs more than it saves

_PLAIN, _DEFLATED = b"j", b"z"


def pack(data: bytes) -> bytes:
    """The bytes as they are stored."""
    if len(data) < THRESHOLD:
        return _PLAIN + data
    return _DEFLATED + zlib.compress(data, level=1)


def unpack(stored: bytes) -> bytes | None:
    """What `pack` was given, None where the stored bytes are damaged."""
    if stored[:1] == _PLAIN:
        return stored[1:]
    if stored[:1] != _DEFLATED:
        return None
    try:
        return zlib.decompress(stored[1:])
    except zlib.error:
        return None
