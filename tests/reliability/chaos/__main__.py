"""Kills and stops real processes on SQLite and PostgreSQL; ends with 1 where a must is missed.

    python -m tests.reliability.chaos [--short] [--database sqlite|postgres|both] [--kills N] [--seed S]

Workers, a web server and senders, with a channel layer, are killed at named
points and at random, stopped beyond their lease, and drained, while people
send commands and watch. Then workers go without one safeguard after the
other, which must be found out. What is found is printed and written to a file.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

from scripts import services
from tests.reliability.chaos.table import table

KILLS = 200
SHORT_KILLS = 5
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


def main() -> int:
    options = arguments()
    if options.leg:
        return inside(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found: dict[str, dict[str, Any]] = {}
    try:
        with tempfile.TemporaryDirectory(prefix="livesim-chaos-") as folder, services.redis() as redis:
            for name in NAMES if options.database == "both" else [options.database]:
                with database(name, Path(folder)) as url:
                    if url:
                        found[NAMES[name]] = one(name, url, redis, Path(folder, name), options)
    except (KeyboardInterrupt, subprocess.CalledProcessError) as exc:
        sys.stderr.write(f"Broken off: {exc or 'Ctrl-C'}\n")
        return 130 if isinstance(exc, KeyboardInterrupt) else 1
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))
    sys.stdout.write(table(found))
    missed = [f"{name}: {line}" for name, facts in found.items() for line in facts["missed"]]
    for facts in found.values():
        sys.stdout.write("".join(f"{line}\n" for line in facts["lines"][:60]))
    said = "\n".join(missed) or "Every must was met."
    sys.stdout.write(f"{said}\nSeed {options.seed}.\n")
    return 1 if missed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="some kills of each kind, in a minute")
    parser.add_argument("--database", choices=[*NAMES, "both"], default="both")
    parser.add_argument(
        "--kills", type=int, default=None, metavar="N", help=f"on each database, {KILLS} by default"
    )
    parser.add_argument("--seed", type=int, default=None, metavar="S", help="of everything that is drawn")
    parser.add_argument("--json", metavar="FILE", help="where the figures go")
    parser.add_argument("--logs", metavar="FOLDER", help="where the logs of the processes go")
    parser.add_argument("--only", choices=["legs", "controls"], help="one half of it")
    parser.add_argument("--leg", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    options.kills = options.kills or (SHORT_KILLS if options.short else KILLS)
    return options


@contextmanager
def database(name: str, folder: Path) -> Iterator[str]:
    """The URL of an empty one; empty where it cannot be had, which is said."""
    if name == "sqlite":
        yield f"sqlite:///{folder}/chaos.sqlite3"
        return
    with ExitStack() as stack:
        try:
            url = stack.enter_context(services.postgres())
        except services.Missing as exc:
            if "postgres" in os.environ.get("LIVESIM_REQUIRE", "").split(","):
                raise
            sys.stderr.write(f"skipped: postgres: {exc}\n")
            url = ""
        yield url


def one(name: str, url: str, redis: str, file: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The legs on one database, in a process of its own, whose settings name it."""
    command = [sys.executable, "-m", "tests.reliability.chaos", "--leg", str(file)]
    command += ["--kills", str(options.kills), "--seed", str(options.seed)]
    command += ["--short"] * options.short + (["--only", options.only] if options.only else [])
    command += ["--logs", f"{options.logs}/{name}"] if options.logs else []
    environment = os.environ | {
        "DATABASE_URL": url,
        "CHANNELS_REDIS": redis,
        "DJANGO_SETTINGS_MODULE": "tests.reliability.chaos.settings",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "default",
    }
    sys.stderr.write(f"{NAMES[name]}, seed {options.seed}\n")
    subprocess.run(command, env=environment, check=True, preexec_fn=services.dies_with_us())
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def inside(options: argparse.Namespace) -> int:
    """In the process of one database: make its tables, run legs and controls, note what was found."""
    import django

    django.setup()
    from django.core.management import call_command

    from tests.reliability.chaos import audit, plans, report
    from tests.reliability.chaos.leg import Leg

    call_command("migrate", verbosity=0)
    audit.install()
    rng = Random(options.seed)
    form = plans.short_form(rng) if options.short else plans.long_form(options.kills, rng)
    logs = Path(options.logs) if options.logs else None
    if logs:
        logs.mkdir(parents=True, exist_ok=True)
    results = [] if options.only == "controls" else [Leg(plan, rng, logs).run() for plan in form]
    facts = report.facts(results)
    facts["missed"] = report.missed(facts, options.kills) if results else []
    facts["controls"] = {} if options.only == "legs" else controls(rng)
    facts["missed"] += [
        f"not caught: without {name}" for name, how in facts["controls"].items() if how == "no"
    ]
    Path(options.leg).write_text(json.dumps(facts))
    return 0


def controls(rng: Random) -> dict[str, str]:
    """For each safeguard, how it was found out that the workers went without it; `no` where it was not."""
    from tests.reliability.chaos import plans
    from tests.reliability.chaos.leg import Leg

    caught: dict[str, str] = {}
    for control in plans.CONTROLS:
        for tried in range(1, plans.TRIES + 1):
            found = Leg(control.plan(), rng).run().findings.counts
            if words := [word for word in control.must_find if found[word]]:
                caught[control.without] = (
                    ", ".join(f"{found[word]} {word}" for word in words) + f" (try {tried})"
                )
                break
        else:
            caught[control.without] = "no"
    return caught


if __name__ == "__main__":
    sys.exit(main())
