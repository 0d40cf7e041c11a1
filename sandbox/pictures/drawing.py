"""Pictures, drawn and made smaller with nothing but the standard library."""

from __future__ import annotations

import math
import struct
import zlib
from random import Random

Pixel = tuple[int, int, int]
Rows = list[list[Pixel]]
"""The lines of a picture, from the top."""

SIZE = 160, 120


def draw(image_id: int) -> Rows:
    """The picture of this id, always the same: discs before a sky."""
    random = Random(image_id)
    width, height = SIZE
    sky, ground = ([random.randrange(40, 216) for _ in range(3)] for _ in range(2))
    discs = [
        (random.randrange(width), random.randrange(height), random.randrange(8, 30), _colour(random))
        for _ in range(6)
    ]

    def pixel(x: int, y: int) -> Pixel:
        for at_x, at_y, radius, colour in discs:
            if math.hypot(x - at_x, y - at_y) < radius:
                return colour
        red, green, blue = (a + (b - a) * y // height for a, b in zip(sky, ground, strict=True))
        return red, green, blue

    return [[pixel(x, y) for x in range(width)] for y in range(height)]


def _colour(random: Random) -> Pixel:
    return random.randrange(256), random.randrange(256), random.randrange(256)


def shrink(rows: Rows, by: int) -> Rows:
    """Each `by` times `by` pixels become one, of their mean colour."""
    return [
        [
            _mean([pixel for line in rows[y : y + by] for pixel in line[x : x + by]])
            for x in range(0, len(rows[0]), by)
        ]
        for y in range(0, len(rows), by)
    ]


def _mean(pixels: list[Pixel]) -> Pixel:
    red, green, blue = (sum(part) // len(pixels) for part in zip(*pixels, strict=True))
    return red, green, blue


def png(rows: Rows) -> bytes:
    """As a file. Source: PNG specification, https://www.w3.org/TR/png-3/, colour type 2, filter 0."""
    lines = b"".join(b"\0" + bytes(value for pixel in line for value in pixel) for line in rows)
    header = struct.pack(">IIBBBBB", len(rows[0]), len(rows), 8, 2, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
