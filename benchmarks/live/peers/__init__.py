"""Servers under node: socket.io and Colyseus, of fixed versions."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from benchmarks.live.processes import process, wait_for
from benchmarks.live.servers import Scene, Site
from scripts import services

HERE = Path(__file__).parent
PACKAGES = HERE.parents[2] / "var" / "bench"
LIMIT = 300.0  # seconds for npm


def installed() -> Path:
    """The folder with their packages, of the locked versions. `services.Missing`: they cannot be had."""
    for name in ("node", "npm"):
        if not shutil.which(name):
            raise services.Missing(f"no {name} on the PATH")
    ready = PACKAGES / "installed"
    locked = (HERE / "package-lock.json").read_bytes()
    if ready.is_file() and ready.read_bytes() == locked:
        return PACKAGES
    PACKAGES.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, PACKAGES)
    command = ["npm", "install", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            command, cwd=PACKAGES, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired as exc:
        raise services.Missing(f"npm took longer than {LIMIT:g} seconds") from exc
    if done.returncode:
        raise services.Missing(f"npm could not install them: {done.stderr.strip()[-300:]}")
    ready.write_bytes(locked)
    return PACKAGES


@contextlib.contextmanager
def _node(scene: Scene, module: str, flags: list[str], path: str, dialect: str) -> Iterator[Site]:
    packages = installed()
    port = services.free_port()
    command = ["node", str(HERE / module), str(port), str(scene.entities), str(scene.rate), str(packages)]
    with process(command + flags, {"NODE_ENV": "production"}) as server:
        wait_for(port, server)
        yield Site(port=port, path=path, pids=[server.pid], dialect=dialect)


@contextlib.contextmanager
def socketio(scene: Scene, *, deflate: bool = False) -> Iterator[Site]:
    """The whole state to everybody, as JSON."""
    with _node(scene, "socketio.mjs", ["--deflate"] * deflate, "/", "socketio") as site:
        yield site


@contextlib.contextmanager
def colyseus(scene: Scene, *, tenths: bool = False) -> Iterator[Site]:
    """What has changed, in its own encoding; positions as floats of four bytes, or as tenths in two."""
    with _node(scene, "colyseus.mjs", ["--tenths"] * tenths, "/", "colyseus") as site:
        yield site
