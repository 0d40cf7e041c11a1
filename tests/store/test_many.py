"""Many rows changed in one statement."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from django.db import DataError, connection, transaction
from django.test.utils import CaptureQueriesContext

from django_livesim.models import Command, Run
from django_livesim.store import many
from django_livesim.store.moments import Moment

pytestmark = pytest.mark.django_db(transaction=True)


def runs(count: int) -> list[Run]:
    return Run.objects.bulk_create(Run(simulation="counter", name=f"r{n}") for n in range(count))


def test_each_row_gets_its_own_values_in_one_statement() -> None:
    made = runs(20)
    with CaptureQueriesContext(connection) as captured:
        rows = [(run.id, run.name, number, f"h{number}") for number, run in enumerate(made)]
        assert many.update_each(Run, ("id", "name"), ("tick", "hash"), rows) == 20
    assert len(captured) == 1
    assert [(run.tick, run.hash) for run in Run.objects.order_by("tick")] == [(n, f"h{n}") for n in range(20)]


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_the_count_is_that_of_all_rows_that_were_there(at_once: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(many, "AT_ONCE", at_once)
    rows = [(run.id, 1) for run in runs(7)] + [(uuid4(), 2)]
    assert many.update_each(Run, ("id",), ("tick",), rows) == 7
    assert many.update_each(Run, ("id",), ("tick",), []) == 0


def test_values_of_every_kind_of_column_go_in_and_come_back() -> None:
    (run, other) = runs(2)
    given: list[tuple[Any, ...]] = [
        (run.id, {"a": [1, None, '\u00e9"%s']}, None, 1.5, "it's 100 %", None),
        (other.id, None, 2**60, -0.25, "", 3),
    ]
    fields = ("result", "parent_tick", "speed", "error", "progress")
    assert many.update_each(Run, ("id",), fields, given) == 2
    for each in given:
        assert Run.objects.values_list("id", *fields).get(id=each[0]) == each
    assert Run.objects.filter(result__isnull=True).get() == other


def test_a_field_may_be_matched_and_changed_and_a_moment_is_that_of_the_database() -> None:
    (run,) = runs(1)
    commands = Command.objects.bulk_create(
        Command(run=run, name="add", sender="u:1", client_id=f"c{n}", outcome="" if n else "refused")
        for n in range(3)
    )
    rows = [(command.pk, run.id, "", "applied") for command in commands]
    also = {"applied_at": Moment()}
    assert many.update_each(Command, ("id", "run", "outcome"), ("outcome",), rows, also=also) == 2
    assert sorted(Command.objects.values_list("outcome", flat=True)) == ["applied", "applied", "refused"]
    assert Command.objects.exclude(applied_at=None).count() == 2


def test_what_no_column_can_hold_is_raised_and_changes_nothing() -> None:
    made = runs(2)
    bad = [(made[0].id, 5), (made[1].id, 2**70)]
    with pytest.raises((DataError, OverflowError)), transaction.atomic():
        many.update_each(Run, ("id",), ("tick",), bad)
    assert set(Run.objects.values_list("tick", flat=True)) == {0}


def test_text_that_is_too_long_is_not_cut() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("PostgreSQL alone looks at the length")
    (run,) = runs(1)
    with pytest.raises(DataError), transaction.atomic():
        many.update_each(Run, ("id",), ("hash",), [(run.id, "x" * 33)])
