"""The viewers that measure servers see what these send."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.live import burst, frozen, full
from benchmarks.live.compare import table
from benchmarks.live.crowd import Seen, look
from benchmarks.live.processes import PINS
from benchmarks.live.servers import Scene, broadcast
from tests import services

SCENE = Scene(viewers=5, entities=100, rate=20, seconds=2)


def seen(**members: object) -> Seen:
    """Of a server that gives all that is asked for."""
    figures: dict[str, Any] = {
        "seconds": 1.0,
        "frames": 100,
        "bytes": 1_300_000,
        "offered": 100,
        "of_others": 100,
    }
    figures |= {"fewest": 20, "closed": 0, "cpu": 0.1, "p50": 1.0, "p99": 2.0, "frozen": 0, "woken": []}
    return Seen(**(figures | {"spent": 0.001, "memory": 50.0} | members))


def cells(row: str) -> list[str]:
    return [each.strip() for each in row.strip("|").split("|")]


@pytest.mark.skipif(not PINS, reason="processes are pinned to cores, which is Linux's")
@pytest.mark.parametrize("deflate", [False, True])
def test_a_crowd_counts_the_frames_of_a_server_and_how_old_they_were(deflate: bool) -> None:
    services.executable("node")
    with broadcast(SCENE, deflate=deflate) as site:
        found = look(site, SCENE, warm=0.2, deflate=deflate)
    assert found.frames > 0
    assert found.p50 is not None and found.p50 > 0
    assert found.size is not None and (found.size < 10_000) is deflate
    assert found.closed == 0


def test_a_server_that_skips_frames_has_no_ratio() -> None:
    found = {"websockets.broadcast": [seen()], "ours": [seen(of_others=99, spent=0.002)]}
    measure, ours = table(found, SCENE).splitlines()[2:]
    assert "| 100.0% | 100 | 10.0 | 1.00 |" in measure
    assert "| 99.0%, not sustained | 100 | 20.0 | - |" in ours


def test_nothing_is_compared_to_a_measure_that_skips_frames_itself() -> None:
    found = {"websockets.broadcast": [seen(of_others=99)], "ours": [seen(spent=0.002)]}
    assert [cells(row)[4] for row in table(found, SCENE).splitlines()[2:]] == ["-", "-"]


def test_where_no_age_could_be_told_none_is_shown() -> None:
    found = {"all rounds": [seen(p50=None, p99=None)], "one of two": [seen(), seen(p50=None, p99=None)]}
    assert [cells(row)[5] for row in table(found, SCENE).splitlines()[2:]] == ["- / -", "- / -"]


def test_where_no_frame_arrived_a_delivery_has_neither_cost_nor_size() -> None:
    (row,) = table({"ours": [seen(frames=0, of_others=0, bytes=0, p50=None, p99=None)]}, SCENE).splitlines()[
        2:
    ]
    assert cells(row)[1:7] == ["0.0%, not sustained", "0", "-", "-", "- / -", "-"]


@pytest.mark.parametrize(
    ("frozen_ones", "woken", "shown"),
    [
        (100, [*range(1, 100)], ["99", "99 of 100"]),
        (100, [*range(1, 99)], ["never", "98 of 100"]),
        (100, [5] * 30, ["never", "30 of 100"]),
        (5, [], ["never", "0 of 5"]),
        (5, [50, 10, 30, 20, 40], ["50", "5 of 5"]),
        (0, [], ["-", "0 of 0"]),
    ],
)
def test_who_never_woke_is_not_left_out_of_how_long_it_took(
    frozen_ones: int, woken: list[int], shown: list[str]
) -> None:
    some = seen(frozen=frozen_ones, woken=woken)
    (row,) = frozen.table({"ours": [(seen(), some)]}).splitlines()[2:]
    assert cells(row)[5:7] == shown


def test_ages_of_frozen_and_others_are_compared_where_both_are_known() -> None:
    unknown, old = seen(p50=None, p99=None), seen(p99=4.0)
    found = {"both": [(seen(), old)], "before": [(seen(), unknown)], "after": [(unknown, old)]}
    rows = [cells(row)[1:4] for row in frozen.table(found).splitlines()[2:]]
    assert rows == [["2.0", "4.0", "2.00"], ["2.0", "-", "-"], ["-", "4.0", "-"]]


@pytest.mark.parametrize(("p99", "expected"), [(999.0, True), (1000.0, False), (None, False)])
def test_a_rate_is_in_time_only_where_ages_are_known(p99: float | None, expected: bool) -> None:
    assert full.in_time(seen(p99=p99)) is expected


def outcome(**members: object) -> burst.Outcome:
    """Of a burst of which all commands have acted."""
    figures: dict[str, Any] = {
        "acted": 1000,
        "closed": {},
        "accepted": 1000,
        "errors": 0,
        "sent": 0.1,
        "seconds": 3.0,
    }
    return burst.Outcome(**(figures | members))


def test_of_a_burst_the_worst_round_is_shown() -> None:
    late = outcome(sent=0.25, seconds=9.0)
    lost = outcome(acted=990, accepted=990, errors=10, seconds=None)
    rows = burst.table({"late": [outcome(), late, outcome()], "lost": [outcome(), lost]}).splitlines()[2:]
    assert cells(rows[0])[1:] == ["250", "0", "1,000", "0", "0", "9.0"]
    assert cells(rows[1])[1:] == ["100", "10", "990", "10", "0", "-"]


@pytest.mark.parametrize(
    ("members", "untold"),
    [
        ({}, 0),
        ({"acted": 990, "accepted": 990, "errors": 10}, 0),
        ({"acted": 980, "accepted": 980, "closed": {4408: 1}}, 0),
        ({"acted": 980, "accepted": 990, "closed": {4408: 1}}, 10),
        ({"acted": 990}, 10),
    ],
)
def test_a_burst_fails_where_commands_vanish_and_not_where_they_are_refused(
    members: dict[str, object], untold: int
) -> None:
    assert outcome(**members).untold == untold
