"""The map of a child and its parent: what one writes, the other reads, whole or not at all."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from django_livesim.store.clocks import lease_time
from django_livesim.worker import notes
from django_livesim.worker.ledger import Ledger
from django_livesim.worker.notes import Lent, Notes, Sign

RUN = uuid.uuid4()


@pytest.fixture
def both() -> Iterator[tuple[Notes, Notes]]:
    """The child's, and the parent's."""
    fd = notes.make()
    mine, yours = Notes(fd), Notes(fd)
    os.close(fd)
    yield mine, yours
    mine.close()
    yours.close()


def test_a_new_map_names_nobody(both):
    child, parent = both
    assert (parent.noted(), parent.signed(), child.lent()) == ([], None, None)


def test_what_is_entered_is_read_until_it_is_left(both):
    child, parent = both
    child.steps.enter(RUN, 7, 2.5)
    child.loops.enter(uuid.UUID(int=1), 1)
    step, loop = parent.noted()
    assert (step.run, step.epoch, step.limit, step.thread) == (RUN, 7, 2.5, threading.get_ident())
    assert (loop.run, loop.limit) == (uuid.UUID(int=1), 0.0)
    child.steps.leave()
    assert parent.noted() == [loop]


def test_one_that_died_while_it_wrote_names_nobody(both):
    child, parent = both
    child.steps.enter(RUN, 7)
    child.steps._words[0] += 1
    assert parent.noted() == []
    child.steps.enter(RUN, 8)
    assert [note.epoch for note in parent.noted()] == [8]


def test_sign_and_lease_are_read_by_the_other(both):
    child, parent = both
    worker = uuid.uuid4()
    child.sign(worker, 12.5, 3)
    assert parent.signed() == Sign(worker=worker, beaten=12.5, runs=3)
    parent.lend(worker, 14.0)
    assert child.lent() == Lent(worker=worker, since=14.0)


WRITER = """
import sys
from uuid import UUID
from django_livesim.worker.notes import Notes
slot = Notes(int(sys.argv[1])).steps
print("goes", flush=True)
for n in range(1, sys.maxsize):
    slot.enter(UUID(int=n), n, n)
"""


def test_a_reader_never_gets_half_of_what_another_process_writes():
    fd = notes.make()
    shared = Notes(fd)
    writing = [sys.executable, "-c", WRITER, str(fd)]
    with subprocess.Popen(writing, pass_fds=[fd], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found, deadline = {}, time.monotonic() + 30.0
        while len(found) < 1000 and time.monotonic() < deadline:  # the writer may have to wait for a core
            if note := shared.steps.note():
                found[note.epoch] = note
        process.kill()
    assert len(found) == 1000
    assert all(note.run.int == note.epoch == note.limit for note in found.values())
    shared.close()
    os.close(fd)


@pytest.mark.django_db(transaction=True)
def test_a_beat_of_the_parents_holds_the_lease_of_the_worker_that_it_names(both, monkeypatch):
    child, parent = both
    ledger = Ledger(queues=["default"], registered=lambda worker: None, load=lambda: {"runs": 2}, notes=child)
    ledger._lease.keep()
    worker = ledger.worker
    assert worker is not None and ledger.leased(worker)
    sign = parent.signed()
    assert sign is not None and (sign.worker, sign.runs) == (worker, 0)
    ledger._lease._until = (worker, -math.inf)
    assert not ledger.leased(worker)
    parent.lend(uuid.uuid4(), lease_time())
    assert not ledger.leased(worker)
    parent.lend(worker, lease_time())
    assert ledger.leased(worker)
    ledger._lease._due["beat"] = 0.0
    ledger._lease.keep()
    sign = parent.signed()
    assert sign is not None and sign.runs == 2
