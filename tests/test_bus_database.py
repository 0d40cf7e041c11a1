"""What viewers are told while the database, or the worker's way to it, is away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from django_livesim.bus import watch
from django_livesim.protocol import frames
from tests.test_bus import Page, Table, frame, lane, nothing_is_left, until, watching

__all__ = ["nothing_is_left"]


def reasons(page: Page) -> list[str]:
    return [each["reason"] for each in page.of("status")]


@pytest.fixture(autouse=True)
def quick(settings: Any) -> None:
    settings.LIVESIM = {"BEAT": 0.3, "LEASE_TTL": 10.0}


@pytest.fixture
def beating(monkeypatch: pytest.MonkeyPatch) -> Table:
    """A table whose run has a worker that has beaten once."""
    table = Table()
    assert table.facts is not None
    table.facts = replace(table.facts, beat=1)
    return table


async def test_viewers_are_told_that_the_rows_cannot_be_read_and_when_they_can_again() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table):
        await until(lambda: table.reads)
        table.error = OSError("the database is away")
        await until(lambda: reasons(page) == ["", watch.BLIND])
        table.error = None
        await until(lambda: reasons(page) == ["", watch.BLIND, ""])


async def test_a_reason_of_the_runs_own_is_told_beside_it() -> None:
    run, page, table = uuid4(), Page(), Table()
    assert table.facts is not None
    table.facts = replace(table.facts, status="paused", reason="nobody is watching")
    async with watching(page, run, table):
        await until(lambda: table.reads)
        table.error = OSError("the database is away")
        await until(lambda: reasons(page) and reasons(page)[-1] == f"nobody is watching; {watch.BLIND}")


async def test_a_run_that_has_ended_waits_for_nothing() -> None:
    run, page, table = uuid4(), Page(), Table()
    assert table.facts is not None
    table.facts = replace(table.facts, status="finished")
    async with watching(page, run, table):
        await until(lambda: table.reads)
        table.error, reads = OSError("the database is away"), table.reads
        await until(lambda: table.reads > reads + 1)
    assert reasons(page) == [""]


async def test_what_was_heard_last_is_told_where_the_rows_cannot_be_read() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        await until(lambda: table.reads)
        table.error = OSError("the database is away")
        joined.hear(lane(frames.status("paused", 5, None, 0, "asked for"), "status"))
        await until(lambda: reasons(page)[-1].endswith(watch.BLIND))
        table.error = None  # and the row is as it was
        await until(lambda: reasons(page)[-1] == "")
    told = [(each["status"], each["tick"], each["speed"], each["reason"]) for each in page.of("status")]
    assert told == [
        ("running", 0, 1.0, ""),
        ("paused", 5, "max", "asked for"),
        ("paused", 5, "max", f"asked for; {watch.BLIND}"),
        ("running", 0, 1.0, ""),
    ]


async def test_an_end_that_was_heard_is_not_taken_back_where_the_rows_cannot_be_read() -> None:
    run, page, table = uuid4(), Page(), Table()
    async with watching(page, run, table) as joined:
        await until(lambda: table.reads)
        table.error, reads = OSError("the database is away"), table.reads
        joined.hear(lane(frames.status("finished", 5, None, 1.0, ""), "status"))
        joined.hear(lane(frames.end("finished", 1), "end"))
        await until(lambda: table.reads > reads + 1)
    assert page.kinds() == ["status", "status", "end"]
    assert page.of("status")[-1]["status"] == "finished"


async def test_a_view_that_cannot_be_decoded_says_nothing_of_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, page, table = uuid4(), Page(), Table()
    asked_for: list[str] = []
    assert table.facts is not None
    table.facts = replace(table.facts, worker=None, status="paused")

    async def broken(asked: Any, role: str) -> Any:
        asked_for.append(role)
        raise ValueError("not a checkpoint")

    monkeypatch.setattr(table, "view", broken)
    async with watching(page, run, table):
        await until(lambda: table.reads > 2)
    assert len(asked_for) >= 2
    assert reasons(page) == [""]


async def test_viewers_are_told_that_a_worker_does_not_beat_and_when_it_does_again(beating: Table) -> None:
    run, page, table = uuid4(), Page(), beating
    async with watching(page, run, table):
        await until(lambda: reasons(page) == ["", watch.SILENT])
        assert table.facts is not None
        table.facts = replace(table.facts, beat=2)
        await until(lambda: reasons(page)[-1] == "")


async def test_a_worker_that_beats_is_not_silent(beating: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    run, page, table = uuid4(), Page(), beating
    read = table.read

    async def beats(asked: Any) -> Any:
        assert table.facts is not None
        table.facts = replace(table.facts, beat=table.reads)
        return await read(asked)

    monkeypatch.setattr(table, "read", beats)
    async with watching(page, run, table):
        await until(lambda: table.reads > 4)
    assert reasons(page) == [""]


async def test_what_moves_again_has_the_row_read_at_once(
    beating: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, page, table = uuid4(), Page(), beating
    async with watching(page, run, table) as joined:
        await until(lambda: reasons(page)[-1:] == [watch.SILENT])
        monkeypatch.setattr(watch, "INTERVAL", 1000.0)
        reads = table.reads
        await until(lambda: table.reads > reads)  # from here on nobody looks by the clock
        assert table.facts is not None
        table.facts = replace(table.facts, beat=2)
        joined.hear(frame(1))
        await until(lambda: reasons(page)[-1] == "")
