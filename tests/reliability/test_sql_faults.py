"""Every SQL statement and every COMMIT fails once, before, after and with its connection.

Two workers and a client play a scenario over the real store. The k-th call
of the database fails; all try again as they do; and in the end what was
acknowledged is in the state, once and in order. A share of the calls is
tried, another one for each `LIVESIM_SEED`; with `LIVESIM_CHAOS`, as `make
chaos` sets it, each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import pytest
from django.db import DatabaseError, InterfaceError, connection

from django_livesim import gateway
from django_livesim.protocol.records import Committed
from django_livesim.runtime.gate import Gate
from django_livesim.store import journal
from tests.reliability import faults
from tests.reliability.faults_injecting import KINDS, Kind, What
from tests.reliability.faults_scenarios import SCENARIOS, steering, takeover
from tests.reliability.faults_unfenced import unfenced

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(3600)]

CHAOS = bool(os.environ.get("LIVESIM_CHAOS"))
SEED = int(os.environ.get("LIVESIM_SEED", "1"))
EVERY = {"sqlite": 101, "postgresql": 301}
OFTEN = {"coroutines": 7}  # few calls, and which is the k-th is not quite the same each time
FLOORS = {
    "steering": 150,
    "takeover": 130,
    "leaving": 120,
    "ending": 160,
    "together": 90,
    "batches": 50,
    "coroutines": 10,
    "retention": 60,
}
"""Calls of the database that there are at least, lest a scenario shrinks and nobody sees."""


@pytest.mark.parametrize("name", SCENARIOS)
def test_whichever_call_of_the_database_fails_nothing_is_lost_doubled_or_stuck(name):
    every = 1 if CHAOS else OFTEN.get(name, EVERY[connection.vendor])
    tried = faults.sweep(SCENARIOS[name], KINDS[connection.vendor], every=every, seed=SEED)
    sys.stdout.write(f"{name} on {connection.vendor}: {tried}\n")
    assert tried.found == []
    assert tried.points >= FLOORS[name]
    reached = 0.2 if name == "coroutines" else 0.99  # the one groups its calls by what waits at the moment
    assert tried.fired > tried.plays * reached > 0


# -- negative controls -------------------------------------------------------------------------------


def violations(scenario: Any, kind: Kind) -> list[str]:
    """The first that is found where no call fails, or one COMMIT."""
    return faults.sweep(scenario, [kind], whats=[What.COMMIT], most=1).found


def test_control_without_the_fence_a_violation_is_found():
    with unfenced():
        assert violations(takeover, Kind.BEFORE)


def test_control_with_the_gate_open_a_violation_is_found():
    def hold(self: Gate, after: int, output: Any, hold: Any = Gate.hold) -> None:
        hold(self, 0, output)

    with patch.object(Gate, "hold", hold):
        assert violations(steering, Kind.BEFORE)


def test_control_a_failed_write_taken_for_done_is_found():
    write = journal.write

    def believe(worker: Any, writes: Any, *args: Any) -> list[str]:
        try:
            return write(worker, writes, *args)
        except (DatabaseError, InterfaceError):
            return [Committed.YES] * len(writes)

    with patch.object(journal, "write", believe):
        assert violations(steering, Kind.BEFORE)


@contextmanager
def forgetful_clients() -> Iterator[None]:
    """Who got no answer sends the same again, and not under the same id."""
    send = gateway.send

    def forget(*args: Any, id: str, **options: Any) -> Any:
        return send(*args, **options)

    with patch.object(gateway, "send", forget):
        yield


def test_control_an_unknown_commit_that_is_blindly_repeated_is_found():
    with forgetful_clients():
        assert violations(steering, Kind.AFTER)
