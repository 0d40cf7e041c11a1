"""How much a delivery costs, and how old what is seen is: ours beside others, in one run.

    python -m benchmarks.live.compare [--viewers N] [--entities N] [--seconds S] [--rounds N] [--only NAME;...]

One run at 20 frames a second. Servers have one core, and the crowd, which is shown not to be the limit, the
other. CPU is that of all processes of a server, its worker and Redis included. Medians over the rounds, and
ratios to `websockets.broadcast`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from scripts import services

HERE = Path(__file__).parent
SERVERS, CROWD = {0}, {1}  # cores
START = 30.0  # seconds for a server to be there


@dataclass(frozen=True)
class Site:
    """A server that runs: where viewers connect, and the processes whose time counts."""

    port: int
    path: str
    pids: list[int]
    says: str | None = None


@contextlib.contextmanager
def process(command: list[str], env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """On the servers' core; ended at the end."""
    log = tempfile.TemporaryFile()  # noqa: SIM115
    started = subprocess.Popen(
        command,
        env=os.environ | (env or {}),
        stdout=log,
        stderr=log,
        preexec_fn=lambda: os.sched_setaffinity(0, SERVERS),
    )
    try:
        yield started
        if started.poll() is not None:
            log.seek(0)
            raise RuntimeError(f"{command} has ended:\n{log.read()[-3000:].decode(errors='replace')}")
    finally:
        services.stop(started, signal.SIGTERM)
        log.close()


def wait_for(port: int) -> None:
    import socket

    until = time.monotonic() + START
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > until:
            raise RuntimeError(f"nobody listens on {port}")
        time.sleep(0.05)


@contextlib.contextmanager
def broadcast(options: argparse.Namespace) -> Iterator[Site]:
    port = services.free_port()
    command = [sys.executable, "-m", "benchmarks.live.broadcast", str(port), str(options.entities)]
    with process(command + ["--deflate"] * options.deflate) as server:
        wait_for(port)
        yield Site(port, "/", [server.pid])


@contextlib.contextmanager
def ours(options: argparse.Namespace, *, server: str = "uvicorn", direct: bool = True) -> Iterator[Site]:
    """A worker, a web server, Redis and SQLite."""
    with tempfile.TemporaryDirectory() as folder, services.redis() as redis:
        env = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.live.settings",
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "CHANNELS_REDIS": redis,
            "LIVESIM_DIRECT": str(int(direct)),
        }
        manage = [sys.executable, "-m", "django"]
        subprocess.run([*manage, "migrate", "-v0"], env=os.environ | env, check=True)
        port = services.free_port()
        servers = {
            "uvicorn": ["uvicorn", "tests.asgi:application", "--port", str(port), "--log-level", "warning"],
            "daphne": ["daphne", "-p", str(port), "-v0", "tests.asgi:application"],
        }
        with (
            process([sys.executable, "-m", *servers[server]], env) as web,
            process([*manage, "livesim_worker"], env) as parent,
        ):
            started = subprocess.run(
                [*manage, "livesim", "start", "watched", f"count={options.entities}", "--json"],
                env=os.environ | env,
                check=True,
                capture_output=True,
            )
            run = json.loads(started.stdout)["run"]
            wait_for(port)
            valkey = services_pid(redis)
            pin(valkey)
            yield Site(port, f"/ws/livesim/runs/{run}/", [web.pid, parent.pid, valkey])


LAYERS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}


@contextlib.contextmanager
def template(options: argparse.Namespace, *, server: str, layer: str) -> Iterator[Site]:
    """The seed document's, as `benchmarks/baseline/CHANGES` says."""
    with tempfile.TemporaryDirectory() as folder, services.redis() as redis:
        env = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.baseline.settings",
            "BASELINE_DB": f"{folder}/db.sqlite3",
            "CHANNELS_REDIS": redis,
            "CHANNELS_BACKEND": LAYERS[layer],
            "ENTITIES": str(options.entities),
        }
        subprocess.run([sys.executable, "-m", "django", "migrate", "-v0"], env=os.environ | env, check=True)
        port = services.free_port()
        application = "benchmarks.baseline.simulation_worker:application"
        servers = {
            "uvicorn": ["uvicorn", application, "--port", str(port), "--log-level", "warning"],
            "daphne": ["daphne", "-p", str(port), "-v0", application],
        }
        with (
            process([sys.executable, "-m", *servers[server]], env) as web,
            process([sys.executable, "-m", "benchmarks.baseline.simulation_worker"], env) as worker,
        ):
            wait_for(port)
            valkey = services_pid(redis)
            pin(valkey)
            yield Site(port, "/ws/simulation/", [web.pid, worker.pid, valkey])


def services_pid(url: str) -> int:
    """The process that listens where this URL says."""
    port = url.rsplit(":", 1)[1].split("/")[0]
    pattern = f"valkey-server.*:{port}|redis-server.*:{port}"
    return int(subprocess.run(["pgrep", "-f", pattern], capture_output=True, check=True).stdout.split()[0])


def pin(pid: int) -> None:
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), SERVERS)


def spent(pids: list[int]) -> float:
    """Seconds of CPU of these processes and what they have started."""
    ticks = 0
    family = set(pids)
    rows = {}
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (each / "stat").read_text().rpartition(")")[2].split()
                rows[int(each.name)] = (int(fields[1]), int(fields[11]) + int(fields[12]))
    for _ in range(4):
        family |= {pid for pid, (parent, _) in rows.items() if parent in family}
    ticks = sum(rows[pid][1] for pid in family if pid in rows)
    return ticks / os.sysconf("SC_CLK_TCK")


def memory(pids: list[int]) -> float:
    """MB of the first process."""
    for line in Path(f"/proc/{pids[0]}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def measure(site: Site, options: argparse.Namespace) -> dict[str, Any]:
    crowd = {
        "port": site.port,
        "path": site.path,
        "viewers": options.viewers,
        "seconds": options.seconds,
        "deflate": options.deflate,
        "says": site.says,
    }
    running = subprocess.Popen(
        ["node", str(HERE / "crowd.mjs"), json.dumps(crowd)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, CROWD),
    )
    before = after = 0.0
    assert running.stderr
    for line in running.stderr:
        if line.startswith("measuring"):
            before = spent(site.pids)
        elif line.startswith("measured"):
            after = spent(site.pids)
        elif not line.startswith("connected"):
            sys.stderr.write(line)
    assert running.stdout
    found = json.loads(running.stdout.read())
    running.wait()
    found["spent"] = after - before
    found["memory"] = memory(site.pids)
    return found


SITES: dict[str, Callable[[argparse.Namespace], contextlib.AbstractContextManager[Site]]] = {
    "websockets.broadcast": broadcast,
    "ours, uvicorn": ours,
    "ours, uvicorn, portable": lambda options: ours(options, direct=False),
    "ours, daphne": lambda options: ours(options, server="daphne"),
    **{
        f"template, {server}, {layer}": partial(template, server=server, layer=layer)
        for server in ("daphne", "uvicorn")
        for layer in LAYERS
    },
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--viewers", type=int, default=1000)
    parser.add_argument("--entities", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--deflate", action="store_true")
    parser.add_argument("--only", default="", help="; ".join(SITES))
    options = parser.parse_args()
    names = [name for name in SITES if not options.only or name in options.only.split(";")]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(options.rounds):
        for name in names:
            with SITES[name](options) as site:
                one = measure(site, options)
            sys.stderr.write(f"{name}: {one}\n")
            found[name].append(one)
    sys.stdout.write(table(found))
    return 0


def table(found: dict[str, list[dict[str, Any]]]) -> str:
    rows = [
        "| | deliveries/s | us of CPU each | age p50 / p99, ms | KB each | crowd's core |",
        "|---|---|---|---|---|---|",
    ]
    for name, rounds in found.items():

        def of(what: Callable[[dict[str, Any]], float], rounds: list[dict[str, Any]] = rounds) -> float:
            return median(what(each) for each in rounds)

        rows.append(
            f"| {name} | {of(lambda one: one['messages'] / one['seconds']):,.0f}"
            f" | {of(lambda one: one['spent'] / max(1, one['messages']) * 1e6):.1f}"
            f" | {of(lambda one: one['p50'] or 0):.0f} / {of(lambda one: one['p99'] or 0):.0f}"
            f" | {of(lambda one: one['bytes'] / max(1, one['messages']) / 1024):.1f}"
            f" | {of(lambda one: one['cpu']):.0%} |"
        )
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
