"""The servers that tests and the sandbox start are theirs alone, and gone afterwards."""

from __future__ import annotations

import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from scripts import services as scripted
from tests import services


def listens(url: str) -> bool:
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("name", ["redis", "postgres"])
def test_a_server_is_there_in_the_block_and_gone_after_it(name):
    try:
        with getattr(scripted, name)() as url:
            assert listens(url)
        assert not listens(url)
    except scripted.Missing as exc:
        services.missing(name, str(exc))


@pytest.mark.skipif(sys.platform != "linux", reason="linux: only there can a child be tied to its parent")
def test_a_server_does_not_outlive_a_parent_that_was_killed(wait):
    code = "from scripts.services import redis\nwith redis() as url: print(url, flush=True); input()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    url = parent.stdout.readline().decode().strip()
    assert listens(url)
    parent.kill()
    parent.communicate()
    wait(lambda: not listens(url))


def test_what_is_missing_is_skipped_by_name(monkeypatch):
    monkeypatch.setenv("LIVESIM_REQUIRE", "redis,chromium")
    with pytest.raises(pytest.skip.Exception, match="postgres: no initdb"):
        services.missing("postgres", "no initdb")


def test_what_is_missing_and_required_fails(monkeypatch):
    monkeypatch.setenv("LIVESIM_REQUIRE", "redis,chromium")
    with pytest.raises(pytest.fail.Exception, match="required by LIVESIM_REQUIRE and missing: no"):
        services.missing("chromium", "no browser")


def test_a_missing_server_is_said_and_the_command_not_run(monkeypatch, capsys):
    def nothing():
        raise scripted.Missing("no initdb")

    monkeypatch.setitem(scripted.SERVICES, "postgres", ("DATABASE_URL", nothing))
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("LIVESIM_REQUIRE", raising=False)
    assert scripted.main(["postgres", "--", "false"]) == 0
    monkeypatch.setenv("LIVESIM_REQUIRE", "postgres")
    assert scripted.main(["postgres", "--", "true"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said == ["skipped: postgres: no initdb", "missing: postgres: no initdb"]
