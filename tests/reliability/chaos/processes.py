"""The processes of a leg: workers, the web server, the senders through the gateway."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from uuid import UUID

from django_livesim.models import Run, Worker
from django_livesim.testing import wait_until
from scripts.services import dies_with_us, free_port, stop
from tests.reliability.chaos.gateway import leave_file
from tests.reliability.chaos.points import arm_file, mark_file

START = 30.0  # seconds for a process to be there
WORKERS = 4
EACH = 3
"""Runs that one worker holds at most: more than one has some, and two can hold them all."""


class Processes:
    """Starts them, ends them, and knows which are alive. Used in one thread."""

    def __init__(
        self, folder: Path, livesim: dict[str, Any], more: dict[str, str], *, size: int = WORKERS
    ) -> None:
        self.folder = folder
        self._size = size
        self._env = os.environ | {"LIVESIM": json.dumps(livesim)} | more
        self.workers: list[subprocess.Popen[bytes]] = []
        self._others: dict[str, subprocess.Popen[bytes]] = {}
        self._port = free_port()
        self._log = (folder / "log").open("ab")

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    def _start(self, *module: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", *module]
        env, log = self._env | dict(env or {}), self._log
        return subprocess.Popen(command, env=env, stdout=log, stderr=log, preexec_fn=dies_with_us())

    def close(self) -> None:
        for process in [*self.workers, *self._others.values()]:
            with suppress(ProcessLookupError):
                process.kill()  # whatever it is doing: everything that is to be read is in the database
            stop(process)
        self._log.close()

    # workers

    def start_worker(self) -> subprocess.Popen[bytes]:
        options = ("--max-runs", str(EACH))
        process = self._start("tests.reliability.chaos.worker", str(self.folder), *options)
        self.workers.append(process)
        return process

    def begin_missing(self) -> None:
        """Start as many workers as there should be."""
        self.workers = [process for process in self.workers if process.poll() is None]
        while len(self.workers) < self._size:
            self.start_worker()

    def fill(self) -> None:
        """As many workers as there should be, each of which has registered."""
        self.begin_missing()
        wait_until(lambda: self.missing() == 0, START)

    def missing(self) -> int:
        """Workers that have not registered, or were declared gone and have not registered anew."""
        pids = {process.pid for process in self.workers if process.poll() is None}
        alive = Worker.objects.exclude(state=Worker.State.GONE).values_list("pid", flat=True)
        return len(pids - set(alive))

    def holders(self) -> dict[int, dict[UUID, int]]:
        """By process id, the runs held and their epochs, as the rows say."""
        found: dict[int, dict[UUID, int]] = {}
        rows = Run.objects.filter(worker__state=Worker.State.ALIVE)
        for pid, run, epoch in rows.values_list("worker__pid", "id", "epoch"):
            found.setdefault(pid, {})[run] = epoch
        mine = {process.pid for process in self.workers if process.poll() is None}
        return {pid: runs for pid, runs in found.items() if pid in mine}

    def process(self, pid: int) -> subprocess.Popen[bytes]:
        return next(process for process in self.workers if process.pid == pid)

    def arm(self, pid: int, **what: Any) -> None:
        """Have a worker send itself a signal at a named point."""
        path = arm_file(self.folder, pid)
        path.with_suffix(".new").write_text(json.dumps(what))
        path.with_suffix(".new").replace(path)  # at once: a signal from before may have it read now
        os.kill(pid, signal.SIGUSR1)

    def marks(self, pid: int) -> list[dict[str, Any]]:
        """Where a worker has killed or stopped itself, and when."""
        path = mark_file(self.folder, pid)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    # the others

    def start_web(self) -> None:
        options = ("--port", str(self._port), "--log-level", "warning", "--timeout-graceful-shutdown", "1")
        self._others["web"] = self._start("uvicorn", "tests.asgi:application", *options)

    def wait_for_web(self) -> None:
        wait_until(self._web_answers, START)

    def _web_answers(self) -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/nothing/", timeout=5).close()
        except HTTPError:
            return True
        except OSError:
            return False
        return True

    def start_senders(self, *who: str) -> None:
        self._others["senders"] = self._start("tests.reliability.chaos.gateway", str(self.sent_file), *who)

    @property
    def sent_file(self) -> Path:
        return self.folder / "sent"

    def kill(self, name: str) -> None:
        process = self._others[name]
        process.kill()
        process.wait()

    def senders_leave(self) -> None:
        leave_file(self.sent_file).touch()

    @property
    def senders_have_left(self) -> bool:
        return self._others["senders"].poll() is not None
