"""The embedded worker's lock."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from django_livesim import embedded


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(embedded.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(embedded, "_complained", set())
    return tmp_path


def test_one_process_has_the_lock_and_its_user_is_in_the_name(temporary: Path) -> None:
    held = embedded._take_lock()
    assert held is not None
    (path,) = temporary.iterdir()
    assert path.name.startswith(f"livesim-embedded-{os.getuid()}-")
    assert embedded._take_lock() is None
    held.close()


def test_a_lock_that_cannot_be_opened_is_said_once(temporary: Path, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr(embedded.tempfile, "gettempdir", lambda: str(temporary / "no such folder"))
    assert embedded._take_lock() is None
    assert embedded._take_lock() is None
    (record,) = caplog.records
    assert "its lock cannot be opened" in record.getMessage()
