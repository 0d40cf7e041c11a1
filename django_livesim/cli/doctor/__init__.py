"""`livesim doctor`: look at the set-up and say, line by line, what is well and what to do."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict

from django_livesim.cli.doctor import database, hosts, layer, processes, redis, runs, setup, static, tasks
from django_livesim.cli.doctor.finding import PROBLEM, Finding, safely
from django_livesim.cli.errors import NotDone, one_line
from django_livesim.cli.output import Output

__all__ = ["Finding", "doctor", "examine"]

FIRST = (
    ("settings", "Put the settings right; see docs/settings.md.", setup.look_at_settings),
    ("simulations", "Put simulations.py right.", setup.look_at_simulations),
    ("runserver", "Put INSTALLED_APPS right.", setup.look_at_runserver),
    ("hosts", "Put ALLOWED_HOSTS and CSRF_TRUSTED_ORIGINS right.", hosts.look_at_hosts),
    ("origins", "Put ASGI_APPLICATION right.", hosts.look_at_origins),
    ("static", "Put STATIC_ROOT and STORAGES right, and run: python manage.py collectstatic", static.look),
    ("layer", "Start Redis, or correct the address in CHANNEL_LAYERS.", layer.look_at_trip),
    ("layer", "Correct CHANNEL_LAYERS.", layer.look_at_settings),
    ("redis", "Start Redis, or correct the address in CHANNEL_LAYERS.", redis.look),
    ("servers", "Look at the processes of the server by hand.", processes.look_at_servers),
)
DATABASE = ("database", "Start the database, or correct DATABASES.", database.look)
ROWS = (
    ("workers", "Run: python manage.py migrate", processes.look_at_workers),
    ("workers", "Look at the workers by hand.", processes.look_at_code),
    ("workers", "Look at the workers by hand.", processes.look_at_releases),
    ("workers", "Look at the workers by hand.", processes.look_at_clocks),
    ("workers", "Look at the workers by hand.", processes.look_at_hashing),
    ("runs", "Run: python manage.py migrate", runs.look_at_waiting),
    ("runs", "Run: python manage.py migrate", runs.look_at_quarantined),
    ("lag", "Run: python manage.py migrate", runs.look_at_lag),
    ("tasks", "Run: python manage.py migrate", tasks.look),
)
"""By name what to do where a look itself fails. `ROWS` rest on the database."""


def doctor(options: Namespace, out: Output) -> None:
    """Print the findings; raise where one of them is a problem."""
    findings = list(examine())
    if out.as_json:
        out.json([asdict(finding) for finding in findings])
    else:
        _print(findings, out)
    problems = sum(finding.status == PROBLEM for finding in findings)
    if problems:
        raise NotDone("error", f"{problems} of {len(findings)} things are wrong; do as the lines say.")


def _print(findings: list[Finding], out: Output) -> None:
    for finding in findings:
        out.line(f"{finding.status:<8} {finding.name:<12} {one_line(finding.message)}")
        for line in finding.hint.splitlines():
            out.line(f"{'':<21} {line}")


def examine() -> Iterator[Finding]:
    """Every finding; what rests on the database comes only where it answers."""
    for each in FIRST:
        yield from safely(*each)
    found = list(safely(*DATABASE))
    yield from found
    if found[0].status != PROBLEM:
        for each in ROWS:
            yield from safely(*each)
