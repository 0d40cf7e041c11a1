"""Own loops under `livesim_worker`: blocking ones have a process to themselves, async ones one event loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from django_livesim import gateway, register, registry
from django_livesim.models import Run, Worker
from django_livesim.worker.children import state

BASE = Path(__file__).parents[2]

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]


@pytest.fixture
def wait(wait: Any) -> Callable[..., Any]:
    """The usual one, with time for processes to begin."""
    return partial(wait, seconds=60)


@pytest.fixture(autouse=True)
def _here(redis_layer: Any) -> Iterator[None]:
    """This process, too, has the loops, and rings the workers."""
    module = "tests.process.looping.simulations"
    sys.modules.pop(module, None)  # what it registers is taken out again
    loops = import_module(module)
    yield
    for loop in (loops.blocks, loops.stubborn, loops.hurried_loop):
        registry.unregister(loop.name)


@pytest.fixture
def parent(manage: Any, process_env: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    def start(*options: str, **env: str) -> subprocess.Popen[bytes]:
        process_env["DJANGO_SETTINGS_MODULE"] = "tests.process.looping.settings"
        process_env["LIVESIM"] = json.dumps({"GRACE": 0.3})
        process_env.update(env)
        return manage("livesim_worker", f"--health-file={tmp_path}/health.json", *options)

    return start


def runs_by_now(run: Run) -> Callable[[], Worker | None]:
    """Its worker, once it runs."""

    def ask() -> Worker | None:
        row = Run.objects.select_related("worker").get(id=run.id)
        return row.worker if row.status == "running" and row.worker.state == "alive" else None

    return ask


def told(run: Run, tmp_path: Path, name: str, harm: str = "") -> Path:
    file = tmp_path / name
    gateway.send(run, harm or name, {"file": str(file)})
    return file


def test_a_blocking_loop_has_a_process_to_itself_which_goes_with_what_it_did(parent, wait, tmp_path):
    process = parent("--max-runs=2")
    good, locks, exits = gateway.start("counter"), gateway.start("stubborn"), gateway.start("stubborn")
    workers = {run: wait(runs_by_now(run)) for run in (good, locks, exits)}
    assert len({worker.pid for worker in workers.values()}) == 3
    for run in (locks, exits):
        wait(lambda: Worker.objects.get(id=workers[run].id).load.get("run") == str(run.id))  # noqa: B023
    health = wait(lambda: json.loads((tmp_path / "health.json").read_text()))
    assert {loop["run"]: loop["pid"] for loop in health["loops"]} == {
        str(run.id): workers[run].pid for run in (locks, exits)
    }

    waits = gateway.start("stubborn")
    full = "waits for a process of its own: its worker has 2, as many as it may"
    wait(lambda: Run.objects.get(id=waits.id).reason == full)

    wait(told(locks, tmp_path, "lock").exists)
    gateway.stop(locks)
    told(exits, tmp_path, "exit")
    wait(lambda: Run.objects.get(id=locks.id).status == "stopped")
    row = Run.objects.get(id=locks.id)
    assert (row.reason, row.strikes) == (
        "its loop did not come back in time; the state is the last one stored",
        0,
    )
    wait(lambda: state(workers[locks].pid) in ("", "Z"))
    assert Worker.objects.get(id=workers[locks].id).state == "gone"
    wait(runs_by_now(waits))

    wait(lambda: Run.objects.get(id=exits.id).strikes == 1)
    assert Run.objects.get(id=exits.id).reason.startswith("its code ended its process with status 3")
    wait(lambda: Run.objects.get(id=exits.id).reason.startswith("recovered"))
    assert wait(runs_by_now(exits)).pid != workers[exits].pid
    assert runs_by_now(good)() == workers[good] and Run.objects.get(id=good.id).epoch == 1

    wait(told(waits, tmp_path, "lock 2", "lock").exists)
    call_command("livesim", "drain", str(workers[good]), "--no-wait")  # the only one that takes what is free
    assert process.wait(60) == 0
    assert not Worker.objects.exclude(state="gone").exists()
    left = Run.objects.exclude(id=locks.id).values_list("id", "status", "worker", "strikes")
    assert set(left) == {(run.id, "waiting", None, int(run == exits)) for run in (good, waits, exits)}


def test_an_async_loop_that_keeps_the_event_loop_from_running_costs_its_process_and_gets_the_strike(
    parent, wait, tmp_path
):
    parent()
    good, bad = gateway.start("echo"), gateway.start("blocks")
    pid = wait(runs_by_now(good)).pid
    assert wait(runs_by_now(bad)).pid == pid
    told(bad, tmp_path, "lock")
    wait(lambda: Run.objects.get(id=bad.id).strikes == 1)
    row = Run.objects.get(id=bad.id)
    assert row.reason.startswith("its code did not return within 0.5 s")
    assert "wait_on_a_lock" in row.error
    assert wait(runs_by_now(good)).pid != pid
    assert Run.objects.get(id=good.id).strikes == 0
    assert wait(runs_by_now(bad))


def test_a_loop_that_lets_no_other_thread_run_is_ended_with_its_process_and_its_record_says_where_it_was(
    parent, wait, tmp_path
):
    parent()
    good, bad = gateway.start("echo"), gateway.start("hurried_loop")
    other, own = wait(runs_by_now(good)), wait(runs_by_now(bad))
    assert own.pid != other.pid
    told(bad, tmp_path, "hold")
    wait(lambda: Run.objects.get(id=bad.id).strikes == 1)
    row = Run.objects.get(id=bad.id)
    assert row.reason.startswith("its code did not return within 0.5 s, nor when it was interrupted")
    assert "in hold_the_gil" in row.error
    assert state(own.pid) in ("", "Z") and Worker.objects.get(id=own.id).state == "gone"
    assert wait(runs_by_now(bad)).pid != own.pid
    assert runs_by_now(good)() == other and Run.objects.get(id=good.id).epoch == 1


def test_when_code_changes_the_processes_of_blocking_loops_begin_anew_too(parent, wait, tmp_path):
    app = tmp_path / "renewed"
    app.mkdir()
    (app / "__init__.py").touch()
    (tmp_path / "reloaded.py").write_text(
        "from tests.settings import *\nDEBUG = True\nINSTALLED_APPS = [*INSTALLED_APPS, 'renewed']\n"
    )

    def write(code: int) -> None:
        (app / "simulations.py").write_text(
            "from django_livesim import register\n"
            "@register\n"
            "def renewed(sim):\n"
            "    while True:\n"
            f"        sim.state['code'] = {code}\n"
            "        sim.sleep(0.05)\n"
        )

    def renewed(sim: Any) -> None:
        """The same, by name, for this process."""

    write(1)
    path = f"{tmp_path}{os.pathsep}{BASE}"
    process = parent("--reload", DJANGO_SETTINGS_MODULE="reloaded", PYTHONPATH=path)
    register(renewed)
    try:
        run = gateway.start("renewed")
        first = wait(runs_by_now(run))
        wait(lambda: gateway.inspect(run)["state"] == {"code": 1})
        write(2)
        wait(lambda: gateway.inspect(run)["state"] == {"code": 2})
    finally:
        registry.unregister("renewed")
    second = wait(runs_by_now(run))
    assert second.pid != first.pid and Worker.objects.get(id=first.id).state == "gone"
    assert Worker.objects.get(id=second.id).load["run"] == str(run.id)
    assert Run.objects.get(id=run.id).strikes == 0 and process.poll() is None
