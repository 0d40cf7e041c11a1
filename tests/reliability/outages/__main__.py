"""Puts a deployment through outages on SQLite and PostgreSQL; ends with 1 where a must is missed.

    python -m tests.reliability.outages [--short] [--database sqlite|postgres|both] [LEG ...]

Each leg has a database, a Valkey, `livesim_worker` twice, a web server and
people of its own. It is a module of `legs` with a function `leg(servers, short)`
that gives a `Found`. What is found is printed and written to a file.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts import services
from tests.reliability.outages.servers import NAMES, servers

LEGS = ("harm", "redis", "database", "clock", "network", "together")


def main() -> int:
    options = arguments()
    if options.inside:
        return inside(options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found: dict[str, dict[str, Any]] = {}
    broken: list[str] = []
    try:
        with tempfile.TemporaryDirectory(prefix="livesim-outages-") as folder:
            for leg in options.legs or LEGS:
                for name in NAMES if options.database == "both" else [options.database]:
                    file = Path(folder, f"{leg} {name}")
                    try:
                        if one(leg, name, file, options.short):
                            found[f"{leg}, {NAMES[name]}"] = json.loads(file.read_text())
                    except subprocess.CalledProcessError as exc:
                        broken.append(f"{leg}, {NAMES[name]}: broken off: {exc}")
    except KeyboardInterrupt:
        sys.stderr.write("Broken off: Ctrl-C\n")
        return 130
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1))
    sys.stdout.write(table(found))
    missed = broken + [f"{leg}: {line}" for leg, each in found.items() for line in each["missed"]]
    for each in found.values():
        sys.stdout.write("".join(f"{line}\n" for line in each["lines"][:40]))
    sys.stdout.write("\n".join(missed or ["Every must was met."]) + "\n")
    return 1 if missed else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("legs", nargs="*", metavar="LEG", help=f"of {', '.join(LEGS)}; without: all")
    parser.add_argument("--short", action="store_true", help="fewer runs, shorter outages")
    parser.add_argument("--database", choices=[*NAMES, "both"], default="both")
    parser.add_argument("--json", metavar="FILE", help="where the figures go")
    parser.add_argument("--inside", metavar="FILE", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.legs) - set(LEGS):
        parser.error(f"no such leg: {', '.join(sorted(unknown))}. There are: {', '.join(LEGS)}")
    return options


def one(leg: str, database: str, file: Path, short: bool) -> bool:
    """One leg on one database in a process of its own; False where it cannot be had here, which is said."""
    sys.stderr.write(f"{leg}, {NAMES[database]}\n")
    command = [sys.executable, "-m", "tests.reliability.outages", leg, "--database", database]
    command += ["--inside", str(file)] + ["--short"] * short
    subprocess.run(command, check=True, preexec_fn=services.dies_with_us())
    return file.exists()


def inside(options: argparse.Namespace) -> int:
    """In the process of one leg: its servers, its tables, the leg, what was found."""
    try:
        with (
            tempfile.TemporaryDirectory(prefix="livesim-servers-") as folder,
            servers(options.database, Path(folder)) as both,
        ):
            os.environ |= {
                "DATABASE_URL": both.database.url,
                "CHANNELS_REDIS": both.valkey.url,
                "DJANGO_SETTINGS_MODULE": "tests.reliability.chaos.settings",
                "PYTHONUNBUFFERED": "1",
                "PYTHONWARNINGS": "default",
            }
            import django

            django.setup()
            from django.core.management import call_command

            call_command("migrate", verbosity=0)
            leg = importlib.import_module(f"tests.reliability.outages.legs.{options.legs[0]}")
            found = leg.leg(both, options.short)
            Path(options.inside).write_text(json.dumps(vars(found)))
    except services.Missing as exc:
        if "postgres" in os.environ.get("LIVESIM_REQUIRE", "").split(","):
            raise
        sys.stderr.write(f"skipped: {options.database}: {exc}\n")
    return 0


def table(found: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row for each figure of each leg."""
    rows = "".join(
        f"| {leg} | {name} | {figure} |\n"
        for leg, each in found.items()
        for name, figure in each["figures"].items()
    )
    return f"| Leg | What | Figure |\n|---|---|---|\n{rows}"


if __name__ == "__main__":
    sys.exit(main())
