"""The viewers that measure servers see what these send."""

from __future__ import annotations

import pytest

from benchmarks.live.compare import table
from benchmarks.live.crowd import Seen, look
from benchmarks.live.processes import PINS
from benchmarks.live.servers import Scene, broadcast
from tests import services

SCENE = Scene(viewers=5, entities=100, rate=20, seconds=2)


def seen(**members: object) -> Seen:
    """Of a server that gives all that is asked for."""
    figures = {"seconds": 1.0, "frames": 100, "bytes": 1_300_000, "offered": 100, "of_others": 100}
    figures |= {"fewest": 20, "closed": 0, "cpu": 0.1, "p50": 1.0, "p99": 2.0, "woken": 0}
    return Seen(**(figures | {"slowest_to_wake": None, "spent": 0.001, "memory": 50.0} | members))


@pytest.mark.skipif(not PINS, reason="processes are pinned to cores, which is Linux's")
@pytest.mark.parametrize("deflate", [False, True])
def test_a_crowd_counts_the_frames_of_a_server_and_how_old_they_were(deflate: bool) -> None:
    services.executable("node")
    with broadcast(SCENE, deflate=deflate) as site:
        found = look(site, SCENE, warm=0.2, deflate=deflate)
    assert found.frames > 0
    assert found.p50 is not None and found.p50 > 0
    assert (found.size < 10_000) is deflate
    assert found.closed == 0


def test_a_server_that_skips_frames_has_no_ratio() -> None:
    found = {"websockets.broadcast": [seen()], "ours": [seen(of_others=99, spent=0.002)]}
    measure, ours = table(found, SCENE).splitlines()[2:]
    assert "| 100.0% | 100 | 10.0 | 1.00 |" in measure
    assert "| 99.0%, not sustained | 100 | 20.0 |  |" in ours
