from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from django_livesim import conf
from django_livesim.bus.layers import is_local
from django_livesim.checks import LAYER_LINES
from django_livesim.models import Run

SERVED = ("processes", "queues", "max_runs", "memory", "health_file", "reload")
"""The options that `worker.serve` takes."""
LEAST = 256  # megabytes: a worker needs a good half of it before it has a run


class Command(BaseCommand):
    """Steps runs until it gets SIGTERM or Ctrl-C; then it stores and frees them."""

    help = "Run simulations. SIGTERM or Ctrl-C: finish the steps, store every run, leave."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--processes", type=_count, default=1, metavar="N", help="child processes that step (default 1)"
        )
        parser.add_argument(
            "--queues", type=_queues, default=["default"], metavar="A,B", help="only runs of these queues"
        )
        parser.add_argument(
            "--max-runs", type=_count, metavar="N", help="each process holds at most so many runs"
        )
        parser.add_argument(
            "--memory", type=_megabytes, metavar="MB", help="megabytes that each process may have (Linux)"
        )
        parser.add_argument(
            "--health-file", type=Path, metavar="F", help="write there each second how the processes are"
        )
        parser.add_argument(
            "--reload", action="store_true", help="start the processes anew when code changes; under DEBUG"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if is_local():
            lines = LAYER_LINES % conf.settings.CHANNEL_LAYER
            raise CommandError(
                "The channel layer stays in its process: no page would get a frame of this worker."
                f" Under DEBUG, `runserver` steps runs itself; else set:\n{lines}"
            )
        from django_livesim import worker

        if _tables_are_missing():
            raise CommandError("The tables of django-livesim are missing. Run: python manage.py migrate")
        queues = ", ".join(options["queues"])
        self.stdout.write(f"Stepping runs of the queues {queues} as process {os.getpid()}. Ctrl-C ends it.")
        self.stdout.flush()
        try:
            status = worker.serve(**{name: options[name] for name in SERVED})
        except ValueError as exc:
            raise CommandError(str(exc)) from exc
        if status == 0:
            self.stdout.write("All runs are stored and free for another worker.")
        sys.exit(status)


def _tables_are_missing() -> bool:
    """False too where the database does not answer: a worker waits for it."""
    connection = connections[conf.settings.DATABASE]
    try:
        return Run._meta.db_table not in connection.introspection.table_names()
    except DatabaseError:
        return False
    finally:
        connection.close()


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _megabytes(text: str) -> int:
    megabytes = _count(text)
    if megabytes < LEAST:
        raise ArgumentTypeError(f"{text!r} is too little. Expected: {LEAST} or more, in megabytes")
    return megabytes


def _queues(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ArgumentTypeError(
            f"{text!r} is not a list of queues. Expected: names parted by commas, as in a,b"
        )
    return names
