"""Who this process is, so that a peer on the same host can tell that it has gone."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Identity:
    """A process start. Empty fields mean that the system does not tell."""

    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    pid_started: str


def this_process() -> Identity:
    """The identity of the calling process."""
    return Identity(
        host=socket.gethostname(),
        boot_id=_read("/proc/sys/kernel/random/boot_id"),
        pid_namespace=_namespace(),
        pid=os.getpid(),
        pid_started=_started(os.getpid()),
    )


def is_gone(mine: Identity, other: Identity) -> bool:
    """Whether `other` is known to have ended: same boot, same pid namespace, no such process start.

    False where nothing can be told; then only silence tells.
    """
    here = (mine.boot_id, mine.pid_namespace)
    if "" in here or here != (other.boot_id, other.pid_namespace) or not other.pid_started:
        return False
    if started := _started(other.pid):
        return started != other.pid_started
    return not _is_hidden(other.pid)


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _is_hidden(pid: int) -> bool:
    """Whether there is a process of that id whose state this one may not read; proc(5), hidepid."""
    try:
        Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except (OSError, OverflowError):
            return True
        return True
    return False


def _started(pid: int) -> str:
    """Start time of a process in clock ticks since boot, empty where there is none; proc(5), field 22.

    A zombie counts as gone: it holds nothing any more.
    """
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in ("Z", "X"):
        return ""
    return fields[19]
