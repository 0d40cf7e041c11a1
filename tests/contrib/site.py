"""The sandbox with tasks of Celery: a web server and a worker of two children, as real processes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from scripts.sandbox import uvicorn
from scripts.services import dies_with_us, free_port, stop, wait_for

WORKER = ["celery", "-A", "sandbox.celery_tasks", "worker", "--concurrency", "2", "--loglevel", "INFO"]
SOON = "worker_lost_wait=1"  # seconds until a child that was killed counts as lost


def environment(database: str, redis: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name != "CHANNELS_REDIS"}
    return inherited | {
        "DJANGO_SETTINGS_MODULE": "sandbox.config.settings",
        "DATABASE_URL": database,
        "REDIS_URL": redis,
        "SECRET_KEY": "tests",
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.contextmanager
def running(env: Mapping[str, str], folder: Path) -> Iterator[str]:
    """The address of the web server; both processes and their children end with the block."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as stack:
        web = stack.enter_context(_process(uvicorn("127.0.0.1", port)[1:], env, folder / "web.log"))
        worker = stack.enter_context(_process(["-m", *WORKER, SOON], env, folder / "worker.log"))
        wait_for(lambda: _answers(url), web, folder / "web.log")
        wait_for(lambda: " ready." in (folder / "worker.log").read_text(), worker, folder / "worker.log")
        yield url


@contextlib.contextmanager
def _process(arguments: list[str], env: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        command = [sys.executable, *arguments]
        process = subprocess.Popen(
            command, env=dict(env), stdout=output, stderr=output, preexec_fn=dies_with_us()
        )
    try:
        yield process
    finally:
        stop(process)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/livesim/health/?parts=database", timeout=10):
            return True
    except (urllib.error.URLError, OSError):
        return False
