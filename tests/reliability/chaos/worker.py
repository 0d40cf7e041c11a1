"""A worker that can be told where to die: `python -m tests.reliability.chaos.worker FOLDER [OPTIONS]`.

The options are those of `livesim_worker`. `CHAOS_WITHOUT` names a safeguard
that it goes without.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django
from django.core.management import call_command


def main(folder: str, *options: str) -> None:
    django.setup()
    from tests.reliability.chaos import points, without

    points.install(Path(folder))
    if safeguard := os.environ.get("CHAOS_WITHOUT"):
        without.go_without(safeguard)
    call_command("livesim_worker", *options)


if __name__ == "__main__":
    main(*sys.argv[1:])
