"""How late ticks come while states of 10 KB, 100 KB and 1 MB are stored, beside the time to encode them.

    python -m benchmarks.checkpoints [--rounds N] [--seconds N] [--short]

On SQLite and PostgreSQL, each in a process of its own, which is a whole
worker: step thread, ledger, database. It steps a run at 20 Hz whose state is
stored four times a second, and at the same moments a small one, which
comes after it and so is late by all that the checkpoint costs. A tick's
lateness is the time from when it was due to when it began. What a checkpoint
adds is the 99th percentile of both runs' lateness, less that of two small
runs that store nothing. Prints a table of medians over the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import median, quantiles
from typing import Any

from benchmarks.admin import databases
from benchmarks.commands import until

SIZES = {"10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000}  # bytes of JSON
ENTITY = {"x": 0.123456789, "y": 0.987654321, "kind": "walker", "energy": 1000}
RATE = 20  # ticks a second
EVERY = 0.25  # seconds between two checkpoints
NEVER = 1e9
APART = 0.0002  # seconds after the first run that the second is due
SETTLE = 0.5  # seconds before it is measured


def main() -> int:
    options = arguments()
    if options.measure:
        print(json.dumps(measure(options.rounds, options.seconds)))  # noqa: T201
        return 0
    with databases() as urls:
        found = {name: child(make_url("checkpoints"), options) for name, make_url in urls.items()}
    sys.stdout.write(table(found, options))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="for each size in a round")
    parser.add_argument("--short", action="store_true", help="1 round of 1 second for each size")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.short else 7)
    options.seconds = options.seconds or (1.0 if options.short else 5.0)
    return options


def child(url: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """What a process of its own measures on a database."""
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-m", "benchmarks.checkpoints", "--measure"]
    command += ["--rounds", str(options.rounds), "--seconds", str(options.seconds)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)  # noqa: S603
    rounds: list[dict[str, Any]] = json.loads(done.stdout)
    return rounds


@dataclass
class Noted:
    """What the step thread has noted, in seconds; by it alone, until it is read."""

    late: list[float] = field(default_factory=list)
    encoded: list[float] = field(default_factory=list)


def measure(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """For each round what came of no checkpoints, and of those of each size."""
    import django

    django.setup()
    from django.core.management import call_command

    from django_livesim.testing import worker_in_process

    call_command("migrate", verbosity=0)
    declare()
    with noting() as noted, worker_in_process() as engine:
        return [
            {name: one(engine, noted, size, seconds) for name, size in {"none": 0, **SIZES}.items()}
            for _ in range(rounds)
        ]


def declare() -> None:
    from django_livesim import Simulation, register

    @register(name="stored")
    class Stored(Simulation):
        tick_rate = RATE

        def setup(self, size: int = 0) -> None:
            count = size // len(json.dumps({"e100": ENTITY}, separators=(",", ":")))
            self.state = {"n": 0, "entities": {f"e{number}": dict(ENTITY) for number in range(count)}}

        def step(self, dt: float) -> None:
            self.state["n"] += 1


@contextmanager
def noting() -> Iterator[Noted]:
    """Note when each step is begun and what each checkpoint takes to be dumped and encoded."""
    from django_livesim.runtime.keeper import Keeper
    from django_livesim.runtime.stepped import SteppedRunner

    noted = Noted()
    step, store = SteppedRunner._step, Keeper.store

    def noted_step(self: Any, now: float) -> None:
        noted.late.append(time.monotonic() - self.pace.due)
        step(self, now)

    def noted_store(self: Any, *args: Any) -> Any:
        stored = store(self, *args)
        noted.encoded.append(self.seconds)
        return stored

    SteppedRunner._step, Keeper.store = noted_step, noted_store
    try:
        yield noted
    finally:
        SteppedRunner._step, Keeper.store = step, store


def one(engine: Any, noted: Noted, size: int, seconds: float) -> dict[str, float]:
    """Milliseconds: the 99th percentile of lateness, the median of encoding."""
    from django_livesim import gateway
    from django_livesim.models import Run

    supervisor = engine.supervisor
    runs = []
    for every, bytes_ in ((EVERY if size else NEVER, size), (NEVER, 0)):
        supervisor.options = replace(supervisor.options, checkpoint_seconds=every)
        runs.append(gateway.start("stored", {"size": bytes_}))
        until(lambda: Run.objects.filter(id=runs[-1].id, status="running").exists())
    in_step_thread(engine, lambda: align(supervisor, [run.id for run in runs]))
    time.sleep(SETTLE)
    in_step_thread(engine, lambda: (noted.late.clear(), noted.encoded.clear()))
    time.sleep(seconds)
    late, encoded = in_step_thread(engine, lambda: (list(noted.late), list(noted.encoded)))
    for run in runs:
        gateway.stop(run)
    until(lambda: not Run.objects.filter(id__in=[run.id for run in runs], worker__isnull=False).exists())
    return {"late": 1000 * quantiles(late, n=100)[-1], "encoded": 1000 * median(encoded or [0.0])}


def in_step_thread(engine: Any, function: Callable[[], Any]) -> Any:
    """What `function` gives there."""
    found: list[Any] = []
    engine.supervisor.post(lambda: found.append(function()))
    until(lambda: found)
    return found[0]


def align(supervisor: Any, runs: list[Any]) -> None:
    """Have the second due right after the first."""
    due = supervisor.clock.now() + 1 / RATE
    for number, run in enumerate(runs):
        runner = supervisor.runners[run]
        runner.pace.due = due + number * APART
        supervisor._after(runner)


def table(found: dict[str, list[dict[str, Any]]], options: argparse.Namespace) -> str:
    """Markdown, a database and a size a row."""
    lines = [
        f"Two runs at {RATE} Hz, a state each {EVERY} s, {options.rounds} rounds of {options.seconds:g} s.",
        "",
        "| Database | state | encoding ms | late p99 ms | without | added | times |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for name, rounds in found.items():
        for size in SIZES:
            encoded, late = (median(each[size][part] for each in rounds) for part in ("encoded", "late"))
            without = median(each["none"]["late"] for each in rounds)
            added = median(each[size]["late"] - each["none"]["late"] for each in rounds)
            times = median(
                (each[size]["late"] - each["none"]["late"]) / each[size]["encoded"] for each in rounds
            )
            cells = f"{encoded:.2f} | {late:.2f} | {without:.2f} | {added:.2f} | {times:.1f}"
            lines.append(f"| {name} | {size} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
