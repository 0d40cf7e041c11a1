"""Jobs under `livesim_worker`: each in a process of its own, stopped, killed, tried again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from django_livesim import gateway, registry
from django_livesim.models import Run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
JOBS = ("dies_once", "once", "shell", "polls")


@pytest.fixture
def wait(wait: Any) -> Callable[..., Any]:
    """The usual one, with time for processes to begin."""
    return partial(wait, seconds=60)


@pytest.fixture(autouse=True)
def _here(redis_layer: Any, process_env: dict[str, str]) -> Iterator[None]:
    """This process, too, has the jobs, and rings the workers."""
    process_env["DJANGO_SETTINGS_MODULE"] = "tests.process.jobbing.settings"
    module = "tests.process.jobbing.simulations"
    sys.modules.pop(module, None)  # what it registers is taken out again
    import_module(module)
    yield
    for name in JOBS:
        registry.unregister(name)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def is_(run: Run, status: str) -> Callable[[], Run | None]:
    def ask() -> Run | None:
        row = Run.objects.get(id=run.id)
        return row if row.status == status else None

    return ask


def test_jobs_end_with_results_are_stopped_within_a_second_and_called_again_only_where_they_ask(
    manage: Any, wait: Any, tmp_path: Path
) -> None:
    process: subprocess.Popen[bytes] = manage("livesim_worker")
    asked = gateway.start("dies_once", {"file": f"{tmp_path}/asked"})
    hour = gateway.start("once", {"file": f"{tmp_path}/hour"})
    killed = gateway.start("once", {"file": f"{tmp_path}/killed"})
    shell = gateway.start("shell", {"script": "echo one; sleep 0.2; echo two"})
    polls = gateway.start("polls", {"file": f"{tmp_path}/backend"})

    row = wait(is_(asked, "finished"))
    assert row.result == {"attempt": 2} and row.attempts == 2
    assert lines(tmp_path / "asked") == ["attempt 1", "attempt 2"]
    assert wait(is_(shell, "finished")).result == 2

    (tmp_path / "backend").write_text("ready")
    assert wait(is_(polls, "finished")).result == "ready"

    wait(lambda: Run.objects.get(id=hour.id).progress)
    began = time.monotonic()
    gateway.stop(hour, wait=True)
    took = time.monotonic() - began
    assert Run.objects.get(id=hour.id).status == "stopped"
    wait(lambda: lines(tmp_path / "hour") == ["attempt 1", "cleared away"])
    assert took < 5.0  # a second, on a machine that has nothing else to do
    gateway.resume(hour)
    wait(lambda: lines(tmp_path / "hour")[2:] == ["attempt 1"])
    gateway.stop(hour, wait=True)

    holder = wait(lambda: Run.objects.select_related("worker").get(id=killed.id).worker)
    wait(lambda: lines(tmp_path / "killed") == ["attempt 1"])
    os.kill(holder.pid, signal.SIGKILL)
    row = wait(is_(killed, "failed"))
    assert row.reason == "attempt 1 of 1 was lost with its worker; it is not tried again"
    assert lines(tmp_path / "killed") == ["attempt 1"]

    short = gateway.start("once", {"file": f"{tmp_path}/short", "seconds": 1.0})
    wait(lambda: lines(tmp_path / "short"))
    process.terminate()
    assert process.wait(60) == 0
    assert Run.objects.get(id=short.id).result == "done"
