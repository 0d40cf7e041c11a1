"""The processes of this machine that this user may look at. Linux tells; elsewhere there are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SERVERS = ("uvicorn", "daphne", "hypercorn", "granian")


@dataclass(frozen=True, kw_only=True)
class Process:
    pid: int
    command: tuple[str, ...]

    @property
    def program(self) -> str:
        """Which of `SERVERS` it is, by its own name or as `python -m`; empty where none."""
        names = [Path(part).name for part in self.command[:4]]
        return next((name for name in names if name in SERVERS), "")

    def has_option(self, option: str, name: str) -> bool:
        """Whether an option was given, in the command or in the environment."""
        given = any(part == option or part.startswith(f"{option}=") for part in self.command)
        return given or bool(variable(self.pid, name))


def processes() -> Iterator[Process]:
    """Those that are servers."""
    for folder in Path("/proc").glob("[0-9]*"):
        command = tuple(part for part in _read(folder / "cmdline").split("\0") if part)
        process = Process(pid=int(folder.name), command=command)
        if process.program:
            yield process


def variable(pid: int, name: str) -> str | None:
    """A variable that a process was started with; empty where it has none, None where that is unknown."""
    text = _read(Path(f"/proc/{pid}/environ"))
    if not text:
        return None
    pairs = (pair.partition("=") for pair in text.split("\0"))
    return next((value for key, _, value in pairs if key == name), "")


def descriptors(pid: int) -> int | None:
    """How many files a process may have open; None where unknown or endless."""
    for line in _read(Path(f"/proc/{pid}/limits")).splitlines():
        if line.startswith("Max open files"):
            soft = line.split()[3]
            return int(soft) if soft.isdigit() else None
    return None


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""
