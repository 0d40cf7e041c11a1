"""Runs that are produced by real processes: many at once, one that is killed, one that forks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from django_livesim import gateway, publish_state
from django_livesim.bus import watch
from django_livesim.models import Checkpoint, Run
from scripts.services import dies_with_us, stop
from tests.documents import BASE, block
from tests.test_socket import Socket, log_in, make_user

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = 60.0

Produce = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def produce(process_env: dict[str, str]) -> Iterator[Produce]:
    """`produce(key, how, count)` starts a producer; the test's end ends it."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "tests.process.producer", *map(str, arguments)]
        process = subprocess.Popen(
            command, env=process_env, stdout=subprocess.PIPE, text=True, preexec_fn=dies_with_us()
        )
        started.append(process)
        return process

    yield start
    for process in started:
        stop(process)
        if process.stdout:
            process.stdout.close()


def told(processes: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """What they printed until they ended, all of it; in the order of the ticks."""
    printed = [process.communicate(timeout=MINUTE)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    lines = [json.loads(line) for text in printed for line in text.splitlines()]
    return sorted(lines, key=lambda line: line.get("tick", 0))


def stored(run: Run) -> tuple[int, Any]:
    return Checkpoint.objects.get(run=run).tick, gateway.inspect(run)["state"]


def test_of_many_processes_each_call_has_a_tick_of_its_own_and_the_last_state_stays(produce):
    lines = told([produce("import", "many", 40) for _process in range(5)])
    run = Run.objects.get()
    assert [line["tick"] for line in lines] == list(range(1, 201))
    assert (run.tick, run.epoch, run.status) == (200, 1, "running")
    assert stored(run) == (200, lines[-1]["state"])
    assert run.reason == f"{lines[-1]['state']['who']} {lines[-1]['state']['n']}"


def test_of_many_processes_one_ends_it_and_nothing_is_told_after_that(produce):
    counts = (5, 40, 40, 40, 40)
    lines = told([produce("import", "end", count) for count in counts])
    taken = [line for line in lines if "tick" in line]
    run = Run.objects.get()
    assert [line["tick"] for line in taken] == list(range(1, run.tick + 1))
    assert [line for line in taken if line.get("ended")] == [taken[-1]]
    assert {line["refused"] for line in lines if "refused" in line} == {"run_ended"}
    assert (run.status, run.result) == ("finished", taken[-1]["state"]["who"])
    assert stored(run) == (run.tick, taken[-1]["state"])


async def test_what_a_killed_process_has_committed_is_shown_within_seconds(
    redis_layer: Any, produce: Produce
) -> None:

    ada = await sync_to_async(make_user)()
    cookies = await sync_to_async(log_in)(ada)
    run = await sync_to_async(publish_state)("import", status="waiting", owner=ada)
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        process = produce("import", "die", 3)
        await socket.until(lambda: process.poll() is not None, MINUTE)
        assert process.returncode == -9
        killed = time.monotonic()
        await socket.until(lambda: socket.of("end") and socket.of("snapshot")[-1]["state"] == {"n": 3})
        # one look at the row, and a second in which the end could still have come from elsewhere
        assert time.monotonic() - killed < watch.INTERVAL + 3
        assert (socket.of("end")[0]["status"], len(socket.of("end"))) == ("failed", 1)
        assert socket.of("status")[-1]["status"] == "failed"


async def test_a_forked_child_that_ends_at_once_is_heard_at_once(redis_layer: Any, produce: Produce) -> None:

    ada = await sync_to_async(make_user)()
    cookies = await sync_to_async(log_in)(ada)
    run = await sync_to_async(publish_state)("import", status="waiting", owner=ada)
    async with Socket(run.id, cookies=cookies) as socket:
        await socket.until(lambda: socket.of("status"))
        process = produce("import", "fork", 50)
        await socket.until(lambda: process.poll() is not None, MINUTE)
        await socket.until(lambda: socket.of("end"), 2.0)
        assert process.returncode == 0
        assert socket.of("snapshot")[-1]["state"] == {"n": 50}
        assert (socket.of("end")[0]["status"], socket.of("end")[0]["result"]) == ("finished", 50)
        ticks = [each["tick"] for each in socket.of("snapshot")]
        assert ticks == sorted(set(ticks))


def test_the_first_example_of_the_document_works_as_typed(
    process_env: dict[str, str], tmp_path: Path
) -> None:
    script = tmp_path / "import_orders.py"
    script.write_text(block("docs/producing.md", "orders"))
    env = process_env | {"PYTHONPATH": str(BASE)}
    subprocess.run([sys.executable, script], env=env, cwd=tmp_path, check=True, timeout=MINUTE)
    run = Run.objects.get()
    assert (run.status, run.progress, run.result) == ("finished", 1.0, {"rows": 200})
    assert (run.tick, run.visibility, stored(run)) == (201, "public", (200, {"row": 200}))
