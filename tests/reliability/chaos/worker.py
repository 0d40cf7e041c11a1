"""A worker that can be told where to die: `python -m tests.reliability.chaos.worker FOLDER [OPTIONS]`.

It is what a child of `livesim_worker` is, without a parent: one process that
steps. The option is `--max-runs N`. `CHAOS_WITHOUT` names a safeguard that it
goes without.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from pathlib import Path

import django


def main(folder: str, *options: str) -> int:
    django.setup()
    from tests.reliability.chaos import points, without

    points.install(Path(folder))
    if safeguard := os.environ.get("CHAOS_WITHOUT"):
        without.go_without(safeguard)
    from django_livesim.worker import child

    parser = ArgumentParser()
    parser.add_argument("--max-runs", type=int)
    return child.serve(max_runs=parser.parse_args(options).max_runs)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
