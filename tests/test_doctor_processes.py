"""What `livesim doctor` says of workers and servers: real processes, started wrongly and rightly."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from django_livesim.admin.loads import worker_words
from django_livesim.cli.doctor import machine, processes
from django_livesim.cli.doctor.finding import Finding
from django_livesim.gateway import vitals
from django_livesim.models import Worker
from django_livesim.store import identity
from scripts.services import dies_with_us, free_port, stop

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

LONG_AGO = "2020-01-01T00:00:00Z"
GRACEFUL = "--timeout-graceful-shutdown=5"
PLAIN = "--ws-per-message-deflate=false"

Look = Callable[[], Iterator[Finding]]


def wrong(look: Look, about: str = "") -> list[Finding]:
    return [each for each in look() if each.status != "ok" and about in each.message]


@pytest.fixture
def process() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """`process(arguments, **environment)` is a process of Python; the test's end ends it."""
    started: list[subprocess.Popen[bytes]] = []
    dies = dies_with_us()

    def start(*arguments: str, files: int = 0, **environment: str) -> subprocess.Popen[bytes]:
        def limit() -> None:
            dies()
            if files:
                most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))

        inherited = {key: value for key, value in os.environ.items() if key != "PYTHONHASHSEED"}
        command = [sys.executable, *arguments]
        given = {"DJANGO_SETTINGS_MODULE": "tests.settings"} | environment
        child = subprocess.Popen(
            command, env=inherited | given, stdin=subprocess.PIPE, preexec_fn=limit, stderr=subprocess.DEVNULL
        )
        started.append(child)
        return child

    yield start
    for child in started:
        stop(child)
        assert child.stdin is not None
        child.stdin.close()


# -- workers ------------------------------------------------------------------------------------


def test_what_a_worker_has_not_sent_to_viewers_is_told_with_what_to_do():
    row = Worker.objects.create(host="here", pid=1, queues=["default"], load={"unsent": {"dropped": 0}})
    assert wrong(processes.look_at_workers) == []
    row.load = {"unsent": {"dropped": 12, "too_large": 3}, "not_finite": {"a" * 32: 4, "b" * 32: 1}}
    row.save()
    told = wrong(processes.look_at_workers)
    assert [each.message for each in told] == [
        "here:1: 12 messages to viewers were not taken by the channel layer",
        "here:1: 3 views, events or results were larger than MAX_FRAME_BYTES, and were not sent",
        "here:1: 5 numbers in the views of its runs are NaN or infinite, which viewers see as null",
    ]
    assert {each.status for each in told} == {"advice"}
    assert all(each.hint for each in told)
    (figures,) = vitals.look_at_workers().figures["each"]
    assert figures["unsent"] == {"dropped": 12, "too_large": 3, "not_finite": 5}
    assert worker_words(row.load) == [
        "12 messages that the channel layer did not take",
        "3 messages too large to be sent",
        "5 numbers of views shown as null",
    ]


def test_none_alive_a_silent_one_and_one_that_leaves():
    (finding,) = processes.look_at_workers()
    assert (finding.status, finding.message) == ("problem", "none is alive")
    row = Worker.objects.create(host="here", pid=1, queues=["default"])
    (finding,) = processes.look_at_workers()
    assert (finding.status, finding.message) == ("ok", "here:1 is alive with 0 runs, queues default")
    Worker.objects.create(host="there", pid=2, queues=["default"])
    Worker.objects.filter(id=row.id).update(beat_at=LONG_AGO)
    (finding,) = wrong(processes.look_at_workers)
    assert finding.status == "advice" and finding.message.startswith("here:1 has been silent for ")
    Worker.objects.filter(id=row.id).update(state="gone")
    assert wrong(processes.look_at_workers) == []


def test_workers_with_different_code():
    Worker.objects.create(host="old", pid=1, queues=["default"], load={"simulations": {"counter": 7}})
    (finding,) = wrong(processes.look_at_code)
    assert finding.message == "counter has the versions 1 (the code here), 7 (old:1). Expected: one"
    Worker.objects.update(load={"simulations": {"counter": 1}})
    assert wrong(processes.look_at_code) == []


def worker_of(child: subprocess.Popen[bytes]) -> None:
    """A row as that process would have."""
    facts = asdict(replace(identity.this_process(), pid=child.pid))
    Worker.objects.create(queues=["default"], **facts)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of other processes")
def test_workers_that_order_sets_differently(process):
    waits = ("-c", "input()")
    worker_of(process(*waits))
    (finding,) = wrong(processes.look_at_hashing)
    assert " has none, so that " in finding.message
    Worker.objects.all().delete()
    worker_of(process(*waits, PYTHONHASHSEED="1"))
    assert wrong(processes.look_at_hashing) == []
    worker_of(process(*waits, PYTHONHASHSEED="2"))
    (finding,) = wrong(processes.look_at_hashing)
    assert "the workers here have different ones" in finding.message


# -- servers ------------------------------------------------------------------------------------


@pytest.fixture
def uvicorn(process: Any, wait: Any) -> Callable[..., subprocess.Popen[bytes]]:
    """A server of this project that is up, started with these options."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells of other processes")

    def start(*options: str, **more: Any) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] = process(
            "-m", "uvicorn", "tests.asgi:application", f"--port={free_port()}", *options, **more
        )
        wait(lambda: child.pid in [each.pid for each in machine.processes()])
        return child

    return start


def test_a_server_that_waits_for_its_sockets_and_compresses_them(uvicorn):
    careless = uvicorn()
    first, second = wrong(processes.look_at_servers, f"uvicorn {careless.pid} ")
    assert first.hint == "Start it with: --timeout-graceful-shutdown 5"
    assert second.hint == "Start it with: --ws-per-message-deflate false"
    careful = uvicorn(GRACEFUL, PLAIN)
    assert wrong(processes.look_at_servers, f"uvicorn {careful.pid} ") == []
    told = uvicorn(PLAIN, UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN="5")
    assert wrong(processes.look_at_servers, f"uvicorn {told.pid} ") == []


def test_a_server_of_another_project_is_none_of_ours(uvicorn, settings):
    server = uvicorn()
    settings.ASGI_APPLICATION = "another.asgi.application"
    assert wrong(processes.look_at_servers, f"uvicorn {server.pid} ") == []


def test_a_server_that_may_have_few_viewers(uvicorn):
    narrow = uvicorn(GRACEFUL, PLAIN, files=512)
    (finding,) = wrong(processes.look_at_servers, f"the server {narrow.pid} ")
    assert "may have 512 files and sockets open" in finding.message and "LimitNOFILE" in finding.hint
    wide = uvicorn(GRACEFUL, PLAIN, files=4096)
    assert wrong(processes.look_at_servers, f"the server {wide.pid} ") == []


def test_what_cannot_be_read_is_unknown():
    nobody = 2**22 + 1
    assert machine.variable(nobody, "HOME") is None and machine.descriptors(nobody) is None
    assert machine.variable(os.getpid(), "NO_SUCH_VARIABLE") == ""
    assert Path("/proc/self").exists() is (machine.descriptors(os.getpid()) is not None)
