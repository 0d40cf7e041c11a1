"""How many commands a second are accepted and applied, beside a bare loop of `Command.objects.create()`.

    python -m benchmarks.commands [--rounds N] [--commands N] [--senders N] [--short]

On SQLite and PostgreSQL, each in a process of its own. In each round, one
after the other: the loop; commands of concurrent senders through
`gateway.asend` for a run that nobody steps; and the same for ten runs that a
worker process steps, until each row has its outcome. Prints a table of
medians over the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks.admin import databases
from scripts import services

RUNS = 10  # that the worker steps
LOOK = 0.02  # seconds between two looks whether all have their outcome
LIMIT = 120.0  # seconds that anything may take


def main() -> int:
    options = arguments()
    if options.measure:
        print(json.dumps(measure(options.rounds, options.commands, options.senders)))  # noqa: T201
        return 0
    found = {}
    with databases() as urls, ExitStack() as stack:
        environment = dict(os.environ)
        try:
            environment["CHANNELS_REDIS"] = stack.enter_context(services.redis())
        except services.Missing as exc:
            sys.stderr.write(f"no doorbells: {exc}; the worker polls\n")
        for name, make_url in urls.items():
            found[name] = child(make_url("commands"), environment, options)
    sys.stdout.write(table(found, options))
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--commands", type=int, help="in each part of a round; a quarter of it in the loop")
    parser.add_argument("--senders", type=int, default=100, help="at once")
    parser.add_argument("--short", action="store_true", help="3 rounds of 1,000 commands")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.short else 7)
    options.commands = options.commands or (1000 if options.short else 4000)
    return options


def child(url: str, environment: dict[str, str], options: argparse.Namespace) -> list[dict[str, float]]:
    """What a process of its own, with a worker beside it, measures on a database."""
    settings = {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-m", "benchmarks.commands", "--measure"]
    for name in ("rounds", "commands", "senders"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, env=environment | settings, check=True, stdout=subprocess.PIPE)  # noqa: S603
    rounds: list[dict[str, float]] = json.loads(done.stdout)
    return rounds


def measure(rounds: int, commands: int, senders: int) -> list[dict[str, float]]:
    """Commands a second in each part of each round."""
    import django

    django.setup()
    from django.core.management import call_command

    from django_livesim import gateway
    from django_livesim.models import Run

    call_command("migrate", verbosity=0)
    idle = gateway.start("counter", queue="nobody")
    runs = [gateway.start("counter") for _ in range(RUNS)]
    worker = subprocess.Popen(
        [sys.executable, "-m", "django", "livesim_worker"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=services.dies_with_us(),
    )
    try:
        until(lambda: Run.objects.filter(id__in=[run.id for run in runs], status="running").count() == RUNS)
        warm_up = asyncio.run(send(runs, senders, senders))
        assert warm_up
        return [
            {
                "create": created(idle, commands // 4),
                "accepted": asyncio.run(send([idle], commands, senders)),
                "applied": applied(runs, commands, senders),
            }
            for _ in range(rounds)
        ]
    finally:
        services.stop(worker)


def created(run: Any, commands: int) -> float:
    from django_livesim.models import Command

    begun = time.perf_counter()
    for _ in range(commands):
        name = uuid.uuid4().hex
        fields = {"name": "add", "args": {"n": 1}, "sender": "p:server", "client_id": name, "body_hash": name}
        Command.objects.create(run_id=run.id, **fields)
    return commands / (time.perf_counter() - begun)


async def send(runs: list[Any], commands: int, senders: int) -> float:
    """Each sender sends its share, one command after the other was accepted."""
    from django_livesim import gateway

    async def sender(number: int) -> None:
        for _ in range(commands // senders):
            await gateway.asend(runs[number % len(runs)], "add", {"n": 1})

    begun = time.perf_counter()
    await together(sender, senders)
    return commands // senders * senders / (time.perf_counter() - begun)


async def together(function: Callable[[int], Awaitable[None]], count: int) -> None:
    await asyncio.gather(*map(function, range(count)))


def applied(runs: list[Any], commands: int, senders: int) -> float:
    from django_livesim.models import Command

    waiting = Command.objects.filter(run__in=runs, outcome="")
    until(lambda: not waiting.exists())
    begun = time.perf_counter()
    asyncio.run(send(runs, commands, senders))
    until(lambda: not waiting.exists())
    return commands // senders * senders / (time.perf_counter() - begun)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > deadline:
            raise SystemExit(f"not so within {LIMIT} s")
        time.sleep(LOOK)


def table(found: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> str:
    """Markdown, a database a row: commands a second, and how many times the loop that is."""
    lines = [
        f"{options.senders} senders at once, {options.commands:,} commands, {options.rounds} rounds.",
        "",
        "| Database | create()/s | accepted/s | times | applied/s | times |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, rounds in found.items():
        cells = [f"{median(each['create'] for each in rounds):,.0f}"]
        for part in ("accepted", "applied"):
            cells.append(f"{median(each[part] for each in rounds):,.0f}")
            cells.append(f"{median(each[part] / each['create'] for each in rounds):.1f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
