"""What happens while the k-th call fails. Each plays on until all is well again, whatever failed."""

from __future__ import annotations

from django_livesim.protocol.names import Status, Verb
from tests.reliability.faults_world import World


def steering(world: World) -> None:
    """A worker registers and takes up a new run; commands, a pause, steps, a speed, checkpoints by time."""
    world.arm()
    world.worker("A")
    run = world.start()
    world.until_status(run, Status.RUNNING)
    for _ in range(3):
        world.send(run)
    world.until_answered(run)
    world.control(run, Verb.PAUSE)
    world.send(run)
    world.control(run, Verb.STEP, {"n": 2})
    world.send(run)
    world.until_answered(run)
    world.control(run, Verb.SPEED, {"x": 2})
    world.control(run, Verb.RESUME)
    world.until_status(run, Status.RUNNING)
    tick = world.row(run).tick
    world.until(lambda: world.row(run).tick > tick + 8, "the run does not go on")
    world.send(run)
    world.verify(run, Status.RUNNING)
    world.control(run, Verb.STOP)
    world.verify(run, Status.STOPPED)


def takeover(world: World) -> None:
    """A falls silent with a write under way, B declares it gone and goes on; A comes back, and is fenced."""
    a = world.worker("A")
    run = world.start()
    world.send(run)
    world.until_answered(run)
    world.arm()
    b = world.worker("B")
    world.round()
    world.send(run)
    world.until_answered(run)
    world.send(run)
    a.step()
    a.write()  # it has read the command,
    a.step()  # applied it, and not yet written that it did

    def meanwhile() -> None:
        world.until(lambda: world.holder(run) is b, "nobody takes over from a silent worker")

    world.stand_still(a, run, meanwhile)  # B has the run in memory, and has not written yet
    world.send(run)
    world.until_held(run, b)
    world.until_answered(run)
    a.awake = True
    world.send(run)
    world.until(lambda: run not in a.supervisor.runners, "a worker declared gone holds on to its runs")
    world.until(lambda: a.ledger.worker is not None, "a worker declared gone does not begin anew")
    world.send(run)
    world.verify(run, Status.RUNNING)
    world.control(run, Verb.STOP)
    world.verify(run, Status.STOPPED)


def leaving(world: World) -> None:
    """A is told to leave and stores its runs, one of them paused; B goes on with both."""
    a = world.worker("A")
    run, paused = world.start("run"), world.start("paused")
    for each in (run, paused):
        world.send(each)
        world.until_answered(each)
    world.control(paused, Verb.PAUSE)
    world.until_status(paused, Status.PAUSED)
    world.arm()
    for each in (run, paused):
        world.send(each)
    a.engine.drain()
    world.until(lambda: a.drained, "a worker does not leave")
    a.go()
    b = world.worker("B")
    for each in (run, paused):
        world.until_held(each, b)
        world.send(each)
        world.until_answered(each)
    world.verify(paused, Status.PAUSED)
    world.verify(run, Status.RUNNING)
    for each in (run, paused):
        world.control(each, Verb.STOP)
        world.verify(each, Status.STOPPED)


def ending(world: World) -> None:
    """Restarted, stopped and resumed with a worker and without one, finished, begun again under its key."""
    a = world.worker("A")
    first = world.start()
    world.send(first)
    world.until_answered(first)
    world.arm()
    following = world.restart(first)
    world.verify(first, Status.STOPPED)
    world.send(following)
    world.until_answered(following)
    world.send(following)  # applied before its run ends, or refused since it has
    world.control(following, Verb.STOP)
    world.verify(following, Status.STOPPED)
    a.awake = False
    world.control(following, Verb.RESUME)
    world.control(following, Verb.PAUSE)
    a.awake = True
    world.send(following)
    world.until_answered(following)
    world.verify(following, Status.PAUSED)
    world.start()  # its key is taken: it resumes
    world.until_status(following, Status.RUNNING)
    world.send(following)
    world.send(following, "end")
    world.until_status(following, Status.FINISHED)
    world.verify(following, Status.FINISHED)
    third = world.start()
    world.send(third)
    world.verify(third, Status.RUNNING)


def together(world: World) -> None:
    """The writes of two runs are one transaction, and one of them cannot be done: first for another's answer
    to its command, then for another's place in its journal, which ends it."""
    a = world.worker("A")
    run, other = world.start("run"), world.start("other")
    for each in (run, other):
        world.send(each)
        world.until_answered(each)
    world.arm()

    def both_write() -> None:
        for each in (run, other):
            world.send(each)
        a.step()
        a.write()
        a.step()

    both_write()
    world.answer_elsewhere(run)
    for each in (run, other):
        world.until_answered(each)
        world.send(each)
        world.verify(each, Status.RUNNING)
    both_write()
    world.take_place(run)
    world.until_status(run, Status.FAILED)
    world.until_answered(run)
    world.verify(other, Status.RUNNING)


def batches(world: World) -> None:
    """Commands in one INSERT, some of them at fault: one for a run that is no more, one that comes twice."""
    world.worker("A")
    run = world.start()
    world.send(run)
    world.until_answered(run)
    world.arm()
    for count in (1, 4, 2):
        world.send_together(run, count)
        world.until_answered(run)
    world.send(run)
    world.verify(run, Status.RUNNING)


def coroutines(world: World) -> None:
    """Commands of several coroutines at once, in batches as they come about, stored by other threads."""
    world.worker("A")
    run = world.start()
    world.send(run)
    world.until_answered(run)
    for count in (1, 6, 3):
        world.arm()
        world.send_at_once(run, count)
        world.arm(False)
        world.until_answered(run)
    world.verify(run, Status.RUNNING)


def retention(world: World) -> None:
    """An ended run and old journal are removed; the run whose journal it was goes on with all it had."""
    a = world.worker("A")
    run, old = world.start("run"), world.start("old")
    for each in (run, old):
        for _ in range(3):
            world.send(each)
        world.until_answered(each)
    world.control(old, Verb.STOP)
    world.until_status(old, Status.STOPPED)
    for _ in range(40):
        world.round()  # checkpoints are made
    world.send(run)
    world.until_answered(run)
    world.age()
    world.arm()
    world.prune()
    a.awake = False
    world.worker("B")
    world.send(run)
    world.verify_pruned(run, old)


SCENARIOS = {
    each.__name__: each
    for each in (steering, takeover, leaving, ending, together, batches, coroutines, retention)
}
