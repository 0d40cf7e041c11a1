"""A network that lags, cuts and half-opens connections to the database and to Redis, of all and of one.

Between the processes and their servers are proxies; one worker has proxies of its own, so that it can be
parted from the rest. On SQLite there is only Redis to be parted from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from django_livesim import conf
from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from tests.reliability.chaos import audit, checks
from tests.reliability.chaos.checks import Findings
from tests.reliability.outages.found import Found
from tests.reliability.outages.proxy import Proxy
from tests.reliability.outages.servers import PostgreSQL, Servers
from tests.reliability.outages.stage import Stage

LAG = 0.2  # seconds each way
OFTEN = 2.0  # seconds between two cuts
PAGES = 10.0  # seconds from when the network is healed until every page shows something new
FEW = 5.0  # seconds beyond a lease until every run runs again
LOOK = 0.25  # seconds between two looks
GIVE_UP = 60.0  # seconds after which what has not come back is counted as never


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """What the network does to some processes for a while."""

    name: str
    proxies: Iterable[Proxy]
    begin: Callable[[Proxy], None]
    seconds: float
    every: float | None = None
    """Seconds after which it is done again."""


def leg(servers: Servers, short: bool) -> Found:
    found = Found()
    audit.install()
    with _proxies(servers) as (others, one):
        env, own = _env(servers, others), _env(servers, one)
        everybody = [*others, *one]
        troubles = [
            *_troubles("all", everybody, short=short),
            *_troubles("one worker", one, short=short),
        ]
        runs = 10 if short else 50
        with Stage(runs=runs, env=env, one=own) as stage:
            for trouble in troubles:
                _undergo(stage, trouble, everybody, found)
            stage.conclude(found)
            _check_zombies(found)
            found.figures["connections that are silent still"] = str(sum(each.silent for each in everybody))
    return found


@contextmanager
def _proxies(servers: Servers) -> Iterator[tuple[list[Proxy], list[Proxy]]]:
    """Those of all but one worker, and that one's: the first leads to Redis, the second to PostgreSQL."""
    ports = [servers.valkey.port]
    if isinstance(servers.database, PostgreSQL):
        ports.append(urlsplit(servers.database.url).port or 0)
    with ExitStack() as stack:
        yield tuple([stack.enter_context(Proxy(port)) for port in ports] for _ in range(2))  # type: ignore[misc]


def _env(servers: Servers, proxies: list[Proxy]) -> dict[str, str]:
    env = {"CHANNELS_REDIS": proxies[0].leading(servers.valkey.url)}
    if len(proxies) > 1:
        env["DATABASE_URL"] = proxies[1].leading(servers.database.url)
    return env


def _troubles(who: str, proxies: list[Proxy], *, short: bool) -> list[Trouble]:
    def trouble(
        what: str, begin: Callable[[Proxy], None], seconds: float, every: float | None = None
    ) -> Trouble:
        return Trouble(name=f"{who}, {what}", proxies=proxies, begin=begin, seconds=seconds, every=every)

    silent = trouble(f"half-open for {5 if short else 15} s", Proxy.half_open, 5.0 if short else 15.0)
    if short:
        return [trouble("cut", Proxy.cut, 1.0), silent]
    return [
        trouble("200 ms each way for 20 s", lambda proxy: proxy.lag(LAG), 20.0),
        trouble("cut once", Proxy.cut, 1.0),
        trouble("cut every 2 s for 20 s", Proxy.cut, 20.0, OFTEN),
        silent,
        trouble("half-open for 30 s", Proxy.half_open, 30.0),
    ]


def _held_by_first(stage: Stage) -> int:
    """How many runs the first worker has."""
    parent = stage.workers.workers[0].pid
    rows = Run.objects.filter(worker__state=Worker.State.ALIVE).values_list("worker__pid", flat=True)
    return sum(_parent_of(pid) == parent for pid in rows)


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _undergo(stage: Stage, trouble: Trouble, everybody: list[Proxy], found: Found) -> None:
    stage.tell(trouble.name)
    if trouble.proxies is not everybody:
        first = Run.objects.filter(adoptions__gt=0).count() == 0  # its peer may keep what it has taken over
        held = _held_by_first(stage)
        found.figures[f"{trouble.name}: runs that it held"] = str(held)
        found.must(held > 0 or not first, f"{trouble.name}: it held no run")
    adopted, began = stage.adoptions(), time.monotonic()
    until = began + trouble.seconds
    while True:
        for proxy in trouble.proxies:
            trouble.begin(proxy)
        time.sleep(min(trouble.every or trouble.seconds, max(0.0, until - time.monotonic())))
        if time.monotonic() >= until:
            break
    runs, pages = Coming.of_runs(), Coming.of_pages(stage)
    for proxy in everybody:
        proxy.heal()
    _watch([runs, pages])
    stage.crowd.check()
    gaps = [stage.longest_gap(seen, began, time.monotonic()) for seen in stage.seen]
    name = trouble.name
    found.figures[f"{name}: no frame for"] = f"{max(gaps):.1f} s at most"
    found.figures[f"{name}: all runs run again after"] = runs.told
    found.figures[f"{name}: all pages move again after"] = pages.told
    found.figures[f"{name}: runs that changed hands"] = str(stage.adoptions() - adopted)
    limit = conf.settings.LEASE_TTL + FEW
    found.must(
        runs.after <= limit, f"{name}: all runs run again after {runs.told}, {len(runs.missing)} do not"
    )
    found.must(pages.after <= PAGES, f"{name}: all pages move again after {pages.told}")
    bad = Run.objects.exclude(status=str(Status.RUNNING)).count()
    found.must(not bad, f"{name}: {bad} runs do not run")
    struck = Run.objects.filter(strikes__gt=0).count()
    found.must(not struck, f"{name}: {struck} runs were struck")


class Coming:
    """Which runs, or pages, have come further than they were when the network was healed, and when."""

    def __init__(self, ticks: Callable[[], dict[UUID, int]]) -> None:
        self._ticks = ticks
        self._then = ticks()
        self._since = time.monotonic()
        self.missing = set(self._then)
        self.after = 0.0
        """Seconds after which the last one had; endless while one has not."""

    @classmethod
    def of_runs(cls) -> Coming:
        """By their rows: what may be shown grows while they are stepped."""
        return cls(lambda: dict(Run.objects.values_list("id", "horizon")))

    @classmethod
    def of_pages(cls, stage: Stage) -> Coming:
        return cls(lambda: {seen.run: seen.frames[-1].tick if seen.frames else 0 for seen in stage.seen})

    def look(self) -> bool:
        """Whether all have."""
        now = self._ticks()
        self.missing -= {run for run in self.missing if now[run] > self._then[run]}
        if self.missing:
            self.after = float("inf")
        elif self.after in (0.0, float("inf")):
            self.after = time.monotonic() - self._since
        return not self.missing

    @property
    def told(self) -> str:
        return "never" if self.missing else f"{self.after:.1f} s"


def _watch(coming: Iterable[Coming]) -> None:
    until = time.monotonic() + GIVE_UP
    while time.monotonic() < until:
        looks = [each.look() for each in coming]
        if all(looks):
            return
        time.sleep(LOOK)


def _check_zombies(found: Found) -> None:
    findings = Findings()
    checks.check_zombies(findings)
    found.figures["zombie writes, ticks backwards in rows"] = str(sum(findings.counts.values()))
    found.missed += [f"{count} {word}" for word, count in findings.counts.items()]
    found.lines += findings.lines
