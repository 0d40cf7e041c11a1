"""The pictures of the documents, and what the benchmark of the page reads from a trace."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.page.trace import tasks
from scripts import png
from scripts.screenshots import SCHEMES, SHOTS, SIZES

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
STILL = [f"{name}-{width}-{scheme}.png" for name in SHOTS for width in SIZES for scheme in SCHEMES]


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents; each checksum is right."""
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    at = 8
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(name + content),)
        yield name, content
        at += 12 + length


def test_there_is_a_picture_of_each_page_in_each_size_and_scheme() -> None:
    assert sorted(STILL) == sorted(path.name for path in PICTURES.glob("*-*.png"))


@pytest.mark.parametrize("name", [*STILL, "live.png"])
def test_a_picture_has_its_size_and_all_of_its_rows(name: str) -> None:
    found = dict(chunks((PICTURES / name).read_bytes()))
    width, height, depth, kind = struct.unpack_from(">IIBB", found[b"IHDR"])
    assert (depth, kind) == (8, 3)
    assert len(zlib.decompress(found[b"IDAT"])) == height * (width + 1)
    if name in STILL:
        assert width == int(name.split("-")[1])


def test_the_moving_picture_has_as_many_frames_as_it_says_in_their_order() -> None:
    found = list(chunks((PICTURES / "live.png").read_bytes()))
    names = [name for name, _ in found]
    (count, plays) = struct.unpack(">II", dict(found)[b"acTL"])
    assert (names.count(b"fcTL"), plays) == (count, 0)
    assert count >= 10
    numbers = [struct.unpack_from(">I", content)[0] for name, content in found if name in (b"fcTL", b"fdAT")]
    assert numbers == list(range(len(numbers)))


def test_of_two_frames_the_rows_that_differ_are_found() -> None:
    before = png.Frame(2, 4, bytes(8))
    assert png.changed(before, png.Frame(2, 4, bytes([0, 0, 0, 1, 2, 0, 0, 0]))) == (1, 3)
    assert png.changed(before, before) == (0, 1)


def test_the_longest_task_of_the_busiest_thread_is_read_from_a_trace() -> None:
    def event(tid: int, name: str, ts: int, dur: int, tdur: int) -> dict[str, object]:
        return {"ph": "X", "pid": 1, "tid": tid, "name": name, "ts": ts, "dur": dur, "tdur": tdur}

    main = {"ph": "M", "pid": 1, "name": "thread_name", "args": {"name": "CrRendererMain"}}
    run = "ThreadControllerImpl::RunTask"
    events = [
        {**main, "tid": 1},
        {**main, "tid": 2},
        event(1, run, 0, 60_000, 10_000),
        event(1, run, 70_000, 30_000, 20_000),
        event(1, "Layout", 71_000, 5_000, 5_000),
        event(2, run, 0, 1_000, 1_000),
        event(3, run, 0, 900_000, 900_000),
    ]
    found = tasks(json.dumps({"traceEvents": events}).encode())
    assert found.longest == (60.0, 20.0)
    assert found.long == (1, 0)
    assert found.within == {"Layout": 5.0}
