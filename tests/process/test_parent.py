"""`livesim_worker` as a parent: children that are killed, hang, crash or leave, and the end of the parent."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from django_livesim import gateway, registry
from django_livesim.models import Run, Worker
from django_livesim.worker.children import state

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.any_database,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

BASE = Path(__file__).parents[2]


@pytest.fixture
def wait(wait: Any) -> Callable[..., Any]:
    """The usual one, with time for processes to begin."""
    return partial(wait, seconds=60)


@pytest.fixture(autouse=True)
def _here(redis_layer: Any) -> Iterator[None]:
    """This process, too, has the simulation, and rings the workers."""
    from tests.process.harmful.simulations import Harmful, Hurried

    for simulation in (Harmful, Hurried):
        registry.register(simulation)
    yield
    for simulation in (Harmful, Hurried):
        registry.unregister(simulation.name)


@pytest.fixture
def health(tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """What the health file says now; empty where there is none."""

    def read() -> dict[str, Any]:
        try:
            return json.loads((tmp_path / "health.json").read_text())
        except FileNotFoundError:
            return {}

    return read


@pytest.fixture
def parent(manage: Any, process_env: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """`parent("--processes=2")` starts one, with the simulation that does harm."""

    def start(*options: str, **popen: Any) -> subprocess.Popen[bytes]:
        env = process_env | {"DJANGO_SETTINGS_MODULE": "tests.process.harmful.settings"}
        return manage(
            "livesim_worker", f"--health-file={tmp_path}/health.json", *options, **{"env": env} | popen
        )

    return start


def alive() -> dict[int, Worker]:
    """By process id."""
    return {row.pid: row for row in Worker.objects.exclude(state="gone")}


def is_there(pid: int) -> bool:
    return state(pid) not in ("", "Z")


def fresh(run: Run) -> Run:
    return Run.objects.get(id=run.id)


def descriptors(process: subprocess.Popen[bytes]) -> list[str]:
    folder = Path(f"/proc/{process.pid}/fd")
    return sorted(str(each.readlink()) for each in folder.iterdir() if "socket" not in str(each.readlink()))


def up(health: Callable[[], dict[str, Any]]) -> list[int]:
    return [child["pid"] for child in health().get("children", []) if child["state"] == "up"]


def test_a_child_that_is_killed_is_replaced_and_the_end_of_the_parent_leaves_nothing(
    parent, health, process_env, wait
):
    process_env["LIVESIM"] = json.dumps({"LEASE_TTL": 3600})  # nobody waits for a silence
    process = parent("--processes=2")
    pids = wait(lambda: len(found := up(health)) == 2 and found)
    runs = [gateway.start("counter") for _ in range(3)]
    wait(lambda: Run.objects.filter(status="running", worker__state="alive").count() == 3)
    assert set(alive()) == set(pids) and process.pid not in pids

    def kill_one_that_holds_runs() -> list[str]:
        """What the parent has open when another has come in its place."""
        victim = wait(lambda: next((pid for pid, row in alive().items() if row.runs.exists()), 0))
        os.kill(victim, signal.SIGKILL)
        wait(lambda: victim not in alive())
        wait(lambda: Run.objects.filter(worker__state="alive").count() == 3)
        wait(lambda: len(found := up(health)) == 2 and victim not in found)
        return descriptors(process)

    assert kill_one_that_holds_runs() == kill_one_that_holds_runs()
    assert not Run.objects.filter(strikes__gt=0).exists()  # nobody's code was being called
    told = health()
    assert (told["pid"], told["database"], told["leaving"]) == (process.pid, True, False)
    wait(lambda: sum(child["runs"] for child in health()["children"]) == 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert (alive(), health()) == ({}, {})
    rows = list(map(fresh, runs))  # one claimed as the signal came is free too: its worker is gone
    assert {run.status for run in rows} == {"waiting"}
    assert all(run.worker is None or run.worker.state == "gone" for run in rows)


def test_when_the_parent_is_killed_its_children_die_with_it_stopped_ones_too(parent, health, wait):
    process = parent("--processes=2")
    pids = wait(lambda: len(found := up(health)) == 2 and found)
    os.kill(pids[0], signal.SIGSTOP)  # no thread of its own sees the pipe: the kernel ends it
    process.kill()
    process.wait()
    wait(lambda: not any(map(is_there, pids)))


def test_a_run_whose_code_ends_its_process_gets_a_strike_and_the_others_go_on(parent, health, wait, tmp_path):
    harms = {
        "exit": ("harmful", "ended its process with status 0", ""),
        "crash": ("harmful", "ended its process by SIGSEGV", "string_at"),
        "spin": ("hurried", "did not return within 0.5 s, nor when it was interrupted", "simulations.py"),
        "hang": ("hurried", "took longer than 0.5 s in one step", "in hang"),
    }
    parent()
    wait(lambda: up(health))
    good = gateway.start("counter")
    for how, (simulation, why, where) in harms.items():
        bad = gateway.start(simulation)
        wait(lambda: Run.objects.filter(status="running", worker__state="alive").count() == 2)
        worker, epoch = fresh(bad).worker, fresh(bad).epoch
        adoptions = fresh(good).adoptions
        gateway.send(bad, "harm", {"how": how, "file": str(tmp_path / how)})
        wait(lambda: Run.objects.filter(strikes=1))
        row = Run.objects.get(strikes=1)
        assert row == bad and row.reason.startswith(f"its code {why}")
        assert where in row.error and bool(where) == bool(row.error)
        wait(lambda: Worker.objects.get(id=worker.id).explained)  # noqa: B023
        wait(lambda: (found := up(health)) and found != [worker.pid])  # noqa: B023
        wait(lambda: fresh(bad).epoch > epoch and fresh(bad).status == "running")  # noqa: B023
        assert list(fresh(bad).worker.runs.all()) == [bad]  # it has a process to itself
        if how == "hang":  # its process has stored the others, and let them go
            assert fresh(good).adoptions == adoptions
        gateway.delete(bad)
    assert gateway.send(good, "add", wait=True).outcome == "applied"
    assert (fresh(good).strikes, fresh(good).error) == (0, "")


def test_code_that_lets_no_other_thread_run_keeps_its_lease_and_one_that_is_stopped_does_not(
    parent, health, process_env, wait, tmp_path
):
    process_env["LIVESIM"] = json.dumps({"BEAT": 0.2, "LEASE_TTL": 1.5})
    parent("--processes=2", "--max-runs=1")
    wait(lambda: len(up(health)) == 2)
    run = gateway.start("harmful")
    wait(lambda: fresh(run).status == "running")
    before, held = fresh(run).epoch, fresh(run).worker
    gateway.send(run, "harm", {"how": "hold", "file": str(tmp_path / "once")})
    wait((tmp_path / "once").exists)
    wait(lambda: any(child["stepping"] for child in health()["children"]))
    steps = gateway.inspect(run)["state"]["steps"]  # when it answers, its code has returned
    wait(lambda: gateway.inspect(run)["state"]["steps"] > steps)
    assert (fresh(run).epoch, fresh(run).worker, fresh(run).strikes) == (before, held, 0)
    os.kill(held.pid, signal.SIGSTOP)
    wait(lambda: fresh(run).worker_id != held.id)
    assert Worker.objects.get(id=held.id).state == "gone"
    os.kill(held.pid, signal.SIGCONT)


def test_a_second_signal_ends_everything_at_once(parent, health, process_env, wait, tmp_path):
    process_env["LIVESIM"] = json.dumps({"GRACE": 3600})
    process = parent()
    (pid,) = wait(lambda: up(health))
    run = gateway.start("harmful")
    wait(lambda: fresh(run).status == "running")
    gateway.send(run, "harm", {"how": "hang", "file": str(tmp_path / "once")})
    wait((tmp_path / "once").exists)
    process.send_signal(signal.SIGTERM)
    wait(lambda: health()["leaving"])
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 128 + signal.SIGINT
    wait(lambda: not is_there(pid))


def test_children_hash_alike_in_every_worker_and_begin_anew_when_code_changes(
    parent, process_env, wait, tmp_path
):
    app = tmp_path / "fresh"
    app.mkdir()
    (app / "__init__.py").touch()
    (tmp_path / "reloaded.py").write_text(
        "from tests.settings import *\nDEBUG = True\nINSTALLED_APPS = [*INSTALLED_APPS, 'fresh']\n"
    )

    def write(version: str) -> None:
        text = "from django_livesim import Simulation, register\n@register\nclass Fresh(Simulation):\n"
        (app / "new.py").write_text(f"{text}    version = {version}\n    def step(self, dt): pass\n")
        (app / "simulations.py").write_text("import fresh.new\n")

    def has(version: int) -> int:
        rows = Worker.objects.filter(state="alive", load__simulations__fresh=version)
        return next((row.pid for row in rows), 0)

    write("1")
    env = process_env | {"DJANGO_SETTINGS_MODULE": "reloaded", "PYTHONPATH": f"{tmp_path}{os.pathsep}{BASE}"}
    env.pop("PYTHONHASHSEED", None)
    with (tmp_path / "log").open("ab") as log:
        parent("--reload", env=env, stderr=log)
    first = wait(lambda: has(1))
    seeds = {part for part in Path(f"/proc/{first}/environ").read_text().split("\0") if "HASHSEED" in part}
    write("(")
    wait(lambda: "the next one comes when the code has changed" in (tmp_path / "log").read_text())
    write("2")
    second = wait(lambda: has(2))
    seeds |= {part for part in Path(f"/proc/{second}/environ").read_text().split("\0") if "HASHSEED" in part}
    assert re.fullmatch(r"PYTHONHASHSEED=\d+", *seeds)
