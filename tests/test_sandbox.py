"""The sandbox as a visitor meets it, and what its examples promise."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import sandbox as runner
from scripts.check_sandbox import check

SANDBOX = Path(__file__).resolve().parent.parent / "sandbox"


@pytest.mark.usefixtures("redis_url")
def test_a_visitor_sees_every_example_move_and_nothing_is_left_after_sigterm(tmp_path):
    env = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/sandbox.sqlite3"}
    env.pop("DJANGO_SETTINGS_MODULE", None)
    seen = check([sys.executable, str(SANDBOX.parent / "scripts" / "sandbox.py")], env)
    assert {line.split()[0] for line in seen} >= {"orbit", "life", "workshop"}


@pytest.mark.parametrize("path", sorted(SANDBOX.glob("*/simulations.py")), ids=lambda path: path.parent.name)
def test_every_example_is_under_90_lines(path):
    assert len(path.read_text().splitlines()) < 90


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_on_loopback_the_password_is_admin(host):
    env, password = runner.environment(host)
    assert password == env["ADMIN_PASSWORD"] == "admin"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_on_any_other_host_the_password_is_random_and_debug_is_off(host, monkeypatch):
    monkeypatch.delenv("DEBUG", raising=False)
    first, second = (runner.environment(host) for _ in range(2))
    assert len(first[1]) >= 16
    assert first[1] != second[1]
    assert first[0]["DEBUG"] == "false"
    assert "*" not in first[0]["ALLOWED_HOSTS"]


def test_a_taken_port_is_named_with_the_way_out():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"port {port}: .* Choose another with PORT="):
            runner.refuse_taken_port("127.0.0.1", port)


def test_a_database_url_that_names_no_database_is_told():
    env = os.environ | {"DATABASE_URL": "foo", "DJANGO_SETTINGS_MODULE": "sandbox.config.settings"}
    command = [sys.executable, "-m", "django", "check"]
    done = subprocess.run(command, cwd=SANDBOX.parent, env=env, capture_output=True, text=True)
    assert "DATABASE_URL names no database. Expected, for example: postgres://user@host/name" in done.stderr
