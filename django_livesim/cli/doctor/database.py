"""The database: whether it answers, and keeps what was accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.db import connections
from django.utils import timezone

from django_livesim import conf
from django_livesim.cli.doctor.finding import Finding, advice, ok, problem
from django_livesim.gateway import vitals

APART = 5.0  # seconds that two clocks may differ
TIMEOUT = 5000  # milliseconds that SQLite waits for a lock, at least
ALIAS = 'DATABASES["%s"]'
OPTIONS = f'{ALIAS}.setdefault("OPTIONS", {{}})'


def look() -> Iterator[Finding]:
    """First whether it answers at all; then, where it does, how it is set."""
    sign = vitals.look_at_database()
    connection = connections[conf.settings.DATABASE]
    answers = f"{connection.vendor} answers in {sign.figures['ms']:.0f} ms"
    if sign.problem:
        missing = sign.figures["missing_migrations"]
        message = f"{answers}, and {sign.problem}, from {missing[0]} on"
        hint = f"Run: python manage.py migrate{_elsewhere()}"
        yield problem("database", message, hint)
        return
    yield ok("database", f"{answers}, all migrations applied")
    if connection.vendor == "sqlite":
        yield from of_sqlite(connection)
    elif connection.vendor == "postgresql":
        yield from _postgresql(connection)


def _elsewhere() -> str:
    alias = conf.settings.DATABASE
    return "" if alias == "default" else f" --database={alias}"


def _ask(connection: Any, statement: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def of_sqlite(connection: Any) -> Iterator[Finding]:
    """The check W003 tells of deferred transactions; a database in memory has no file to wait for."""
    if connection.is_in_memory_db():
        return
    options = OPTIONS % connection.alias
    if (mode := _ask(connection, "PRAGMA journal_mode")) != "wal":
        yield advice(
            "database",
            f'journal_mode is {mode}: who writes locks out who reads, with "database is locked".'
            " Expected: wal",
            hint=f'Add {options}["init_command"] = "PRAGMA journal_mode=WAL;"',
        )
    if (timeout := _ask(connection, "PRAGMA busy_timeout")) < TIMEOUT:
        yield advice(
            "database",
            f"a lock is waited for {timeout / 1000:g} s. Expected: {TIMEOUT / 1000:g} s or more",
            hint=f'Add {options}["timeout"] = 20',
        )
    if _ask(connection, "PRAGMA synchronous") == 0:
        yield problem(
            "database",
            "synchronous is OFF: a power cut loses what was accepted, or the file. Expected: NORMAL or FULL",
            hint=f'Add {options}["init_command"] = "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"',
        )


def _postgresql(connection: Any) -> Iterator[Finding]:
    if (commit := _ask(connection, "SHOW synchronous_commit")) == "off":
        yield problem(
            "database",
            f"synchronous_commit is {commit}: a crash of the server loses commands that were accepted."
            " Expected: on",
            hint="Run: ALTER DATABASE ... SET synchronous_commit = on"
            "\nor remove it from the role, the server's settings and OPTIONS.",
        )
    yield from _lasting(connection)
    yield from _pooled(connection)
    yield from silence(connection.alias, connection.settings_dict)
    yield from clocks((_ask(connection, "SELECT clock_timestamp()") - _now()).total_seconds())


def _now() -> Any:
    return timezone.now() if timezone.is_aware(timezone.now()) else timezone.now().astimezone()


def _lasting(connection: Any) -> Iterator[Finding]:
    age = connection.settings_dict["CONN_MAX_AGE"]
    if age != 0:
        yield advice(
            "database",
            f"CONN_MAX_AGE is {age}: under ASGI each request may have a thread of its own, whose connection"
            " is kept and used by nobody. Expected: 0",
            hint=f'Set {ALIAS % connection.alias}["CONN_MAX_AGE"] = 0'
            ' and, to keep connections, "pool": True in its OPTIONS, or a pooler.',
        )


def _pooled(connection: Any) -> Iterator[Finding]:
    """A pooler is seen by its port, which is another than the server's own."""
    settings = connection.settings_dict
    asked, port = int(settings["PORT"] or 5432), _ask(connection, "SELECT inet_server_port()")
    if port is None or port == asked:
        return
    traps = []
    if not settings.get("DISABLE_SERVER_SIDE_CURSORS"):
        traps.append('["DISABLE_SERVER_SIDE_CURSORS"] = True')
    if settings["OPTIONS"].get("prepare_threshold") is not None:
        traps.append('["OPTIONS"]["prepare_threshold"] = None')
    if traps:
        yield advice(
            "database",
            f"port {asked} leads to a server on port {port}: a pooler, or a mapped port. One that pools by"
            " transaction loses cursors and prepared statements",
            hint="Where it does, set:\n" + "\n".join(ALIAS % connection.alias + trap for trap in traps),
        )


def silence(alias: str, settings: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether a network that goes silent is noticed where others than our own threads ask."""
    host, options = str(settings["HOST"] or ""), settings["OPTIONS"]
    near = host in ("", "localhost", "127.0.0.1", "::1") or host.startswith("/")
    if near or "service" in options or "tcp_user_timeout" in options:
        return
    yield advice(
        "database",
        "tcp_user_timeout is not set: requests, and your own code, wait for a quarter of an hour where the"
        " network loses what they ask. Workers and sockets do not",
        hint=f"Add {OPTIONS % alias}.update(connect_timeout=5,"
        " tcp_user_timeout=10000, keepalives_idle=10, keepalives_interval=5, keepalives_count=2)",
    )


def clocks(apart: float) -> Iterator[Finding]:
    """The database's clock against this machine's, in seconds. Leases do not mind; ages and forms do."""
    if abs(apart) > APART:
        yield advice(
            "database",
            f"its clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} this machine's."
            f" Expected: within {APART:g} s; else ages and moments are shown wrongly",
            hint="Have both machines keep time, as by chrony or systemd-timesyncd.",
        )
