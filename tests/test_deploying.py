"""The sandbox in production settings, as processes that know only their environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BASE = Path(__file__).resolve().parent.parent
MANAGE = [sys.executable, str(BASE / "sandbox" / "manage.py")]
PRODUCTION = {
    "DEBUG": "false",
    "SECRET_KEY": "long-and-not-guessed-" * 3,
    "ALLOWED_HOSTS": "sims.example.org",
    "DATABASE_URL": "postgres://sims:secret@127.0.0.1:1/sims",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "HTTPS": "1",
}
ASK = """
from django.test import Client
client = Client(headers={"host": "sims.example.org"})
plain = client.get("/admin/login/")
print(plain.status_code, plain.get("Location"))
safe = client.get("/admin/login/", headers={"x-forwarded-proto": "https"})
print(safe.status_code, safe["Strict-Transport-Security"])
health = client.get("/livesim/health/")
print("no redirect" if health.status_code != 301 else health["Location"])
print("secure" if safe.cookies["csrftoken"]["secure"] else "not secure")
"""


def manage(*arguments, without=(), **env):
    """The finished command, in an environment that holds these variables and none of the suite's."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    given = {name: value for name, value in (PRODUCTION | env).items() if name not in without}
    return subprocess.run([*MANAGE, *arguments], env=kept | given, capture_output=True, text=True)


def check(**given):
    return manage("check", "--deploy", "--fail-level", "WARNING", **given)


def test_the_sandbox_passes_every_check_for_production():
    done = check()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "System check identified no issues (0 silenced).\n"


@pytest.mark.parametrize(
    ("without", "said"),
    [
        ("HTTPS", {"security.W004", "security.W008", "security.W012", "security.W016"}),
        ("REDIS_URL", {"livesim.E003"}),
    ],
)
def test_what_is_left_out_in_production_is_told(without, said):
    done = check(without=[without])
    assert done.returncode == 1
    assert set(re.findall(r"\((\w+\.[WE]\d{3})\)", done.stderr)) == said


def test_http_is_sent_to_https_which_the_proxys_header_tells():
    done = manage("shell", "--verbosity", "0", "-c", ASK)
    assert done.stdout.splitlines() == [
        "301 https://sims.example.org/admin/login/",
        "200 max-age=3600; includeSubDomains; preload",
        "no redirect",
        "secure",
    ], done.stderr


@pytest.mark.parametrize("settings", ["sandbox.config.settings", "tests.settings"])
def test_no_migration_is_missing(settings, tmp_path):
    url = f"sqlite:///{tmp_path}/empty.sqlite3"
    done = manage("makemigrations", "--check", DJANGO_SETTINGS_MODULE=settings, DATABASE_URL=url, DEBUG="1")
    assert (done.returncode, done.stdout) == (0, "No changes detected\n"), done.stdout + done.stderr
