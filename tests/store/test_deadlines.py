"""Questions to a database that has gone silent, and does not close the connection."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.signals import connection_created

from django_livesim.store.deadlines import CONNECT, within
from django_livesim.testing import wait_until
from tests.reliability.outages.proxy import Proxy

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT = 0.5  # seconds


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """What stands between the connections of `through` and the database."""
    if connection.vendor != "postgresql":
        pytest.skip("this is PostgreSQL's")
    with Proxy(int(connection.settings_dict["PORT"])) as between:
        yield between


@pytest.fixture
def through(proxy: Proxy) -> Callable[[Callable[[], Any]], Any]:
    """Calls something in a thread of its own, whose connection leads through the proxy."""

    def call(function: Callable[[], Any]) -> Any:
        told: list[Any] = []

        def run() -> None:
            mine = connections["default"]
            mine.settings_dict = {**mine.settings_dict, "HOST": "127.0.0.1", "PORT": proxy.port}
            try:
                told.append(function())
            except Exception as exc:
                told.append(exc)
            finally:
                mine.close()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(20.0)
        assert told, "it waits still"
        return told[0]

    return call


def ask(what: str = "SELECT 1") -> Any:
    with connections["default"].cursor() as cursor:
        cursor.execute(what)
        return cursor.fetchone()[0]


@pytest.mark.parametrize("lost", ["the question", "the answer"])
def test_a_connection_that_has_gone_silent_is_given_up_and_the_next_one_serves(
    proxy: Proxy, through: Callable[..., Any], lost: str
) -> None:
    def asked() -> Any:
        with within(LIMIT):
            for _ in range(1 + (lost == "the question")):  # the proxy silences them in turn
                connections["default"].close()
                assert ask() == 1
            proxy.half_open()
            proxy.heal()
            began = time.monotonic()
            with pytest.raises(OperationalError):
                ask()
            connections["default"].close()
            return time.monotonic() - began, ask()

    took, answer = through(asked)
    assert LIMIT <= took < LIMIT + 5.0 and answer == 1


def test_a_commit_whose_answer_never_comes_is_given_up(proxy: Proxy, through: Callable[..., Any]) -> None:
    def begin_and_commit() -> None:
        with transaction.atomic():
            ask()
            proxy.half_open()

    def asked() -> Any:
        with within(LIMIT), pytest.raises(OperationalError):
            begin_and_commit()
        return "over"

    assert through(asked) == "over"


def test_many_statements_may_take_longer_than_one(proxy: Proxy, through: Callable[..., Any]) -> None:
    def asked() -> Any:
        with within(LIMIT):
            return [ask("SELECT 1 FROM pg_sleep(0.2)") for _ in range(5)]

    assert through(asked) == [1] * 5


def test_what_python_does_between_two_statements_counts_for_nothing(through: Callable[..., Any]) -> None:
    def asked() -> Any:
        with within(LIMIT), transaction.atomic():
            ask()
            time.sleep(3 * LIMIT)  # code of the host's, or large states that are deflated
            return ask()

    assert through(asked) == 1


def test_a_process_that_stood_still_gives_no_connection_up(through: Callable[..., Any]) -> None:
    """It stands still since one thread lets no other run, while the database works on."""

    def stand_still(raw: Any) -> None:
        wait_until(lambda: raw.info.transaction_status.name == "ACTIVE")
        ctypes.PyDLL(None).usleep(1_500_000)

    def asked() -> Any:
        with within(1.25):
            ask()
            raw = connections["default"].connection
            standing = threading.Thread(target=stand_still, args=[raw])
            standing.start()
            answer = ask("SELECT 1 FROM pg_sleep(2)")
            standing.join()
            return answer

    assert through(asked) == 1


def test_a_connection_that_is_accepted_and_never_answered_is_given_up(
    proxy: Proxy, through: Callable[..., Any]
) -> None:
    proxy.half_open()

    def asked() -> Any:
        began = time.monotonic()
        with within(LIMIT), pytest.raises(OperationalError):
            ask()
        return time.monotonic() - began

    assert through(asked) < CONNECT + 5.0


def test_what_the_host_says_of_connecting_stands(through: Callable[..., Any]) -> None:
    def asked() -> Any:
        mine = connections["default"]
        options = {**mine.settings_dict["OPTIONS"], "connect_timeout": 33}
        mine.settings_dict = {**mine.settings_dict, "OPTIONS": options}
        with within(LIMIT):
            return mine.settings_dict["OPTIONS"]["connect_timeout"]

    assert through(asked) == 33


def test_wrappers_of_the_hosts_own_that_a_new_connection_gets_meanwhile_stay(through):
    asked: list[str] = []

    def noting(execute: Callable[..., Any], sql: str, *more: Any) -> Any:
        asked.append(sql)
        return execute(sql, *more)

    def instrumented(connection: Any, **_: Any) -> None:
        connection.execute_wrappers.append(noting)

    def work() -> list[Any]:
        with within(LIMIT):
            ask()  # the connection is made here
        ask("SELECT 2")
        return list(connections["default"].execute_wrappers)

    connection_created.connect(instrumented)
    try:
        assert through(work) == [noting]
    finally:
        connection_created.disconnect(instrumented)
    assert asked == ["SELECT 1", "SELECT 2"]
