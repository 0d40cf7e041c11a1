"""Starts the sandbox, uses it as a visitor would, ends it, and sees that nothing is left.

    python scripts/check_sandbox.py

The pages answer, admin can log in, every example's tick moves, a command is
accepted and applied, and after SIGTERM no process remains.
"""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

BASE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(BASE))

from django_livesim.protocol import tables  # noqa: E402  (found through the line above)
from django_livesim.protocol.mirror import Mirror  # noqa: E402
from scripts.services import free_port  # noqa: E402

START_SECONDS = 300.0  # `make sandbox` may have to install everything first
FRAME_SECONDS = 15.0
STOP_SECONDS = 45.0
MARK = "LIVESIM_SANDBOX_MARK"

mirrors: WeakKeyDictionary[Any, Mirror] = WeakKeyDictionary()
"""What each socket has shown."""


class Visitor:
    """A browser without a screen: pages with cookies, and the socket of a run."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def get(self, path: str) -> str:
        with self.opener.open(self.base + path, timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def cookie(self, name: str) -> str:
        return next((cookie.value or "" for cookie in self.cookies if cookie.name == name), "")

    def log_in(self, username: str, password: str) -> None:
        self.get("/admin/login/")
        token = self.cookie("csrftoken")
        form = {"username": username, "password": password, "csrfmiddlewaretoken": token}
        data = urllib.parse.urlencode(form).encode()
        self.opener.open(self.base + "/admin/login/?next=/admin/", data, timeout=10).close()
        if not self.cookie("sessionid"):
            raise AssertionError(f"{username} could not log in")

    def socket(self, run: str) -> Any:
        return self.open(f"/ws/livesim/runs/{run}/")

    def open(self, path: str) -> Any:
        """A websocket, opened as a page of this site would open it."""
        from websockets.sync.client import connect

        url = self.base.replace("http", "ws", 1) + path
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.cookies)
        return connect(url, additional_headers={"Cookie": cookies}, origin=self.base, proxy=None)  # type: ignore[arg-type]


def receive(socket: Any, kind: str, seconds: float = FRAME_SECONDS) -> dict[str, Any]:
    """The next message of this type; whatever comes before it is passed by. A delta is a snapshot by then."""
    mirror = mirrors.setdefault(socket, Mirror())
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        message: dict[str, Any] = json.loads(socket.recv(timeout=left))
        if message["type"] in ("snapshot", "delta"):
            message = shown(mirror, message)
        if message["type"] == kind:
            return message
    raise AssertionError(f"no {kind!r} within {seconds} s")


def shown(mirror: Mirror, message: dict[str, Any]) -> dict[str, Any]:
    """What there is to be seen after a frame, as a snapshot."""
    if not mirror.take(message) or mirror.picture is None:
        raise AssertionError(f"{message} does not follow {mirror.number}")
    objects = {name: tables.unpack(table) for name, table in mirror.picture.tables.items()}
    return {"type": "snapshot", "tick": mirror.tick, "state": {**mirror.picture.state, **objects}}


def check_run(visitor: Visitor, run: str) -> str:
    """See two frames of a run with a growing tick; gives the name of its simulation."""
    visitor.get(f"/livesim/runs/{run}/")
    with visitor.socket(run) as socket:
        hello = receive(socket, "hello")
        first = receive(socket, "snapshot")
        later = receive(socket, "snapshot")
        while later["tick"] <= first["tick"]:
            later = receive(socket, "snapshot")
        if hello["simulation"] == "orbit":
            add_entity(socket)
        return f"{hello['simulation']} (tick {first['tick']} to {later['tick']})"


def add_entity(socket: Any) -> None:
    """Add a body to orbit and see it in the state."""
    name = f"visitor-{uuid.uuid4().hex[:8]}"
    args = {"entity_id": name, "entity_data": {"position": [50, 50], "velocity": [1, 2]}}
    socket.send(json.dumps({"type": "command", "id": name, "name": "add_entity", "args": args}))
    for kind in ("accepted", "applied"):
        answer = receive(socket, kind)
        if answer["id"] != name:
            raise AssertionError(f"{kind} for {answer['id']!r}, expected {name!r}")
    while name not in receive(socket, "snapshot")["state"]["entities"]:
        pass


def marked(mark: str) -> list[int]:
    """The processes that carry our mark in their environment (Linux; elsewhere none are seen)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def wait_for_pages(visitor: Visitor, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return visitor.get("/")
        except OSError as exc:
            if process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the sandbox does not answer: {exc}") from exc
        time.sleep(0.2)


def check(command: list[str], env: Mapping[str, str], *, password: str = "admin") -> list[str]:  # noqa: S107
    """Run `command`, visit what it serves, end it; gives a line for each run seen."""
    port, mark = free_port(), uuid.uuid4().hex
    base = f"http://127.0.0.1:{port}"
    env = {**env, "PORT": str(port), MARK: mark}
    process = subprocess.Popen(command, env=env, cwd=BASE, start_new_session=True)
    try:
        visitor = Visitor(base)
        wait_for_pages(visitor, process)
        visitor.log_in("admin", password)
        runs = sorted(set(re.findall(r"/livesim/runs/([0-9a-f-]{36})/", visitor.get("/livesim/"))))
        seen = [check_run(visitor, run) for run in runs]
        if len(seen) < 3:
            raise AssertionError(f"three runs were expected on the list page, there are: {seen}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)
        left = marked(mark)
    if left:
        raise AssertionError(f"processes are left after SIGTERM: {left}")
    return seen


if __name__ == "__main__":
    for line in check(["make", "sandbox"], os.environ):
        print(line)
