"""A script of an author's own as the worker of a run: interrupted, told to end, killed, stopped."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from django_livesim import gateway
from django_livesim.models import Command, Run, Worker
from scripts.services import dies_with_us, stop

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]

Script = subprocess.Popen[str]


@pytest.fixture
def script(process_env: dict[str, str], redis_layer: object) -> Iterator[Callable[..., Script]]:
    """`script("0.5")` starts one on the run with the key `lab`; the test's end ends it."""
    started: list[Script] = []

    def start(*arguments: str, env: dict[str, str] | None = None) -> Script:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.attached", "lab", *arguments],
            env=process_env | (env or {}),
            preexec_fn=dies_with_us(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        stop(process)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def said(process: Script) -> str:
    """The next line that the script prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def lab() -> Run:
    return Run.objects.get(key="lab")


def state() -> dict[str, object]:
    found: dict[str, object] = gateway.inspect(lab())["state"]
    return found


def send(n: int) -> Command:
    return gateway.send(lab(), "note", {"n": n}, wait=True)


def test_a_message_reaches_the_script_by_its_doorbell(script):
    assert said(script(env={"LIVESIM": '{"POLL": 3600}'})) == "new 0"
    for n in range(5):
        assert send(n).result == n + 1
    assert state()["seen"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, -signal.SIGINT), (signal.SIGTERM, 143)])
def test_a_script_that_is_told_to_end_stores_its_run_and_the_next_goes_on(number, status, script, wait):
    first = script("0.2")
    assert said(first) == "new 0"
    send(7)
    first.send_signal(number)
    assert first.wait(60) == status
    left = lab()
    assert (left.status, left.worker_id) == ("waiting", None)
    assert left.checkpoints.latest("id").tick == left.tick > 0
    assert Worker.objects.get().state == "gone"
    assert said(script()) == f"resumed {left.tick}"
    assert state()["seen"] == [7]


def test_a_script_that_is_killed_is_followed_at_once_and_later_messages_come_again(script, wait):
    first = script(env={"LIVESIM": '{"LEASE_TTL": 60}'})
    assert said(first) == "new 0"
    wait(lambda: lab().checkpoints.exists())
    for n in range(5):
        assert send(n).outcome == "applied"
    first.kill()
    first.wait()
    began = time.monotonic()
    second = script(env={"LIVESIM": '{"LEASE_TTL": 60}'})
    assert said(second).startswith("resumed ")
    assert time.monotonic() - began < 50  # and not the minute after which silence counts as death
    assert send(99).outcome == "applied"
    assert state()["seen"] == [0, 1, 2, 3, 4, 99]
    assert (lab().adoptions, lab().status) == (1, "running")


def test_a_second_script_is_told_who_has_the_run_and_the_first_goes_on(script, wait):
    first = script()
    assert said(first) == "new 0"
    holder = Worker.objects.get()
    second = script()
    assert said(second) == (
        f"busy: The run {lab().id} is held by process {first.pid} on {holder.host}, which is alive."
        " Expected one that nobody has: end that process, or wait until it has let go."
    )
    assert second.wait(60) == 3
    assert lab().worker_id == holder.id
    tick = lab().tick
    wait(lambda: lab().tick > tick)


def test_stop_ends_the_block_and_the_script_goes_on_behind_it(script):
    first = script()
    assert said(first) == "new 0"
    gateway.stop(lab(), wait=True)
    assert said(first) == "ended"
    assert (first.wait(60), lab().status) == (0, "stopped")


def test_a_script_that_was_frozen_longer_than_its_lease_says_that_it_lost_the_run(script, wait):
    short = {"LIVESIM": '{"LEASE_TTL": 1.5, "BEAT": 0.5}'}
    first = script(env=short)
    assert said(first) == "new 0"
    wait(lambda: lab().checkpoints.exists())
    first.send_signal(signal.SIGSTOP)
    try:
        second = script(env=short)
        while (line := said(second)).startswith("busy"):
            second.wait(60)
            second = script(env=short)
        assert line.startswith("resumed ")
        holder = lab().worker_id
    finally:
        first.send_signal(signal.SIGCONT)
    assert said(first).startswith(f"busy: This process has lost the run {lab().id}: another one took it")
    assert first.wait(60) == 3
    assert lab().worker_id == holder
    assert send(1).outcome == "applied"
