"""Workers as processes that are told to leave, by SIGTERM or the command line: the next holds their runs."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from django.core.management import call_command

from django_livesim import gateway
from django_livesim.models import Run, Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]

SILENCE = 60.0
"""Seconds after which a worker counts as dead."""

CORE = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"

Pair = tuple[subprocess.Popen[bytes], Worker]


@pytest.fixture(params=[PUBSUB, CORE], ids=["pubsub", "core"])
def workers(request, manage, process_env, redis_layer, wait) -> Iterator[Callable[[], Pair]]:
    """`workers()` starts a worker; its process and its row."""
    process_env["CHANNELS_BACKEND"] = request.param
    process_env["LIVESIM"] = json.dumps({"LEASE_TTL": SILENCE})

    def start() -> Pair:
        known = set(Worker.objects.values_list("id", flat=True))
        process = manage("livesim_worker")
        row = wait(lambda: Worker.objects.exclude(id__in=known).first())
        return process, row

    return start


def by_signal(process: subprocess.Popen[bytes], row: Worker) -> None:
    process.send_signal(signal.SIGTERM)


def by_command(process: subprocess.Popen[bytes], row: Worker) -> None:
    call_command("livesim", "drain", str(row), "--no-wait")


@pytest.mark.parametrize("leave", [by_signal, by_command])
def test_the_next_worker_holds_every_run_long_before_a_silence_would_count(leave, workers, wait):
    process, first = workers()
    runs = [gateway.start(name) for name in ("counter", "echo") for _ in range(6)]
    wait(lambda: Run.objects.filter(status="running", worker=first.id).count() == len(runs))
    _, second = workers()
    began = time.monotonic()
    leave(process, first)
    wait(lambda: Run.objects.filter(worker=second.id).count() == len(runs))
    assert time.monotonic() - began < SILENCE / 2
    wait(lambda: Run.objects.filter(worker=second.id, status="running").count() == len(runs))
    assert process.wait(60) == 0
    assert Worker.objects.get(id=first.id).state == "gone"


def test_a_worker_that_was_killed_is_not_waited_for_and_its_runs_are_free(workers, wait, capsys):
    process, first = workers()
    run = gateway.start("counter")
    wait(lambda: Run.objects.filter(id=run.id, status="running", worker=first.id).exists())
    process.kill()
    process.wait()
    call_command("livesim", "drain", str(first), "--timeout", "60")
    assert f"{first} has left" in capsys.readouterr().out
    assert Worker.objects.get(id=first.id).state == "gone"
    workers()
    wait(lambda: Run.objects.get(id=run.id).adoptions == 1)
