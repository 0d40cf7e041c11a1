"""A background task as the document has it: it prints, in another process, and has a program sort words."""

from __future__ import annotations

import subprocess

from django_livesim import task


@task
def hello(words: list[str]) -> None:
    print("Hello, Channels!", flush=True)  # noqa: T201  (that is what it is for)
    lines = "\n".join(words)
    done = subprocess.run(
        ["/usr/bin/env", "sort"], input=lines, capture_output=True, text=True, check=True, timeout=10
    )
    print(f"Sorted: {done.stdout.split()}", flush=True)  # noqa: T201
