"""How many runs one process steps without missing a tick, beside a bare loop that does nothing else.

    python -m benchmarks.live.loops [--entities N] [--seconds S] [--rounds N]

Both move the same entities at 20 Hz, on one core. The loop takes what is due first and sleeps until the
next; as many runs as it steps without ever being a period late are its limit. Then a whole worker, with its
database, steps shares of that number, whom nobody watches. *Missed* are ticks that were passed over, *late*
is how long after they were due ticks began.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from typing import Any

from benchmarks.checkpoints import in_step_thread
from benchmarks.commands import until
from benchmarks.live.crowd import cell
from benchmarks.live.processes import SERVERS, on_core
from benchmarks.live.state import entities, move

PERIOD = 1 / 20  # seconds
SHARES = (0.5, 0.75, 0.8, 0.9)  # of the bare loop's runs
TRIED = 100  # steps, to know what one takes
LOWER = 0.9  # where it was too many, so many of them are tried next
SETTLE = 2.0  # seconds after the last run has begun


@dataclass(frozen=True, kw_only=True)
class Stepped:
    runs: int
    missed: int
    p50: float | None
    """Seconds late, None where there were hardly any ticks."""
    p99: float | None


def bare(runs: int, count: int, seconds: float) -> Stepped:
    """A loop over so many states, the one that is due first next."""
    states = [{"time": 0, "entities": entities(count)} for _ in range(runs)]
    began = time.monotonic()
    due = [(began + PERIOD * number / runs, number) for number in range(runs)]
    heapq.heapify(due)
    missed, late = 0, []
    while (now := time.monotonic()) < began + seconds:
        at, number = due[0]
        if at > now:
            time.sleep(at - now)
            continue
        late.append(now - at)
        states[number]["time"] += 1
        move(states[number])
        following = at + PERIOD
        if now > following + PERIOD:
            missed += int((now - following) / PERIOD)
            following = now
        heapq.heapreplace(due, (following, number))
    return _stepped(runs, missed, late)


def _stepped(runs: int, missed: int, late: list[float]) -> Stepped:
    shares = quantiles(late, n=100) if len(late) > 1 else [None] * 99
    return Stepped(runs=runs, missed=missed, p50=shares[49], p99=shares[98])


def most(count: int, seconds: float) -> Stepped:
    """The bare loop with as many as it steps without missing a tick."""
    state: dict[str, Any] = {"entities": entities(count)}
    began = time.perf_counter()
    for _ in range(TRIED):
        move(state)
    runs = max(1, int(PERIOD / ((time.perf_counter() - began) / TRIED)))
    while (found := bare(runs, count, seconds)).missed and runs > 1:
        runs = int(runs * LOWER)
    return found


def shares(limit: int, count: int, seconds: float) -> list[Stepped]:
    """A worker with each of the shares, one after the other."""
    import django

    django.setup()
    from django.core.management import call_command

    from django_livesim import gateway
    from django_livesim.models import Run
    from django_livesim.testing import worker_in_process
    from django_livesim.worker.garbage import look_as_set

    call_command("migrate", verbosity=0)
    look_as_set()  # as every worker
    found, begun = [], 0
    with worker_in_process() as engine:
        supervisor = engine.supervisor

        def missed() -> int:
            return sum(runner.pace.late for runner in supervisor.runners.values())

        for share in SHARES:
            while begun < max(1, int(limit * share)):
                gateway.start("idle", {"count": count})
                begun += 1
            until(lambda: not Run.objects.exclude(status="running").exists())
            time.sleep(SETTLE)
            before, _ = in_step_thread(engine, lambda: (missed(), supervisor.lateness.clear()))
            time.sleep(seconds)
            after, late = in_step_thread(engine, lambda: (missed(), list(supervisor.lateness)))
            found.append(_stepped(begun, after - before, late))
    return found


def measure(count: int, seconds: float) -> list[dict[str, Any]]:
    """In a process of its own: the loop, then the worker."""
    loop = most(count, seconds)
    return [asdict(each) for each in (loop, *shares(loop.runs, count, seconds))]


def child(options: argparse.Namespace) -> list[Stepped]:
    command = [sys.executable, "-m", "benchmarks.live.loops", "--measure"]
    command += ["--entities", str(options.entities), "--seconds", str(options.seconds)]
    with tempfile.TemporaryDirectory() as folder:
        env = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.live.settings",
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
        }
        done = subprocess.run(
            command,
            env=os.environ | env,
            check=True,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: on_core(SERVERS),
        )
    return [Stepped(**each) for each in json.loads(done.stdout)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--entities", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.measure:
        print(json.dumps(measure(options.entities, options.seconds)))  # noqa: T201
        return 0
    found = [child(options) for _ in range(options.rounds)]
    title = f"Runs of {options.entities} entities at 20 Hz in one process"
    sys.stdout.write(f"\n{title}, {options.rounds} x {options.seconds:g} s.\n\n{table(found)}")
    return 0


def table(found: list[list[Stepped]]) -> str:
    """Markdown: the loop, then each share of its runs."""
    rows = ["| | runs | missed ticks | late p50 / p99, ms |", "|---|---:|---:|---:|"]
    names = ("bare loop", *(f"a worker, {share:.0%} of these" for share in SHARES))
    for name, stepped in zip(names, zip(*found, strict=True), strict=True):
        ages = zip(*((each.p50, each.p99) for each in stepped), strict=True)
        late = " / ".join(cell(milliseconds(shares), ".1f") for shares in ages)
        runs = median(each.runs for each in stepped)
        rows.append(f"| {name} | {runs:.0f} | {median(each.missed for each in stepped):.0f} | {late} |")
    return "\n".join(rows) + "\n"


def milliseconds(seconds: Iterable[float | None]) -> float | None:
    """Their median, None where one is not known."""
    known = list(seconds)
    return None if None in known else 1000 * median(each for each in known if each is not None)


if __name__ == "__main__":
    sys.exit(main())
