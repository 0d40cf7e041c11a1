from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from django_livesim import conf
from django_livesim.bus.layers import is_local
from django_livesim.checks import LAYER_LINES
from django_livesim.models import Run


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
        parser.add_argument("--max-runs", type=_count, metavar="N", help="hold at most so many runs")

    def handle(self, *args: Any, **options: Any) -> None:
        if is_local():
            raise CommandError(
                "The channel layer stays in its process: no page would get a frame of this worker."
                f" Under DEBUG, `runserver` steps runs itself; else set:\n{LAYER_LINES}"
            )
        from django_livesim import worker

        if _tables_are_missing():
            raise CommandError("The tables of django-livesim are missing. Run: python manage.py migrate")
        queues = ", ".join(options["queues"])
        self.stdout.write(f"Stepping runs of the queues {queues} as process {os.getpid()}. Ctrl-C ends it.")
        self.stdout.flush()
        try:
            status = worker.serve(
                processes=options["processes"], queues=options["queues"], max_runs=options["max_runs"]
            )
        except ValueError as exc:
            raise CommandError(str(exc)) from exc
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


def _queues(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ArgumentTypeError(
            f"{text!r} is not a list of queues. Expected: names parted by commas, as in a,b"
        )
    return names
