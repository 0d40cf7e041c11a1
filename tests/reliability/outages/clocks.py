"""Clocks of the day of some processes, which can be set while they run.

Not by libfaketime: where it leaves alone the clocks that only grow, it still
breaks waiting by them (`time.sleep` of CPython from 3.11 on raises OSError, a
wait for the GIL ends at once), so that processes have little time for their
work, whether a clock is set or not.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("set_clock.c")
DAY = 86_400


def library(folder: Path) -> Path | None:
    """What is to be preloaded, made anew; None where there is no C compiler."""
    if (compiler := shutil.which("cc")) is None:
        return None
    made = folder / "set_clock.so"
    command = [compiler, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", str(made), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return made


class Clock:
    """What is added to the clock of those processes that are started with its `env`."""

    def __init__(self, file: Path, library: Path) -> None:
        self._file = file
        self.env = {"LD_PRELOAD": str(library), "SET_CLOCK_FILE": str(file)}
        self._file.touch()
        self._file.chmod(0o644)  # PostgreSQL may run as another user
        self.set(0)

    def set(self, seconds: int) -> None:
        """From now on, by so many seconds ahead of the host's; behind it where negative."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", seconds * 1_000_000_000))
