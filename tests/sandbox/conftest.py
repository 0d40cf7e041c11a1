"""The sandbox as `make sandbox` has it, in processes of its own, and visitors who know only its URLs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from scripts.check_sandbox import BASE, STOP_SECONDS, Visitor, wait_for_pages
from scripts.services import dies_with_us, free_port

DEADLINE = 60.0
"""Seconds within which what a test waits for must have come, on a machine with much else to do."""


@pytest.fixture(scope="package")
def sandbox(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web server, with a worker and Redis behind it."""
    folder = tmp_path_factory.mktemp("sandbox")
    port = free_port()
    env = os.environ | {
        "DATABASE_URL": f"sqlite:///{folder}/sandbox.sqlite3",
        "REDIS_URL": redis_url,
        "PORT": str(port),
    }
    env.pop("DJANGO_SETTINGS_MODULE", None)
    command = [sys.executable, str(BASE / "scripts" / "sandbox.py")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=env, cwd=BASE, stdout=log, stderr=log, preexec_fn=dies_with_us(signal.SIGTERM)
        )
    try:
        wait_for_pages(Visitor(f"http://127.0.0.1:{port}"), process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
        sys.stdout.write((folder / "log").read_text())


class Line:
    """One socket of somebody; it says JSON and hears JSON."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def say(self, **message: Any) -> None:
        self.connection.send(json.dumps(message))

    def hear(self, seconds: float = DEADLINE) -> Any:
        return json.loads(self.connection.recv(timeout=seconds))

    def hear_until(self, fits: Callable[[Any], Any]) -> list[Any]:
        """All that comes, up to the first that fits, which is the last of them."""
        heard: list[Any] = []
        until = time.monotonic() + DEADLINE
        while not heard or not fits(heard[-1]):
            assert time.monotonic() < until, heard[-20:]
            heard.append(self.hear())
        return heard


class Person(Visitor):
    """Somebody's browser: cookies, pages and sockets."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self._stack = ExitStack()

    def line(self, path: str) -> Line:
        return Line(self._stack.enter_context(self.open(path)))

    def leave(self) -> None:
        self._stack.close()


@pytest.fixture
def person(sandbox: str) -> Iterator[Callable[[], Person]]:
    """`person()` comes with a browser of their own; all are gone when the test ends."""
    people: list[Person] = []

    def come() -> Person:
        people.append(Person(sandbox))
        return people[-1]

    yield come
    for each in people:
        each.leave()
