"""Tasks and own channels under `livesim_worker`: each call once, in its own time, whatever dies."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from django_livesim import gateway, send_to
from django_livesim.background import handlers
from django_livesim.models import Run, Task, Worker

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(sys.platform != "linux", reason="kills by signals"),
]
PUBSUB, CORE = "channels_redis.pubsub.RedisPubSubChannelLayer", "channels_redis.core.RedisChannelLayer"


@pytest.fixture
def wait(wait: Any) -> Callable[..., Any]:
    """The usual one, with time for processes to begin."""
    return partial(wait, seconds=90)


@pytest.fixture(params=[PUBSUB, CORE], ids=["pubsub", "core"])
def layer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(autouse=True)
def tasks(
    request: pytest.FixtureRequest, redis_layer: dict[str, Any], settings: Any, process_env: dict[str, str]
) -> Iterator[Any]:
    """This process, too, has the tasks, and rings the workers: over the layer that the test names."""
    named = request.getfixturevalue("layer") if "layer" in request.fixturenames else PUBSUB
    settings.CHANNEL_LAYERS = {"default": {**redis_layer, "BACKEND": named}}
    process_env |= {"DJANGO_SETTINGS_MODULE": "tests.process.tasking.settings", "LAYER": named}
    before = dict(handlers.tasks), dict(handlers.channels)
    name = "tests.process.tasking.simulations"
    sys.modules.pop(name, None)
    yield import_module(name)
    handlers.tasks, handlers.channels = before


def tell(figures: str) -> None:
    """For whoever runs this with `-s`."""
    print(figures)  # noqa: T201


def calls(file: Path) -> list[tuple[int, int, float]]:
    """What was called: the number, by which process, and when."""
    if not file.exists():
        return []
    found = [line.split() for line in file.read_text().splitlines()]
    return [(int(number), int(pid), float(when)) for number, pid, when in found]


def statuses() -> Counter[str]:
    return Counter(Task.objects.values_list("status", flat=True))


def callers() -> dict[int, Worker]:
    """The workers that call tasks and are there, by process."""
    there = Worker.objects.filter(state="alive")
    return {worker.pid: worker for worker in there if "tasks" in worker.load}


def test_a_thousand_at_once_to_two_workers_are_each_called_once(
    manage: Any, wait: Any, tasks: Any, layer: str, tmp_path: Path
) -> None:
    file = tmp_path / "calls"
    for _ in range(2):
        manage("livesim_worker")
    wait(lambda: len(callers()) == 2)
    began = time.monotonic()
    tasks.write.enqueue_many((str(file), number) for number in range(1000))
    enqueued = time.monotonic() - began
    wait(lambda: statuses() == {"finished": 1000})
    tell(f"1,000 tasks enqueued in {enqueued:.3f} s, all called after {time.monotonic() - began:.1f} s")
    assert sorted(number for number, *_ in calls(file)) == list(range(1000))
    assert len({pid for _, pid, _ in calls(file)}) == 2
    assert Run.objects.count() == 0


def test_a_thousand_for_later_across_a_restart_none_early_none_lost_in_order(
    manage: Any, wait: Any, tmp_path: Path
) -> None:
    file = tmp_path / "calls"
    first: subprocess.Popen[bytes] = manage("livesim_worker")
    wait(callers)
    due: dict[int, float] = {}
    for number in range(1000):
        delay = 3.0 + (number % 100) / 50
        # The delay is reckoned from the INSERT, which comes later than this.
        due[number] = time.time() + delay
        send_to("lines", {"file": str(file), "number": number}, delay=delay)
    wait(lambda: calls(file))
    first.terminate()
    assert first.wait(60) == 0
    manage("livesim_worker")
    wait(lambda: statuses() == {"finished": 1000})
    called = calls(file)
    assert sorted(number for number, *_ in called) == list(range(1000))
    late = [when - due[number] for number, _, when in called]
    tell(f"late by {statistics.median(late):.3f} s in the middle, {max(late):.3f} s at most")
    assert min(late) >= 0


def test_kill_9_in_a_call_fails_it_unless_it_asked_to_be_tried_again(
    manage: Any, wait: Any, tasks: Any, tmp_path: Path
) -> None:
    once, again = tmp_path / "once", tmp_path / "again"
    manage("livesim_worker")
    tickets = tasks.slow.enqueue(str(once), 1), tasks.slow_once.enqueue(str(again), 2)
    wait(lambda: calls(once) and calls(again))
    os.kill(calls(once)[0][1], signal.SIGKILL)
    wait(lambda: [each.status() for each in tickets] == ["failed", "finished"])
    assert [number for number, *_ in calls(once)] == [1]
    assert [number for number, *_ in calls(again)] == [2, 2]
    assert "died" in Task.objects.get(pk=tickets[0].id).error


def test_a_channel_is_in_order_over_two_workers_of_which_one_is_killed(
    manage: Any, wait: Any, tmp_path: Path
) -> None:
    file = tmp_path / "calls"
    for _ in range(2):
        manage("livesim_worker")
    wait(lambda: len(callers()) == 2)
    for number in range(200):
        send_to("lines", {"file": str(file), "number": number})
    wait(lambda: len(calls(file)) > 20)
    os.kill(calls(file)[-1][1], signal.SIGKILL)
    wait(lambda: statuses()["finished"] + statuses()["failed"] == 200)
    numbers = [number for number, *_ in calls(file)]
    assert numbers == sorted(set(numbers))
    assert statuses()["failed"] <= 1  # what it was at
    assert len(numbers) >= 199


def test_queues_have_workers_of_their_own_and_what_nobody_calls_waits(
    manage: Any, wait: Any, tasks: Any, tmp_path: Path
) -> None:
    file = tmp_path / "calls"
    manage("livesim_worker")
    ticket = tasks.heavy.enqueue(str(file), 1)
    usual = tasks.write.enqueue(str(file), 2)
    wait(lambda: usual.status() == "finished")
    assert ticket.status() == "waiting"
    manage("livesim_worker", "--queues", "heavy")
    wait(lambda: ticket.status() == "finished")
    assert len({pid for _, pid, _ in calls(file)}) == 2


def test_commands_are_answered_and_runs_stepped_while_every_task_thread_is_busy(
    manage: Any, wait: Any, tasks: Any, tmp_path: Path
) -> None:
    file = tmp_path / "calls"
    manage("livesim_worker")
    tasks.slow.enqueue_many((str(file), number) for number in range(20))
    wait(lambda: len(calls(file)) == 4)
    run = gateway.start("counter", {})
    command = gateway.send(run, "add", {"n": 5}, wait=True)
    assert command.outcome == "applied"
    assert statuses() == {"running": 4, "waiting": 16}


def test_a_task_that_lets_no_other_thread_run_keeps_its_worker_alive(
    manage: Any, wait: Any, tasks: Any, tmp_path: Path
) -> None:
    file = tmp_path / "calls"
    manage("livesim_worker")
    wait(callers)
    ticket = tasks.hog.enqueue(str(file), 1)
    wait(lambda: ticket.status() in ("finished", "failed"))
    assert (str(ticket.status()), [number for number, *_ in calls(file)]) == ("finished", [1])
