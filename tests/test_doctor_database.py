"""What `livesim doctor` says of databases that are set up wrongly."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from django_livesim.cli.doctor import database
from django_livesim.cli.doctor.finding import Finding

pytestmark = pytest.mark.django_db


@pytest.fixture
def postgresql() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("this is PostgreSQL's")


def wrong(found: Iterator[Finding]) -> list[str]:
    return [f"{each.status}: {each.message}" for each in found if each.status != "ok"]


def test_the_database_of_the_tests_is_set_up_rightly():
    assert wrong(database.look()) == []


def test_a_migration_that_is_missing_is_named_with_the_command():
    applied = MigrationRecorder(connection).migration_qs.filter(app="livesim")
    last = applied.order_by("name").last()
    last.delete()
    (finding,) = database.look()
    assert finding.status == "problem" and finding.message.endswith(f"from {last.name} on")
    assert finding.hint == "Run: python manage.py migrate"
    MigrationRecorder(connection).record_applied("livesim", last.name)
    assert wrong(database.look()) == []


# -- SQLite -------------------------------------------------------------------------------------

RIGHT = {"timeout": 20, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"}


@pytest.fixture
def sqlite(tmp_path: Path) -> Callable[..., list[str]]:
    """What is found wrong with a database of its own, opened with such options."""

    def look(**options: Any) -> list[str]:
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite3"
        settings = {**connections.settings["default"], "ENGINE": "django.db.backends.sqlite3"}
        own = DatabaseWrapper({**settings, "NAME": str(path), "OPTIONS": RIGHT | options}, "own")
        with closing(own):
            return wrong(database.of_sqlite(own))

    return look


def test_sqlite_as_it_should_be(sqlite):
    assert sqlite() == []


def test_sqlite_without_wal(sqlite):
    (told,) = sqlite(init_command="PRAGMA synchronous=NORMAL;")
    assert told.startswith("advice: journal_mode is delete: ")


def test_sqlite_that_does_not_wait_for_locks(sqlite):
    assert sqlite(timeout=1) == ["advice: a lock is waited for 1 s. Expected: 5 s or more"]


def test_sqlite_that_does_not_wait_for_the_disk(sqlite):
    (told,) = sqlite(init_command="PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;")
    assert told.startswith("problem: synchronous is OFF")


# -- PostgreSQL ---------------------------------------------------------------------------------


def test_commits_that_are_answered_before_they_are_kept(postgresql):
    with connection.cursor() as cursor:
        cursor.execute("SET synchronous_commit = off")
        assert wrong(database.look())[0].startswith("problem: synchronous_commit is off")
        cursor.execute("RESET synchronous_commit")
    assert wrong(database.look()) == []


def test_connections_that_outlive_their_requests(postgresql, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", None)
    (told,) = wrong(database.look())
    assert told.startswith("advice: CONN_MAX_AGE is None")
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)
    assert wrong(database.look()) == []


@pytest.fixture
def pooler(postgresql: None) -> Iterator[int]:
    """A port of its own that leads to the database, as that of a pooler does."""
    settings = connection.settings_dict
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _address = listening.accept()
                    there = socket.create_connection((settings["HOST"], int(settings["PORT"])))
                    for pair in ((client, there), (there, client)):
                        threading.Thread(target=pump, args=pair, daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)


def pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError), source, target:
        while data := source.recv(65536):
            target.sendall(data)


@pytest.mark.django_db(transaction=True)
def test_a_pooler_and_what_may_be_lost_by_it(pooler, monkeypatch):
    def through(port: int, **settings: Any) -> list[str]:
        """What is found by a thread, which has a connection of its own."""
        given = {**connections.settings["default"], "PORT": port, **settings}
        monkeypatch.setitem(connections.settings, "default", given)
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(_look_and_close).result(30)

    (told,) = through(pooler)
    assert f"port {pooler} leads to a server on port {connection.settings_dict['PORT']}" in told
    assert through(pooler, DISABLE_SERVER_SIDE_CURSORS=True) == []
    options = {"prepare_threshold": 5}
    assert len(through(pooler, DISABLE_SERVER_SIDE_CURSORS=True, OPTIONS=options)) == 1


def _look_and_close() -> list[str]:
    try:
        return wrong(database.look())
    finally:
        connections.close_all()


def test_a_server_elsewhere_wants_a_limit_for_a_network_that_has_gone_silent():
    def look(host: str, **options: Any) -> list[str]:
        return wrong(database.silence("default", {"HOST": host, "OPTIONS": options}))

    (found,) = look("db.example.org")
    assert found.startswith("advice: tcp_user_timeout is not set")
    assert look("db.example.org", tcp_user_timeout=10000) == []
    assert look("") == look("localhost") == look("/run/postgresql") == []


def test_what_is_advised_can_be_added_to_settings_without_options(tmp_path):
    def added(findings: Iterator[Finding]) -> dict[str, Any]:
        there: dict[str, Any] = {"DATABASES": {"own": {"ENGINE": "whatever"}}}
        for finding in findings:
            exec(finding.hint.removeprefix("Add "), there)
        return dict(there["DATABASES"]["own"]["OPTIONS"])

    assert added(database.silence("own", {"HOST": "db.example.org", "OPTIONS": {}})) == {
        "connect_timeout": 5,
        "tcp_user_timeout": 10000,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 2,
    }
    settings = {**connections.settings["default"], "ENGINE": "django.db.backends.sqlite3"}
    wrongly = {"init_command": "PRAGMA synchronous=OFF;", "timeout": 1}
    own = DatabaseWrapper({**settings, "NAME": str(tmp_path / "own.sqlite3"), "OPTIONS": wrongly}, "own")
    with closing(own):
        assert set(added(database.of_sqlite(own))) == {"init_command", "timeout"}


@pytest.mark.parametrize(("apart", "said"), [(3600.0, "3600 s ahead of"), (-90.0, "90 s behind")])
def test_clocks_that_differ(apart, said):
    (finding,) = database.clocks(apart)
    assert finding.status == "advice" and f"its clock is {said} this machine's" in finding.message
    assert list(database.clocks(apart / 1000)) == []


def test_a_machine_whose_clock_is_wrong_is_found(postgresql, monkeypatch):
    from django.utils import timezone

    right = timezone.now
    with monkeypatch.context() as wrongly:
        wrongly.setattr(timezone, "now", lambda: right().replace(year=2020))
        assert "ahead of this machine's" in wrong(database.look())[0]
    assert wrong(database.look()) == []
