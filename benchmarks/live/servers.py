"""The servers in Python: ours, the template of the seed document, and `websockets.broadcast`."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from benchmarks.live.processes import process, redis, wait_for
from scripts import services

DOCUMENTED = ["--lifespan", "off", "--ws-per-message-deflate", "false"]  # as docs/deploying.md has them


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is shown, to how many."""

    viewers: int = 1000
    entities: int = 100
    rate: float = 20.0
    """Frames a second."""
    seconds: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Site:
    """A server that runs: where viewers connect and how they speak, and the processes whose time counts."""

    port: int
    path: str
    """Several are between spaces: viewers take them in turn."""
    pids: list[int]
    """The one that holds the sockets is the first."""
    dialect: str = "json"
    env: dict[str, str] = field(default_factory=dict)
    """With which `manage` reaches it, where it is ours."""
    worker: int = 0
    run: str = ""


Serving = Callable[[Scene], AbstractContextManager[Site]]


@contextlib.contextmanager
def broadcast(scene: Scene, *, deflate: bool = False) -> Iterator[Site]:
    port = services.free_port()
    command = [sys.executable, "-m", "benchmarks.live.broadcast", str(port), str(scene.entities)]
    with process([*command, *["--deflate"] * deflate], {"RATE": str(scene.rate)}) as server:
        wait_for(port, server)
        yield Site(port=port, path="/", pids=[server.pid])


def manage(env: dict[str, str], *command: str) -> str:
    """What a command of ours prints."""
    done = subprocess.run(
        [sys.executable, "-m", "django", *command], env=os.environ | env, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def start(env: dict[str, str], simulation: str, **params: object) -> str:
    """A run of ours: its id."""
    given = [f"{name}={value}" for name, value in params.items()]
    return str(json.loads(manage(env, "livesim", "start", simulation, *given, "--json"))["run"])


def web(server: str, application: str, port: int, flags: list[str]) -> list[str]:
    """The command of a web server."""
    if server == "daphne":
        return [sys.executable, "-m", "daphne", "-p", str(port), "-v0", application]
    return [
        sys.executable,
        "-m",
        "uvicorn",
        application,
        "--port",
        str(port),
        "--log-level",
        "warning",
        *flags,
    ]


@contextlib.contextmanager
def ours(
    scene: Scene,
    *,
    simulation: str = "whole",
    server: str = "uvicorn",
    flags: list[str] = DOCUMENTED,
    direct: bool = True,
    dialect: str = "json",
    runs: int = 1,
) -> Iterator[Site]:
    """A worker, a web server, Redis and SQLite; `simulation` is one of `benchmarks.live.app`."""
    with tempfile.TemporaryDirectory() as folder, redis() as (url, valkey):
        env = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.live.settings",
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "CHANNELS_REDIS": url,
            "LIVESIM_DIRECT": str(int(direct)),
            "RATE": str(scene.rate),
        }
        manage(env, "migrate", "-v0")
        port = services.free_port()
        with (
            process(web(server, "tests.asgi:application", port, flags), env) as serving,
            process([sys.executable, "-m", "django", "livesim_worker"], env) as worker,
        ):
            started = [start(env, simulation, count=scene.entities) for _ in range(runs)]
            wait_for(port, serving)
            yield Site(
                port=port,
                path=" ".join(f"/ws/livesim/runs/{run}/" for run in started),
                pids=[serving.pid, worker.pid, valkey],
                dialect=dialect,
                env=env,
                worker=worker.pid,
                run=started[0],
            )


LAYERS = {
    "core": "channels_redis.core.RedisChannelLayer",
    "pubsub": "channels_redis.pubsub.RedisPubSubChannelLayer",
}


@contextlib.contextmanager
def template(scene: Scene, *, server: str, layer: str) -> Iterator[Site]:
    """The seed document's, as `benchmarks/baseline/CHANGES` says."""
    with tempfile.TemporaryDirectory() as folder, redis() as (url, valkey):
        env = {
            "DJANGO_SETTINGS_MODULE": "benchmarks.baseline.settings",
            "BASELINE_DB": f"{folder}/db.sqlite3",
            "CHANNELS_REDIS": url,
            "CHANNELS_BACKEND": LAYERS[layer],
            "ENTITIES": str(scene.entities),
            "RATE": str(scene.rate),
        }
        manage(env, "migrate", "-v0")
        port = services.free_port()
        application = "benchmarks.baseline.simulation_worker:application"
        with (
            process(web(server, application, port, []), env) as serving,
            process([sys.executable, "-m", "benchmarks.baseline.simulation_worker"], env) as worker,
        ):
            wait_for(port, serving)
            pids = [serving.pid, worker.pid, valkey]
            yield Site(port=port, path="/ws/simulation/", pids=pids, dialect="template", worker=worker.pid)
