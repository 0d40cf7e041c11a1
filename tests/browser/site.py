"""A site of its own for the browser: database, server, and where asked for a worker, each a real process."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from scripts.services import free_port, stop, wait_for


class Site:
    """Files in `folder`; with `redis` a channel layer and workers, else all in the server."""

    def __init__(self, folder: Path, redis: str = "") -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.server: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self.env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
            "DATABASE_URL": f"sqlite:///{folder}/site.sqlite3",
            "DEBUG": "1",
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SUPERUSER_PASSWORD": "ada",
        }
        self.env.pop("CHANNELS_REDIS", None)
        if redis:
            self.env["CHANNELS_REDIS"] = redis

    def manage(self, *arguments: str) -> str:
        """Run a management command to its end; what it printed."""
        command = [sys.executable, "-m", "django", *arguments]
        return subprocess.run(command, env=self.env, check=True, capture_output=True, text=True).stdout

    def set_up(self) -> None:
        self.manage("migrate", "-v0")
        self.manage("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com")

    def add_user(self, name: str) -> None:
        """Somebody else who may do everything, whose password is the name."""
        self.env["DJANGO_SUPERUSER_PASSWORD"] = name
        self.manage("createsuperuser", "--noinput", "--username", name, "--email", f"{name}@example.com")

    def start(self) -> None:
        self.server = self._process("server", "runserver", "--noreload", f"127.0.0.1:{self.port}")
        wait_for(self._answers, self.server, self.folder / "server.log")

    def stop(self) -> None:
        if self.server is not None:
            stop(self.server)
        self.server = None

    def start_worker(self) -> subprocess.Popen[bytes]:
        worker = self._process("worker", "livesim_worker")
        self.workers.append(worker)
        return worker

    def close(self) -> None:
        for worker in self.workers:
            stop(worker)
        self.stop()

    def _process(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            command = [sys.executable, "-m", "django", *arguments]
            return subprocess.Popen(command, env=self.env, stdout=log, stderr=log)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/livesim/health/?parts=database", timeout=10):
                return True
        except (urllib.error.URLError, OSError):
            return False
