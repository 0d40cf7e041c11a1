"""What the processes of a leg hold: descriptors, and connections to Valkey."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from redis import Redis

OURS = ("uvicorn", "livesim_worker", "worker.child", "chaos.gateway")
"""What the command line of a process under test has in it."""


@dataclass(frozen=True)
class Held:
    """At one moment; processes by their id."""

    descriptors: dict[int, int]
    connections: int


class Gauge:
    """Counts what there is at its making, and says later what there is more."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.before = self.look()

    def look(self) -> Held:
        return Held(
            descriptors={pid: _descriptors(pid) for pid in _family(os.getpid()) if _is_ours(pid)},
            connections=self._connections(),
        )

    def ended(self) -> list[int]:
        """The processes that are no more."""
        return sorted(self.before.descriptors.keys() - self.look().descriptors.keys())

    def settled(self, connections: float, descriptors: int, limit: float) -> Held:
        """What there is as soon as it is little more than before, or after `limit` seconds."""
        until = time.monotonic() + limit
        while True:
            now = self.look()
            if self._is_settled(now, connections, descriptors) or time.monotonic() > until:
                return now
            time.sleep(0.5)

    def _is_settled(self, now: Held, connections: float, descriptors: int) -> bool:
        return now.connections <= connections * self.before.connections and self.most(now) <= descriptors

    def most(self, now: Held) -> int:
        """By how many descriptors a process has more than before, at most."""
        common = now.descriptors.keys() & self.before.descriptors.keys()
        return max(now.descriptors[pid] - self.before.descriptors[pid] for pid in common)

    def _connections(self) -> int:
        with Redis.from_url(self._url) as client:
            return len(client.client_list()) - 1


def _family(pid: int) -> Iterator[int]:
    """The processes that this one has begun, and theirs."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield int(child)
                yield from _family(int(child))


def _is_ours(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        return any(name in line for name in OURS)
    return False


def _descriptors(pid: int) -> int:
    """Those to files of SQLite aside: threads that ask the database come and go, with two each."""
    count = 0
    with suppress(FileNotFoundError, ProcessLookupError):
        for each in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                count += ".sqlite3" not in str(each.readlink())
    return count
