"""The worker inside `runserver`: ended with its server, it stores what it holds."""

from __future__ import annotations

import signal
import socket
import urllib.request
from urllib.error import HTTPError

import pytest

from django_livesim import gateway
from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.any_database]


@pytest.fixture
def server(manage, wait, process_env):
    """`server()` starts one whose requests are answered; gives the process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {name: value for name, value in process_env.items() if name != "CHANNELS_REDIS"}

    def is_up() -> bool:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
        except HTTPError:
            return True
        except OSError:
            return False
        return True

    def start():
        process = manage("runserver", "--noreload", f"127.0.0.1:{port}", env=env | {"DEBUG": "1"})
        wait(is_up)
        return process

    return start


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_told_to_end_stores_its_runs_and_lets_them_go(number, server, wait):
    process = server()
    run = gateway.start("echo")
    wait(lambda: Run.objects.get(id=run.id).tick > 3)
    process.send_signal(number)
    process.wait(60)
    left = Run.objects.get(id=run.id)
    assert (left.status, left.worker_id) == (Status.WAITING, None)
    assert left.checkpoints.latest("id").tick == left.tick
    assert Worker.objects.get().state == "gone"
