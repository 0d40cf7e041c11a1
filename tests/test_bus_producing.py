"""What viewers are told of runs that are produced: fast, by several, and ended by somebody else."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from django_livesim.bus import watch
from django_livesim.bus.rows import Facts
from django_livesim.protocol import frames
from tests.test_bus import Page, Table, frame, lane, nothing_is_left, until, watching

__all__ = ["nothing_is_left"]

PAUSE = 0.04  # seconds between two tellings of a fast producer
READING = 0.06  # seconds that its row takes to be read
LONG = 3.0  # seconds


def told(status: str, tick: int, progress: float | None = None, epoch: int = 1) -> dict[str, Any]:
    text = frames.status(status, tick, progress, 1.0, "")
    return {**lane(text, "status"), "epoch": epoch, "tick": tick}


@pytest.fixture
def table() -> Table:
    """With a run that is produced."""
    table = Table()
    table.facts = Facts(status="running", epoch=1, produced=True, tick=5, sharing=("private",))
    return table


def slow(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    read = table.read

    async def reading(run: Any) -> Facts | None:
        found = await read(run)
        await asyncio.sleep(READING)
        return found

    monkeypatch.setattr(table, "read", reading)


async def test_a_fast_producer_has_its_row_read_now_and_then_and_what_rights_rest_on_is_seen(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(table, monkeypatch)
    page = Page()
    async with watching(page, uuid4(), table) as joined:
        await until(lambda: table.reads)
        reads, began = table.reads, time.monotonic()
        for tick in range(6, 1000):
            elapsed = time.monotonic() - began
            if elapsed > LONG:
                break
            sharing = ("private",) if elapsed < LONG / 3 else ("nobody",)
            assert table.facts is not None
            table.facts = replace(table.facts, tick=tick, progress=tick / 1000, sharing=sharing)
            joined.hear(told("running", tick, tick / 1000))
            await asyncio.sleep(PAUSE)
        assert page.viewer.doubt.is_set()
        assert table.reads - reads <= (time.monotonic() - began) / watch.INTERVAL + 2
    ticks = [each["tick"] for each in page.of("status")]
    assert ticks == sorted(ticks)


async def test_a_status_of_the_same_tick_is_not_taken_back_by_an_older_reading(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow(table, monkeypatch)
    page = Page()
    async with watching(page, uuid4(), table) as joined:
        await until(lambda: table.reads)
        assert table.facts is not None
        table.facts = replace(table.facts, status="stopping")
        joined.hear(told("stopping", 5))
        reads = table.reads
        await until(lambda: table.reads > reads + 1)
    assert [each["status"] for each in page.of("status")] == ["running", "stopping"]


async def test_nothing_older_is_told_after_a_stop_that_its_producer_did_not_make(table: Table) -> None:
    page = Page()
    async with watching(page, uuid4(), table) as joined:
        await until(lambda: table.reads)
        table.facts = Facts(status="stopped", epoch=2, produced=True, tick=5)
        joined.hear({"type": "livesim.look"})
        await until(lambda: page.of("end"))
        joined.hear(told("running", 5, 0.5))
        joined.hear(frame(5))
        reads = table.reads
        await until(lambda: table.reads > reads)
        joined.hear(told("stopped", 5, epoch=2))
        joined.hear(frame(6, epoch=2))
        await until(lambda: page.of("snapshot"))
    heard = page.kinds()
    assert heard[heard.index("end") :] == ["end", "status", "snapshot"]
    assert [each["status"] for each in page.of("status")][-2:] == ["stopped", "stopped"]
    assert page.of("snapshot")[0]["epoch"] == 2


async def test_a_stale_reading_of_an_epoch_before_is_passed_over(table: Table) -> None:
    page = Page()
    async with watching(page, uuid4(), table) as joined:
        await until(lambda: table.reads)
        joined.hear(told("stopped", 5, epoch=2))
        reads = table.reads
        await until(lambda: table.reads > reads + 1)
    assert [each["status"] for each in page.of("status")] == ["running", "stopped"]
