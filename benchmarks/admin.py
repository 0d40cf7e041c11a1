"""How long the admin's pages take with 10,000 runs and 1,000,000 commands, on SQLite and PostgreSQL.

    python -m benchmarks.admin [--runs N] [--commands N] [--short]

Each page is asked for through Django's test client, in one process, as a
superuser. Prints a table; ends with 1 where a page takes more than 15 queries.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from scripts.services import Missing, postgres

MAX_QUERIES = 15
FULL = (10_000, 1_000_000)
SHORT = (500, 20_000)
SMALL = (100, 10_000)


def main() -> int:
    options = arguments()
    if options.measure:
        print(json.dumps(measure(*options.measure, options.times)))  # noqa: T201
        return 0
    size = (options.runs, options.commands)
    found: dict[str, dict[str, Any]] = {}
    with databases() as urls:
        for name, make_url in urls.items():
            small = child(make_url("few"), SMALL, options.times)
            full = child(make_url("many"), size, options.times)
            found[name] = {page: full[page] | {"small": small[page]["median"]} for page in full}
    sys.stdout.write(table(found, size))
    over = [
        f"{page} on {name}: {row['queries']} queries, more than {MAX_QUERIES}"
        for name, pages in found.items()
        for page, row in pages.items()
        if row["queries"] > MAX_QUERIES
    ]
    sys.stderr.write("".join(f"{line}\n" for line in over))
    return 1 if over else 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--commands", type=int)
    parser.add_argument("--times", type=int, help="how often each page is asked for")
    parser.add_argument("--short", action="store_true", help=f"{SHORT[0]} runs, {SHORT[1]} commands, 3 times")
    parser.add_argument("--measure", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    runs, commands = SHORT if options.short else FULL
    options.runs = options.runs or runs
    options.commands = options.commands or commands
    options.times = options.times or (3 if options.short else 15)
    return options


@contextmanager
def databases() -> Iterator[dict[str, Any]]:
    """For each kind that can be had: a function from a name to the URL of a fresh database."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="livesim-bench-")))
        urls: dict[str, Any] = {"SQLite": lambda name: f"sqlite:///{folder}/{name}.sqlite3"}
        try:
            server = stack.enter_context(postgres())
        except Missing as exc:
            if "postgres" in os.environ.get("LIVESIM_REQUIRE", "").split(","):
                raise
            sys.stderr.write(f"skipped: postgres: {exc}\n")
        else:
            urls["PostgreSQL"] = lambda name: create_database(server, name)
        yield urls


def create_database(server: str, name: str) -> str:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server.rpartition('/')[0]}/{name}"


def child(url: str, size: tuple[int, int], times: int) -> dict[str, Any]:
    """What a process of its own measures on a database."""
    command = [sys.executable, "-m", "benchmarks.admin", "--times", str(times)]
    command += ["--measure", *map(str, size)]
    environment = os.environ | {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)  # noqa: S603
    pages: dict[str, Any] = json.loads(done.stdout)
    return pages


def measure(runs: int, commands: int, times: int) -> dict[str, Any]:
    """Fill the database that the settings name, and time the pages."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.test.utils import setup_test_environment

    from benchmarks.filling import fill
    from benchmarks.pages import clients, pages

    call_command("migrate", verbosity=0)
    setup_test_environment()
    heavy = fill(runs, commands, 3 * runs)
    boss, owner = clients()
    return {
        name: timed(owner if name.startswith("owner") else boss, address, times)
        for name, address in pages(heavy).items()
    }


def timed(client: Any, address: str, times: int) -> dict[str, Any]:
    """Median and 95th percentile in ms, and the queries of one page."""
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        response = client.get(address)
        asked = len(queries)
    if response.status_code != 200:
        raise SystemExit(f"{address} answered {response.status_code} {response.headers.get('Location', '')}")
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        client.get(address)
        taken.append(1000 * (time.perf_counter() - begun))
    return {"median": median(taken), "p95": quantiles(taken, n=20)[-1], "queries": asked}


def table(found: dict[str, dict[str, Any]], size: tuple[int, int]) -> str:
    """Markdown, a page a row: for each database median, 95th percentile, ratio to the small size, queries."""
    head = "".join(f" {name} ms | p95 | / small | queries |" for name in found)
    lines = [
        f"{size[0]:,} runs, {size[1]:,} commands.",
        f"/ small: divided by the median with {SMALL[0]:,} runs, {SMALL[1]:,} commands.",
        "",
        f"| Page |{head}",
        f"|---|{'---:|' * 4 * len(found)}",
    ]
    for page in next(iter(found.values())):
        rows = [pages[page] for pages in found.values()]
        lines.append(f"| {page} |{''.join(map(cells, rows))}")
    return "\n".join(lines) + "\n"


def cells(row: dict[str, Any]) -> str:
    ratio = row["median"] / row["small"]
    return f" {row['median']:.0f} | {row['p95']:.0f} | {ratio:.1f} | {row['queries']} |"


if __name__ == "__main__":
    sys.exit(main())
