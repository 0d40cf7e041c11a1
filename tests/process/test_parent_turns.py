"""What the parent does from one look at its children to the next; its children are real processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from django_livesim import gateway
from django_livesim.models import Run, Worker
from django_livesim.worker import parent as parents
from django_livesim.worker.children import Child
from django_livesim.worker.order import Order
from django_livesim.worker.parent import Parent

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.any_database,
    pytest.mark.skipif(sys.platform == "win32", reason="the worker is one process there"),
]

ORDER = Order(queues=["default"])


@pytest.fixture
def wait(wait: Any) -> Callable[..., Any]:
    """The usual one, with time for processes to begin."""
    return partial(wait, seconds=60)


@pytest.fixture
def pipe() -> Iterator[list[int]]:
    """What a child reads, and what its parent holds open; one that was closed is taken out."""
    ends = list(os.pipe())
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.fixture
def parent(process_env: dict[str, str], redis_layer: Any) -> Iterator[Callable[..., Parent]]:
    made: list[Parent] = []

    def make(order: Order = ORDER, **env: str) -> Parent:
        made.append(Parent(order, process_env | env))
        made[-1]._registrar.start()
        return made[-1]

    yield make
    for each in made:
        for child in each._children():
            child.kill()
            child.process.wait()
            child.close()
        each._close()


def turned(parent: Parent, condition: Callable[[], Any]) -> Callable[[], Any]:
    """The condition, asked after a turn."""

    def ask() -> Any:
        parent._turn()
        return condition()

    return ask


def phase(parent: Parent) -> str:
    child = parent._places[0].child
    return child.phase if child is not None else ""


def test_a_signal_to_a_child_that_is_being_spawned_is_not_lost_and_leaves_no_traceback(
    pipe, process_env, wait, capfd
):
    child = Child(ORDER, pipe[0], process_env)
    child.process.send_signal(signal.SIGINT)  # the terminal's, for the parent
    child.ask()
    wait(lambda: child.ended)
    assert child.death().left and child.death().worker is None
    assert capfd.readouterr().err == ""
    child.close()


def test_a_child_ends_when_its_parents_end_of_the_pipe_is_closed(pipe, process_env, wait):
    child = Child(ORDER, pipe[0], process_env)
    os.close(pipe.pop())
    wait(lambda: child.ended)
    assert child.process.returncode == 1
    child.close()


def test_a_child_that_cannot_begin_is_tried_again_more_and_more_seldom_until_the_parent_is_told_to_end(
    parent, wait, caplog
):
    watching = parent(DJANGO_SETTINGS_MODULE="tests.no_such_settings")
    wait(turned(watching, lambda: "the next one comes in 1 s" in caplog.text))
    assert "with status 1; the next one comes at once worker=None" in caplog.text
    assert watching._children() == []
    watching._told = True
    watching._turn()
    assert watching._places[0].is_over and not watching._killed


def test_a_child_that_does_not_end_within_the_grace_is_killed_and_nobody_is_struck(
    parent, settings, wait, monkeypatch
):
    monkeypatch.setattr(parents, "LEAVE", 0.0)
    watching = parent(Order(queues=["default"], memory=1024))
    wait(turned(watching, lambda: phase(watching) == "up"))
    run = gateway.start("counter")
    wait(turned(watching, lambda: Run.objects.get(id=run.id).status == "running"))
    (child,) = watching._children()
    if sys.platform == "linux":
        limits = Path(f"/proc/{child.pid}/limits").read_text().splitlines()
        found = {line[:26].strip(): line[26:].split()[0] for line in limits}
        assert (found["Max data size"], found["Max core file size"]) == (str(2**30), "0")
    child.notes.steps.enter(run.id, Run.objects.get(id=run.id).epoch, 0.0)  # its code is being called
    child.process.send_signal(signal.SIGSTOP)
    settings.LIVESIM = {"GRACE": 0.2}
    watching._told = True
    wait(turned(watching, lambda: watching._places[0].is_over))
    watching._registrar.stop(5)
    assert watching._killed
    worker = Worker.objects.get()
    assert (worker.state, worker.explained, Run.objects.get(id=run.id).strikes) == ("gone", True, 0)


def test_while_the_database_hangs_children_are_replaced_and_deaths_are_written_when_it_is_back(parent, wait):
    watching = parent()
    wait(turned(watching, lambda: phase(watching) == "up"))
    (child,) = watching._children()
    sign = child.notes.signed()
    with transaction.atomic():
        Worker.objects.filter(id=sign.worker).update(host="locked")
        child.process.kill()
        wait(turned(watching, lambda: watching._children() not in ([], [child])))
    wait(turned(watching, lambda: Worker.objects.get(id=sign.worker).state == "gone"))
    wait(turned(watching, lambda: phase(watching) == "up"))
