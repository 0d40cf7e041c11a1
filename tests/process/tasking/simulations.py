"""Tasks and a handler that write into a file, a line for each call, by which process."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

from django_livesim import on_channel, task


def note(file: str, what: Any) -> None:
    """One write, which the system does not tear."""
    line = f"{what} {os.getpid()} {time.time()}\n"
    with Path(file).open("ab", buffering=0) as out:
        out.write(line.encode())


@task
def write(file: str, number: int) -> None:
    note(file, number)


@task(queue="heavy")
def heavy(file: str, number: int) -> None:
    note(file, number)


@task
def slow(file: str, number: int) -> None:
    note(file, number)
    time.sleep(3600)


@task(retries=1, backoff=0.1)
def slow_once(file: str, number: int) -> None:
    """Slow at its first attempt."""
    first = not Path(file).exists()
    note(file, number)
    if first:
        time.sleep(3600)


@on_channel("lines")
def handle(message: dict[str, Any]) -> None:
    note(message["file"], message["number"])


@task
def hog(file: str, number: int) -> None:
    """Lets no other thread of its process run for longer than its lease: `PyDLL` keeps the GIL."""
    note(file, number)
    ctypes.PyDLL(None).sleep(9)
