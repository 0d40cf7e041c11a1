"""What counts as a change of the code."""

from __future__ import annotations

from pathlib import Path

import pytest

from django_livesim.worker.reloading import changed

A, B = Path("a.py"), Path("b.py")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ({A: 100.0}, None),
        ({A: 101.0}, A),
        ({A: 99.0}, A),  # an older version was put in its place
        ({}, A),
        ({A: 100.0, B: 90.0}, None),  # imported since, and as old as ever
        ({A: 100.0, B: 201.0}, B),  # written since
    ],
)
def test_a_file_that_is_written_or_gone_is_a_change_and_one_that_is_imported_late_is_none(now, expected):
    assert changed({A: 100.0}, now, since=200.0) == expected
