"""The database and the Redis of a leg, which it may stop, kill, hang and start again."""

from __future__ import annotations

import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts import services

NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


class Valkey:
    """A server that stores nothing: whatever ends it ends what it held."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port = services.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = services.start_redis(self.port, self._folder)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def hang(self) -> None:
        """Connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def flush(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(b"FLUSHALL\r\n")
            assert connection.recv(16).startswith(b"+OK")

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


class PostgreSQL(services.Postgres):
    """A cluster. While it is gone, connections are refused."""

    name = "PostgreSQL"

    def gone(self) -> None:
        self.stop()

    def back(self) -> None:
        self.start()

    def close(self) -> None:
        self.stop()


class SQLite:
    """A file. While it is gone, another process of the host has it locked: nobody can write."""

    name = "SQLite"

    def __init__(self, folder: Path) -> None:
        self.file = folder / "runs.sqlite3"
        self.url = f"sqlite:///{self.file}"
        self._ends = threading.Event()
        self._holding: threading.Thread | None = None

    def start(self) -> None:
        """There is nothing to start."""

    def gone(self) -> None:
        held = threading.Event()
        self._ends.clear()
        self._holding = threading.Thread(target=self._hold, args=(held,), daemon=True)
        self._holding.start()
        assert held.wait(30.0)

    def _hold(self, held: threading.Event) -> None:
        with closing(sqlite3.connect(self.file, timeout=30.0, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            held.set()
            self._ends.wait()
            connection.execute("ROLLBACK")

    def back(self) -> None:
        self._ends.set()
        if self._holding is not None:
            self._holding.join()

    def close(self) -> None:
        self.back()


@dataclass(frozen=True, kw_only=True)
class Servers:
    valkey: Valkey
    database: PostgreSQL | SQLite


@contextmanager
def servers(database: str, folder: Path) -> Iterator[Servers]:
    """Both, started; gone when the block is left. `services.Missing` where one cannot be had."""
    folder.chmod(0o755)  # PostgreSQL may run as another user
    (folder / "database").mkdir()
    both = Servers(
        valkey=Valkey(folder / "valkey"),
        database={"sqlite": SQLite, "postgres": PostgreSQL}[database](folder / "database"),
    )
    try:
        both.valkey.start()
        both.database.start()
        yield both
    finally:
        both.valkey.close()
        both.database.close()
