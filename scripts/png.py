"""Screenshots as small PNG files, still and moving: colours from a palette, of which each pixel names one.

A browser reads the pixels and finds the palette. Moving ones are APNG: www.w3.org/TR/png-3/, section 4.11.
"""

from __future__ import annotations

import base64
import struct
import zlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from playwright.sync_api import Browser

READ = """
async (shots) => {
  const frames = [];
  for (const shot of shots) {
    const bytes = Uint8Array.from(atob(shot), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
    context.drawImage(bitmap, 0, 0);
    frames.push(context.getImageData(0, 0, bitmap.width, bitmap.height));
  }
  const counts = new Map();
  for (const { data } of frames)
    for (const pixel of new Uint32Array(data.buffer)) counts.set(pixel, (counts.get(pixel) ?? 0) + 1);
  const byCount = [...counts.keys()].sort((one, other) => counts.get(other) - counts.get(one));
  const split = (pixel) => [pixel & 255, (pixel >> 8) & 255, (pixel >> 16) & 255];
  const palette = byCount.slice(0, 256).map(split);
  const places = new Map(byCount.slice(0, 256).map((pixel, place) => [pixel, place]));
  for (const pixel of byCount.slice(256)) { // what is seldom becomes what it is most like
    const [red, green, blue] = split(pixel);
    let [nearest, least] = [0, Infinity];
    palette.forEach(([r, g, b], place) => {
      const distance = (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
      if (distance < least) [nearest, least] = [place, distance];
    });
    places.set(pixel, nearest);
  }
  return {
    palette,
    frames: frames.map(({ width, height, data }) => {
      const indices = Uint8Array.from(new Uint32Array(data.buffer), (pixel) => places.get(pixel));
      let text = "";
      for (let at = 0; at < indices.length; at += 8192)
        text += String.fromCharCode(...indices.subarray(at, at + 8192));
      return [width, height, btoa(text)];
    }),
  };
}
"""


class Frame(NamedTuple):
    """`pixels` are places in the palette, row after row."""

    width: int
    height: int
    pixels: bytes


def still(browser: Browser, shot: bytes) -> bytes:
    """A screenshot with at most 256 colours."""
    palette, (frame,) = read(browser, [shot])
    return signed(header(frame), palette, chunk(b"IDAT", packed(frame, 0, frame.height)), chunk(b"IEND", b""))


def moving(browser: Browser, shots: list[bytes], milliseconds: int) -> bytes:
    """Screenshots of one size, one after the other for so long each, for ever."""
    palette, frames = read(browser, shots)
    chunks, number = [], 0
    for place, frame in enumerate(frames):
        top, bottom = changed(frames[place - 1], frame) if place else (0, frame.height)
        chunks.append(control(number, frame.width, bottom - top, top, milliseconds))
        data = packed(frame, top, bottom)
        number += 1
        if place:
            chunks.append(chunk(b"fdAT", struct.pack(">I", number) + data))
            number += 1
        else:
            chunks.append(chunk(b"IDAT", data))
    animated = chunk(b"acTL", struct.pack(">II", len(frames), 0))
    return signed(header(frames[0]), animated, palette, *chunks, chunk(b"IEND", b""))


def read(browser: Browser, shots: list[bytes]) -> tuple[bytes, list[Frame]]:
    """The palette as a chunk, and the frames."""
    page = browser.new_page()
    found = page.evaluate(READ, [base64.b64encode(shot).decode() for shot in shots])
    page.close()
    frames = [Frame(width, height, base64.b64decode(text)) for width, height, text in found["frames"]]
    return chunk(b"PLTE", bytes(value for colour in found["palette"] for value in colour)), frames


def changed(before: Frame, after: Frame) -> tuple[int, int]:
    """The rows between which all lies that is different: the first, and that after the last."""
    width = after.width
    rows = [
        row
        for row in range(after.height)
        if before.pixels[row * width : row * width + width] != after.pixels[row * width : row * width + width]
    ]
    return (rows[0], rows[-1] + 1) if rows else (0, 1)


def packed(frame: Frame, top: int, bottom: int) -> bytes:
    width = frame.width
    rows = (b"\0" + frame.pixels[row * width : row * width + width] for row in range(top, bottom))
    return zlib.compress(b"".join(rows), 9)


def header(frame: Frame) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", frame.width, frame.height, 8, 3, 0, 0, 0))


def control(number: int, width: int, height: int, top: int, milliseconds: int) -> bytes:
    """Where the next frame goes, and how long it stays."""
    return chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, 0, top, milliseconds, 1000, 0, 0))


def signed(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
