from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from django_livesim.bus import doorbells
from django_livesim.cli.arguments import add_verbs
from django_livesim.cli.errors import Said, from_database, from_livesim, from_settings
from django_livesim.cli.output import Output
from django_livesim.protocol.errors import LivesimError


class Command(BaseCommand):
    """Starts, watches and steers runs from a terminal or a script.

    Exit status: 0 done, 1 refused or not done, 2 not understood.
    """

    help = "Start, watch and steer simulations. Exit status: 0 done, 1 refused, 2 usage."
    requires_system_checks: list[str] = []  # `doctor` runs them; the other verbs need the database alone

    def add_arguments(self, parser: CommandParser) -> None:
        add_verbs(parser)

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Django would write the name of the error's class before what it says."""
        try:
            return super().execute(*args, **options)
        except Said as exc:
            if options["traceback"] or not getattr(self, "_called_from_command_line", False):
                raise
            self.stderr.write(str(exc))
            sys.exit(exc.returncode)

    def handle(self, *args: Any, **options: Any) -> None:
        from django_livesim.cli.verbs import VERBS

        out = Output(self.stdout, self.stderr, as_json=options["json"])
        try:
            VERBS[options["verb"]](Namespace(**options), out)
        except LivesimError as exc:
            raise from_livesim(exc) from exc
        except DatabaseError as exc:
            raise from_database(exc) from exc
        except ImproperlyConfigured as exc:
            raise from_settings(exc) from exc
        finally:
            doorbells.flush()
