"""Processes of servers on one core, those who look on another, and what a server's cost."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scripts import services

PINS = hasattr(os, "sched_setaffinity")
"""Whether processes can be kept on cores here: elsewhere than on Linux nothing is measured."""
CORES = sorted(os.sched_getaffinity(0)) if PINS else [0]
SERVERS, CROWD = {CORES[0]}, {CORES[-1]}
START = 60.0  # seconds for a server to be there
DEPTH = 4  # of a server's family: what it has started, and those in turn


def on_core(cores: set[int]) -> None:
    """Of this process and what it starts; with a kernel that ends it when who started it is gone."""
    os.sched_setaffinity(0, cores)
    services.dies_with_us()()


@contextlib.contextmanager
def process(command: list[str], env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """On the servers' core; ended at the end. RuntimeError with its log where it has ended before."""
    with tempfile.TemporaryFile() as log:
        started = subprocess.Popen(
            command,
            env=os.environ | (env or {}),
            stdout=log,
            stderr=log,
            preexec_fn=lambda: on_core(SERVERS),
        )
        try:
            yield started
        except Exception as exc:
            if started.poll() is None:
                raise
            raise _ended(command, log) from exc
        else:
            if started.poll() is not None:
                raise _ended(command, log)
        finally:
            services.stop(started, signal.SIGTERM)


def _ended(command: list[str], log: Any) -> RuntimeError:
    log.seek(0)
    return RuntimeError(f"{command} has ended:\n{log.read()[-3000:].decode(errors='replace')}")


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until it listens there."""
    until = time.monotonic() + START
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"nobody listens on {port}")
        time.sleep(0.05)


@contextlib.contextmanager
def redis() -> Iterator[tuple[str, int]]:
    """A server on the servers' core: its URL and its process."""
    with services.redis() as url:
        port = url.rsplit(":", 1)[1].split("/")[0]
        pattern = f"(valkey|redis)-server.*:{port}"
        found = subprocess.run(["pgrep", "-f", pattern], capture_output=True, check=True).stdout.split()
        for task in Path(f"/proc/{int(found[0])}/task").iterdir():
            os.sched_setaffinity(int(task.name), SERVERS)
        yield url, int(found[0])


def family(pids: Iterable[int]) -> set[int]:
    """These processes and what they have started."""
    parents = {pid: fields[0] for pid, fields in _fields()}
    found = set(pids)
    for _ in range(DEPTH):
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found


def spent(pids: Iterable[int]) -> float:
    """Seconds of CPU of these processes and what they have started."""
    wanted = family(pids)
    ticks = sum(fields[1] for pid, fields in _fields() if pid in wanted)
    return ticks / os.sysconf("SC_CLK_TCK")


def _fields() -> Iterator[tuple[int, tuple[int, int]]]:
    """Of each process its parent and its clock ticks."""
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (each / "stat").read_text().rpartition(")")[2].split()
                yield int(each.name), (int(fields[1]), int(fields[11]) + int(fields[12]))


def memory(pid: int) -> float:
    """KB that this process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return float(line.split()[1])
    return 0.0
