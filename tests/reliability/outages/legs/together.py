"""All that befalls a deployment in two hours, at once and eight times as fast; what it holds stays flat.

Two hands at work side by side: one at the servers (Redis, database, network),
one at the workers (killed, stopped, harmed). Leases are eight times as short
as by default. What lives through all of it, a worker's parent and the web
server, must hold no more memory and descriptors in its last quarter than in
its second; no server more connections.
"""

from __future__ import annotations

import random
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from django.db import connections
from redis import Redis
from redis.exceptions import RedisError

from django_livesim import gateway
from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from django_livesim.testing import wait_until
from tests.reliability.chaos.nemeses import holds_the_database
from tests.reliability.ledger_app.harmful import HARMS
from tests.reliability.outages.found import Found
from tests.reliability.outages.proxy import Proxy
from tests.reliability.outages.servers import Servers
from tests.reliability.outages.stage import Stage, send

SPEED = 8
SECONDS = 2 * 3600 / SPEED
BRIEF = 40.0  # seconds of the short form
TTL = 1.5
"""Seconds of a lease; by default ten, and it takes three beats."""
LOOK = 2.0  # seconds between two looks at what is held
HEALED = 60.0  # seconds until all runs run again when it is over
SHARE = 1.10  # of the memory that there was, which there may be at the end
ROOM = 6.0  # and megabytes beyond
FEW = 6  # descriptors, or connections, that there may be more


Thing = Callable[[random.Random], None]


@dataclass
class Held:
    """What was held at each look, by name."""

    by_name: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.by_name.setdefault(name, []).append(value)

    def quarters(self, name: str) -> tuple[float, float]:
        """The medians of the second quarter and of the last."""
        values = self.by_name[name]
        quarter = max(1, len(values) // 4)
        return statistics.median(values[quarter : 2 * quarter] or values), statistics.median(
            values[-quarter:]
        )


def leg(servers: Servers, short: bool) -> Found:
    found = Found()
    livesim = {"LEASE_TTL": TTL, "BEAT": 0.3, "GRACE": 3.0, "CHECKPOINT_SECONDS": 1.0, "STRIKES": 8}
    with ExitStack() as stack:
        proxy = stack.enter_context(Proxy(servers.valkey.port))
        env = {"CHANNELS_REDIS": proxy.leading(servers.valkey.url)}
        options = ("--memory", "512")
        stage = stack.enter_context(
            Stage(runs=10 if short else 30, options=options, livesim=livesim, env=env)
        )
        _live_through(stage, servers, proxy, found, BRIEF if short else SECONDS)
        _heal(stage, found)
        stage.conclude(found)
    return found


def _live_through(stage: Stage, servers: Servers, proxy: Proxy, found: Found, seconds: float) -> None:
    """The servers in this thread: what a thread has begun ends with it."""
    until, held, done = time.monotonic() + seconds, Held(), dict[str, int]()
    gauges = _gauges(stage, servers)
    others = [
        Thread(_go_on, until, done, random.Random(2), _of_workers()),
        Thread(_look, until, held, gauges),
    ]
    for each in others:
        each.start()
    _go_on(until, done, random.Random(1), _of_servers(servers, proxy))
    for each in others:
        each.join()
        found.must(each.failed is None, f"this harness failed: {each.failed!r}")
    stage.crowd.check()
    found.figures["what happened"] = ", ".join(f"{name} {times}" for name, times in sorted(done.items()))
    found.figures["for"] = f"{seconds / 60:.1f} minutes, {SPEED} times as fast as by default"
    for name in gauges:
        _check(held, name, found)


def _go_on(until: float, done: dict[str, int], rng: random.Random, things: dict[str, Thing]) -> None:
    """Do one thing after the other; each undoes itself."""
    while time.monotonic() < until:
        time.sleep(rng.uniform(0.5, 4.0))
        name = rng.choice(sorted(things))
        things[name](rng)
        done[name] = done.get(name, 0) + 1


def _look(until: float, held: Held, gauges: dict[str, Callable[[], float]]) -> None:
    while time.monotonic() < until:
        time.sleep(LOOK)
        for name, gauge in gauges.items():
            with suppress(OSError, RedisError):
                held.add(name, gauge())


def _check(held: Held, name: str, found: Found) -> None:
    before, after = held.quarters(name)
    found.figures[f"{name}: second quarter, last quarter"] = f"{before:.0f}, {after:.0f}"
    most = before * SHARE + ROOM if "MB" in name else before + FEW
    found.must(after <= most, f"{name}: {before:.0f} in the second quarter, {after:.0f} in the last")


class Thread(threading.Thread):
    """Calls a function, and keeps what it raises."""

    def __init__(self, function: Callable[..., None], *args: Any) -> None:
        super().__init__(daemon=True)
        self.failed: BaseException | None = None
        self._function = partial(function, *args)

    def run(self) -> None:
        try:
            self._function()
        except BaseException as exc:  # said by whoever waits for it
            self.failed = exc
        finally:
            connections.close_all()


def _of_servers(servers: Servers, proxy: Proxy) -> dict[str, Thing]:
    valkey, database = servers.valkey, servers.database

    def killed(rng: random.Random) -> None:
        valkey.kill()
        time.sleep(rng.uniform(0.0, 4.0))
        valkey.start()

    def hung(rng: random.Random) -> None:
        valkey.hang()
        time.sleep(rng.uniform(0.5, 5.0))
        valkey.go_on()

    def gone(rng: random.Random) -> None:
        database.gone()
        time.sleep(rng.uniform(0.5, 5.0))
        database.back()

    def half_open(rng: random.Random) -> None:
        proxy.half_open()
        time.sleep(rng.uniform(1.0, 4.0))
        proxy.heal()

    return {
        "Redis killed": killed,
        "Redis hung": hung,
        "Redis flushed": lambda rng: valkey.flush(),
        "database gone": gone,
        "network half-open": half_open,
        "network cut": lambda rng: proxy.cut(),
    }


def _of_workers() -> dict[str, Thing]:
    def children(rng: random.Random) -> Iterator[int]:
        pids = []
        with suppress(Exception):  # the database may be away
            pids = list(Worker.objects.filter(state=Worker.State.ALIVE).values_list("pid", flat=True))
        rng.shuffle(pids)
        yield from pids

    def killed(rng: random.Random) -> None:
        if pid := next(children(rng), None):
            send(pid, signal.SIGKILL)

    def stopped(rng: random.Random) -> None:
        if (pid := next(children(rng), None)) and send(pid, signal.SIGSTOP):
            if holds_the_database():  # then it is the database that is gone, which is another's part
                send(pid, signal.SIGCONT)
                return
            time.sleep(rng.uniform(0.5, 3.0) * TTL)
            send(pid, signal.SIGCONT)

    def harmed(rng: random.Random) -> None:
        with suppress(Exception):
            gateway.start("harmful", {"how": rng.choice(sorted(HARMS)), "after": rng.randrange(20)})

    return {"worker killed": killed, "worker stopped": stopped, "harmful run": harmed}


def _gauges(stage: Stage, servers: Servers) -> dict[str, Callable[[], float]]:
    pids = {"web server": stage.workers.web_pid}
    pids |= {f"parent {place}": each.pid for place, each in enumerate(stage.workers.workers, 1)}
    gauges: dict[str, Callable[[], float]] = {}
    for name, pid in pids.items():
        gauges[f"{name}: MB"] = lambda pid=pid: _megabytes(pid)
        gauges[f"{name}: descriptors"] = lambda pid=pid: float(len(list(Path(f"/proc/{pid}/fd").iterdir())))
    gauges["connections to Redis"] = lambda: _clients(servers.valkey.url)
    return gauges


def _megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def _clients(url: str) -> float:
    with Redis.from_url(url, socket_timeout=1.0) as client:
        return float(len(client.client_list()))


def _heal(stage: Stage, found: Found) -> None:
    """Every good run runs again, and every page moves."""
    connections.close_all()  # that of this thread was cut
    began = time.monotonic()
    good = [run.id for run in stage.runs]

    def well() -> bool:
        return not stage.stale() and set(_statuses(good)) == {str(Status.RUNNING)}

    with suppress(AssertionError):
        wait_until(well, HEALED)
    found.figures["all well after"] = f"{time.monotonic() - began:.1f} s"
    found.must(well(), f"{len(stage.stale())} pages stale, runs {sorted(set(_statuses(good)))}")
    bad = Run.objects.exclude(id__in=good).exclude(status__in=[str(Status.FAILED), str(Status.QUARANTINED)])
    found.figures["harmful runs begun, not judged yet"] = (
        f"{Run.objects.exclude(id__in=good).count()}, {bad.count()}"
    )


def _statuses(runs: list[Any]) -> list[str]:
    return list(Run.objects.filter(id__in=runs).values_list("status", flat=True))
