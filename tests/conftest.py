"""Fixtures that every test may ask for."""

from __future__ import annotations

import inspect
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.db import connection
from django.utils import timezone

from django_livesim.gateway import waiting
from django_livesim.models import Command
from django_livesim.testing import wait_until
from scripts.services import dies_with_us, stop
from tests import distribution, services
from tests.settings import TEMPORARY

hypothesis.settings.register_profile("suite", deadline=None)  # of a single example, on a busy machine
hypothesis.settings.load_profile("suite")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in the background of a script
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what tests interrupt would inherit that

DEADLINE = 60.0
"""Seconds within which what a test waits for must have come true, on a machine with much else to do."""

wait_until.__defaults__ = (DEADLINE,)  # five seconds are for a machine that does nothing else


def pytest_unconfigure() -> None:
    """SQLite leaves its log beside a database whose file was removed under it."""
    for path in TEMPORARY.glob(f"livesim-test-{os.getpid()}.sqlite3*"):
        path.unlink(missing_ok=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what uses the database, to be run on each; keep the browser tests out of a call with asyncio."""
    apart = pytest.mark.skip(reason="browser tests are a call of their own: -p no:asyncio tests/browser")
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        uses = item.get_closest_marker("django_db") or {"db", "transactional_db"} & set(fixtures)
        if uses and not item.get_closest_marker("any_database"):
            item.add_marker("database")
        if config.pluginmanager.hasplugin("asyncio") and "browser" in item.path.parts:
            item.add_marker(apart)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """asgiref's threads outlive the tests with a connection each; PostgreSQL drops no database in use."""
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture
def row_locks() -> None:
    """For what only a database with locks of single rows can show."""
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL alone locks rows")


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis-compatible server."""
    with services.redis() as url:
        yield url


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL database that tests may fill; the suite itself uses `DATABASE_URL`."""
    with services.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository as a newcomer has it: not to be changed."""
    return distribution.clean_copy(tmp_path_factory.mktemp("copy") / "django-livesim")


@pytest.fixture(scope="session")
def dist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was made from it."""
    # setuptools writes beside what it builds
    copy = shutil.copytree(source, tmp_path_factory.mktemp("build") / "django-livesim")
    return distribution.build(copy, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="session")
def wheel(dist: Path) -> Path:
    return distribution.only(dist, "*.whl")


@pytest.fixture
def redis_layer(settings: Any, redis_url: str) -> dict[str, Any]:
    """The recommended channel layer, for this test; gives its configuration."""
    layer = {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [{"address": redis_url, "socket_timeout": None}]},
    }
    settings.CHANNEL_LAYERS = {"default": layer}
    return layer


@pytest.fixture
def wait() -> Callable[..., Any]:
    """`wait(condition)` gives the first true value, or fails with what came last."""

    def wait_for(condition: Callable[[], Any], seconds: float = DEADLINE) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := condition()):
            if time.monotonic() > deadline:
                pytest.fail(f"still {value!r} after {seconds} s: {condition}")
            time.sleep(0.02)
        return value

    return wait_for


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The present, which stays the same: for what is told in seconds from it."""
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    return now


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for an outcome for the default time waits until there is one, `DEADLINE` at most."""
    real, usual = waiting.wait, inspect.signature(waiting.wait).parameters["timeout"].default

    def wait(command: Command, timeout: float = usual) -> Command:
        return real(command, DEADLINE if timeout == usual else timeout)

    monkeypatch.setattr(waiting, "wait", wait)


def database_url() -> str:
    """The URL of the database that the tests of this process use."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    user = f"{database['USER']}:{database['PASSWORD']}"
    return f"postgres://{user}@{database['HOST']}:{database['PORT']}/{database['NAME']}"


@pytest.fixture
def process_env(transactional_db: None, redis_url: str) -> dict[str, str]:
    """The environment of a process that shares this test's database and a channel layer."""
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": database_url(),
        "CHANNELS_REDIS": redis_url,
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def manage(process_env: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """`manage("livesim_worker", ...)` starts a management command as a process; the test's end ends it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, **popen: Any) -> subprocess.Popen[bytes]:
        popen = {"env": process_env, "preexec_fn": dies_with_us()} | popen
        process = subprocess.Popen([sys.executable, "-m", "django", *arguments], **popen)
        started.append(process)
        return process

    yield start
    for process in started:
        stop(process)
