"""The page of a run shows a field only where there is something in it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from django_livesim.models import Run, Worker
from tests.admin.conftest import text_of, url

pytestmark = pytest.mark.django_db

Make = Callable[..., Run]


def page(boss: Client, run: Run) -> str:
    return text_of(boss.get(url("change", run.pk)))


def test_a_stopped_run_has_no_outcome(boss: Client, make: Make) -> None:
    text = page(boss, make(status="stopped"))
    assert "State Simulation:" in text
    assert [name for name in ("Outcome", "Result:", "Traceback:") if name in text] == []


def test_a_finished_run_has_its_result_and_a_failed_one_its_traceback(boss: Client, make: Make) -> None:
    finished = page(boss, make(status="finished", result=0))
    assert "Outcome Result: 0" in finished
    assert "Traceback:" not in finished
    failed = page(boss, make(status="failed", error="KeyError: spot"))
    assert "Outcome Traceback: KeyError: spot" in failed
    assert "Result:" not in failed


def test_a_run_in_quarantine_shows_what_brought_it_there(boss: Client, make: Make) -> None:
    assert "Outcome Traceback: MemoryError" in page(boss, make(status="quarantined", error="MemoryError"))


def test_facts_that_are_not_there_have_no_empty_line(boss: Client, make: Make, worker: Worker) -> None:
    names = ["Key:", "Reason:", "Progress:", "Owner:", "Worker:", "Started:", "Ended:"]
    bare = page(boss, make(owner=None))
    assert [name for name in names if name in bare] == []
    full = page(boss, make(key="here", reason="played again", progress=0.254, worker=worker))
    assert [name for name in names if name in full] == ["Key:", "Reason:", "Progress:", "Owner:", "Worker:"]
    assert "Progress: 25 %" in full
