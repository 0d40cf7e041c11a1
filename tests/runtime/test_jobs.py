"""Jobs: progress, result, cancel, attempts; blocking and async alike."""

from __future__ import annotations

import threading

import pytest

from django_livesim.jobs import Job, JobLoop, of_class
from django_livesim.protocol.errors import BadArgs
from django_livesim.protocol.names import Status
from django_livesim.runtime.ports import StatusOut
from django_livesim.testing.memory import MemoryLedger
from tests.runtime.world import World


async def async_copy(job, files=3):
    for number in range(files):
        job.state["copied"] = number
        job.log(f"file {number}")
        await job.progress(number / files, f"file {number}")
        await job.sleep(1.0)
    return {"copied": files}


def copy(job, files=3):
    for number in range(files):
        job.state["copied"] = number
        job.log(f"file {number}")
        job.progress(number / files, f"file {number}")
        job.sleep(1.0)
    return {"copied": files}


@pytest.fixture(params=[async_copy, copy], ids=["async", "blocking"])
def job(request):
    return JobLoop(request.param, name="copy")


TAKES = 2.0  # seconds


def failing(failures, **options):
    """A job that raises so many times, and notes each attempt."""
    seen = []

    def work(job):
        seen.append((job.attempt, job.attempts, dict(job.state)))
        job.state["attempt"] = job.attempt
        job.sleep(TAKES)
        if len(seen) <= failures:
            raise RuntimeError(f"broken {job.attempt}")
        return "done"

    return JobLoop(work, name="failing", **options), seen


def test_a_job_shows_how_far_it_is_and_ends_with_its_result(job):
    world = World(job)
    run = world.start(job, files=4)
    world.run_for(1.5, by=0.25)
    shown = world.frames(run)[-1][1]
    assert (shown["progress"], shown["text"]) == (0.25, "file 1")
    assert shown["lines"] == ["file 0", "file 1"] and "copied" not in shown
    assert world.row(run)["progress"] == 0.25 and world.row(run)["reason"] == "file 1"
    world.run_for(4.0, by=0.25)
    row = world.row(run)
    assert (row["status"], row["result"]) == (Status.FINISHED, {"copied": 4})


def test_a_stop_ends_it_at_its_next_progress(job):
    world = World(job)
    run = world.start(job)
    world.run_for(1.0, by=0.25)
    world.control(run, "stop")
    assert world.row(run)["status"] is Status.STOPPED


def test_what_a_job_may_say_of_its_progress_is_checked_and_changes_nothing():
    told = []

    def work(job):
        job.progress(0.5, "half")
        for bad in (1.1, -0.1, float("nan"), 0.4, "0.6", True):
            with pytest.raises(BadArgs, match="progress\\(\\) got"):
                job.progress(bad, "no")
            told.append((job.done, job.text))

    definition = JobLoop(work, name="bad")
    world = World(definition)
    run = world.start(definition)
    assert world.row(run)["status"] is Status.FINISHED
    assert told == [(0.5, "half")] * 6


class SlowToWrite(MemoryLedger):
    """Writes are carried out when `answer` is called."""

    def write(self, write, done):
        self.held_back.append(lambda: self.post(done, self._commit(write)))


def test_a_job_is_not_called_before_its_attempt_has_been_counted():
    definition, seen = failing(0)
    world = World(definition, ledger=SlowToWrite())
    run = world.start(definition)
    world.run_for(1.0, by=0.1)
    assert run in world.supervisor.runners and seen == []
    assert world.row(run)["attempts"] == 0
    world.ledger.answer()
    world.settle()
    assert world.row(run)["attempts"] == 1 and len(seen) == 1


def test_one_that_fails_is_not_tried_again_unless_it_asks_for_it():
    definition, seen = failing(9)
    world = World(definition)
    run = world.start(definition)
    world.run_for(5.0, by=0.1)
    row = world.row(run)
    assert row["status"] is Status.FAILED and "broken 1" in row["error"] and len(seen) == 1


def test_retries_come_after_growing_pauses_and_the_last_failure_counts():
    definition, seen = failing(9, retries=2, backoff=2.0)
    world = World(definition)
    run = world.start(definition)
    world.run_for(TAKES + 0.5, by=0.1)
    row = world.row(run)
    assert row["status"] is Status.WAITING and "broken 1" in row["error"]
    assert row["reason"] == "attempt 1 of 3 failed: its code raised RuntimeError; the next is in 2 s"
    world.run_for(1.0, by=0.1)
    assert len(seen) == 1
    world.run_for(1.0 + TAKES, by=0.1)
    assert len(seen) == 2 and "the next is in 4 s" in world.row(run)["reason"]
    world.run_for(5.0 + TAKES, by=0.1)
    assert [attempt for attempt, _, _ in seen] == [1, 2, 3]
    row = world.row(run)
    assert row["status"] is Status.FAILED and "broken 3" in row["error"]


def test_one_that_succeeds_at_a_retry_has_finished():
    definition, seen = failing(1, retries=2, backoff=1.0)
    world = World(definition)
    run = world.start(definition)
    world.run_for(1.5 + 2 * TAKES, by=0.1)
    row = world.row(run)
    assert (row["status"], row["result"], len(seen)) == (Status.FINISHED, "done", 2)


def heir_of(world, *definitions):
    heir = World(*definitions, ledger=world.ledger)
    heir.supervisor.ring()
    heir.settle()
    return heir


def test_one_whose_worker_dies_is_not_called_again(job):
    world = World(job)
    run = world.start(job)
    world.run_for(1.0, by=0.25)
    world.row(run)["worker"] = False
    heir = heir_of(world, job)
    row = heir.row(run)
    assert row["status"] is Status.FAILED
    assert row["reason"] == "attempt 1 of 1 was lost with its worker; it is not tried again"


def test_one_with_retries_is_called_again_with_the_state_stored_last_where_its_worker_dies():
    definition, seen = failing(0, retries=1)
    world = World(definition, checkpoint_seconds=0.1)
    run = world.start(definition)
    world.run_for(TAKES * 0.75, by=0.1)
    world.row(run)["worker"] = False
    heir = heir_of(world, definition)
    heir.run_for(2 * TAKES, by=0.1)
    assert seen == [(1, 2, {}), (2, 2, {"attempt": 1})]
    assert heir.row(run)["status"] is Status.FINISHED


def test_a_worker_that_is_told_to_end_lets_go_what_may_be_tried_again_and_that_counts_for_nothing():
    definition, _seen = failing(0, retries=1)
    world = World(definition)
    run = world.start(definition)
    world.supervisor.drain()
    for _ in range(3):
        world.supervisor.turn()
    assert (world.row(run)["worker"], world.row(run)["attempts"]) == (False, 0)


def test_a_worker_that_is_told_to_end_waits_for_a_job_that_may_not_be_tried_again(job):
    world = World(job)
    run = world.start(job)
    world.supervisor.drain()
    world.run_for(4.0, by=0.25)
    assert world.row(run)["status"] is Status.FINISHED


def test_a_job_that_takes_longer_than_its_worker_waits_has_failed(job):
    world = World(job, grace=2.0)
    run = world.start(job, files=100)
    world.supervisor.drain()
    world.run_for(4.0, by=0.25)
    row = world.row(run)
    assert row["status"] is Status.FAILED
    assert row["reason"] == "its worker was told to end in attempt 1 of 1; it is not tried again"


class Import(Job):
    """Reads a file."""

    retries = 1

    def work(self, path: str = "a.csv"):
        self.state["path"] = path
        self.progress(0.5)
        return path


def test_a_class_is_a_job_too():
    definition = of_class(Import, {})
    assert (definition.name, definition.label, definition.description) == (
        "import",
        "Import",
        "Reads a file.",
    )
    assert (definition.retries, definition.is_async) == (1, False)
    world = World(definition)
    run = world.start(definition, path="b.csv")
    assert world.row(run)["result"] == "b.csv"


def test_a_subprocess_is_read_line_by_line():
    def work(job):
        for line in job.stream(["sh", "-c", "echo one; echo two >&2; printf three"]):
            job.log(line)
        return job.lines

    definition = JobLoop(work, name="shell")
    world = World(definition)
    run = world.start(definition)
    assert world.row(run)["result"] == ["one", "two", "three"]


def test_a_subprocess_that_fails_fails_its_job():
    def work(job):
        list(job.stream(["sh", "-c", "exit 3"]))

    definition = JobLoop(work, name="shell")
    world = World(definition)
    run = world.start(definition)
    assert world.row(run)["status"] is Status.FAILED and "exit status 3" in world.row(run)["error"]


def test_progress_is_told_with_each_status():
    definition = JobLoop(copy, name="copy")
    world = World(definition)
    run = world.start(definition)
    world.run_for(3.5, by=0.25)
    told = [status.progress for status in world.out(StatusOut, run) if status.progress is not None]
    assert told == sorted(told) and len(told) >= 3


def test_one_that_was_never_called_counts_for_nothing_at_a_drain_and_is_not_called_any_more(job):
    world = World(job, grace=2.0)
    run = world.ledger.add("copy", {}, 1)
    world.row(run)["status"] = Status.PAUSED
    world.supervisor.ring()
    world.settle()
    world.supervisor.drain()
    world.run_for(4.0, by=0.25)
    row = world.row(run)
    assert (row["status"], row["attempts"], row["worker"]) == (Status.PAUSED, 0, False)


def test_one_that_is_claimed_as_its_worker_is_told_to_end_is_not_begun():
    definition, seen = failing(0)
    world = World(definition, grace=2.0)
    run = world.ledger.add(definition.name, {}, 1)
    world.ledger.answering = False
    world.supervisor.ring()
    world.settle()
    world.supervisor.drain()
    world.ledger.answer()
    world.run_for(4.0, by=0.25)
    assert seen == [] and (world.row(run)["attempts"], world.row(run)["worker"]) == (0, False)


def test_a_stop_that_waits_is_not_put_off_by_a_retry():
    away, goes_on = threading.Event(), threading.Event()

    def work(job):
        job.sleep(0.1)
        away.set()
        goes_on.wait(30)
        raise RuntimeError("broken")

    definition = JobLoop(work, name="slow", retries=3, backoff=50.0)
    world = World(definition)
    run = world.ledger.add(definition.name, {}, 1)
    world.supervisor.ring()
    while not away.is_set():
        world.clock.advance(0.05)
        world.supervisor.turn()
    world.control_now(run, "stop")
    assert world.runner(run).status is Status.STOPPING
    goes_on.set()
    world.settle()
    assert world.row(run)["status"] is Status.FAILED


class Kept(MemoryLedger):
    """Looks find nothing and writes wait, as in an outage."""

    away = False

    def poll(self, held, claiming, done):
        if self.away:
            self.post(done, None)
        else:
            super().poll(held, claiming, done)

    def write(self, write, done):
        if not self.away:
            super().write(write, done)


def test_a_worker_with_a_write_that_is_never_answered_ends_though_it_holds_nothing_any_more():
    definition, _ = failing(0)
    world = World(definition, ledger=Kept(), grace=2.0)
    run = world.start(definition)
    world.ledger.away = True
    runner = world.runner(run)
    runner.record.reserve()
    world.supervisor._write(runner, patient=False)
    runner.drop()
    world.supervisor._forget(runner)
    world.supervisor.drain()
    world.run_for(20.0, by=0.5)
    assert world.supervisor._drained()


class Secretive(Import):
    """Shows its owner more."""

    def view(self, role):
        return super().view(role) | {"who": role}


def test_a_class_may_show_each_role_something_else():
    assert of_class(Secretive, {}).views_by_role and not of_class(Import, {}).views_by_role


def test_what_viewers_see_is_stored_with_each_state(job):
    world = World(job, checkpoint_seconds=0.5)
    run = world.start(job)
    world.run_for(1.5, by=0.25)
    stored = world.ledger.checkpoints[run][-1]
    assert b'"text":"file ' in stored.views and b"copied" not in stored.views
