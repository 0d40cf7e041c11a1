"""The embedded worker's lock, and its queues."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from django_livesim import embedded, task
from django_livesim.background import handlers


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


def test_it_has_every_queue_that_the_code_names(temporary: Path, monkeypatch: Any, settings: Any) -> None:
    begun: list[list[str]] = []
    monkeypatch.setattr(embedded, "start_background", begun.append)
    monkeypatch.setattr(embedded, "_held", None)
    monkeypatch.setattr(embedded, "_tried", -embedded.RETRY)
    settings.DEBUG, settings.LIVESIM = True, {"EMBEDDED_WORKER": True}
    monkeypatch.setattr(handlers, "tasks", dict(handlers.tasks))
    task(name="films.encode", queue="heavy")(lambda: None)
    embedded.ensure_started()
    assert {"default", "heavy"} <= set(*begun)
    assert embedded._held is not None
    embedded._held.close()
