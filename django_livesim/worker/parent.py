"""`livesim_worker`: a process that steps nothing, and has children that do.

Each child is a whole worker: its runs, its row, its lease and its beats are its own. The parent does what a
process cannot do for itself: it sees that one hangs or has died, says by whose code, and replaces it. A
run of a blocking loop has a child to itself (`loop_places`), and so has one that was struck, until it has
done well for a while: the parent finds those that are free. Where the code has tasks, one child calls them.

Who owns what: the main thread has the places, the children and their maps, and spawns; it waits for nothing
but signals, and for 0.2 s at most, so that no database keeps it from watching. The thread of the database
(`Registrar`) writes what it is told of. With `--reload` a third looks at the code.

Where the parent dies on any line, its children die with it: the kernel ends them (Linux), and a pipe that
nobody holds open any more has them end themselves. What they held is found by other workers, as after any
death. A child that is being spawned sees that its parent is not the one that spawned it.

Signals: the handler notes them, and the loop acts between two children. SIGTERM, or Ctrl-C, has all
children leave; one that has not left within GRACE and 5 seconds is killed. A second one kills all and ends
the parent, at once. While a child is being replaced, or waits for its turn, that is no different: no new
child is spawned from then on, and one that is starting finds the signal when it has a handler.
"""

from __future__ import annotations

import logging
import math
import os
import select
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any
from uuid import UUID

from django_livesim import conf
from django_livesim.background import handlers
from django_livesim.worker.children import Child, Death
from django_livesim.worker.health import HealthFile
from django_livesim.worker.loads import stepping
from django_livesim.worker.loop_places import LoopPlaces
from django_livesim.worker.order import Order
from django_livesim.worker.places import Place
from django_livesim.worker.registrar import Registrar
from django_livesim.worker.reloading import CodeWatch

logger = logging.getLogger(__name__)

LOOK = 0.2  # seconds between two looks at the children
LEAVE = 5.0  # seconds beyond the grace for the last writes of a child
BEAT_AGAIN = 0.5  # seconds between two beats for a child, where one came to nothing
AGAIN = 5.0  # seconds before a child is spawned where the system has just refused to
WRITE = 2.0  # seconds for the last writes of the parent


class Parent:
    """`run` it in the main thread."""

    def __init__(
        self,
        order: Order,
        env: Mapping[str, str],
        *,
        processes: int = 1,
        health: HealthFile | None = None,
        reload: bool = False,
    ) -> None:
        self._order = order
        self._env = env
        self._health = health
        self._registrar = Registrar(asks=health is not None)
        self._code = CodeWatch() if reload else None
        self._places = [Place(reloads=reload) for _ in range(processes)]
        self._tasks = [Place(reloads=reload, tasks=True)] if handlers or reload else []
        self._loops = LoopPlaces(order.max_runs)
        self._beating: dict[UUID, Child] = {}  # for whom a beat is under way
        self._told = False
        self._leaving = False
        self._killed = False
        self._alive, self._lives = os.pipe()  # what children read, and what nobody but this process has

    def run(self) -> int:
        """Have children until told to end, or until all have left; 0 where all have left in good order."""
        self._registrar.start()
        try:
            with self._signals() as wakened:
                while not all(place.is_over for place in self._all_places()):
                    self._turn()
                    self._wait(
                        wakened, min((child.hanging.due for child in self._children()), default=math.inf)
                    )
        finally:
            for child in self._children():
                child.kill()  # where this ends by an error of its own
            self._close()
        return 1 if self._killed else 0

    def _close(self) -> None:
        self._registrar.stop(WRITE)
        if self._code is not None:
            self._code.stop()
        if self._health is not None:
            self._health.remove()
        os.close(self._alive)
        os.close(self._lives)

    # -- signals ------------------------------------------------------------------------------

    @contextmanager
    def _signals(self) -> Iterator[int]:
        """Note signals; gives a descriptor that can be read when one has come."""
        wakened, wakes = os.pipe()
        for fd in (wakened, wakes):
            os.set_blocking(fd, False)
        handlers = {signal.SIGTERM: self._told_to_end, signal.SIGINT: self._told_to_end}
        handlers[signal.SIGCHLD] = lambda number, frame: None
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        former = signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        try:
            yield wakened
        finally:
            signal.set_wakeup_fd(former)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(wakened)
            os.close(wakes)

    def _told_to_end(self, number: int, frame: FrameType | None) -> None:
        if self._told:
            for child in self._children():
                child.kill()
            os._exit(128 + number)
        self._told = True

    @staticmethod
    def _wait(wakened: int, due: float) -> None:
        """Until a signal has come, the end of a child among them, or it is time to look: `due`, or soon."""
        select.select([wakened], [], [], min(LOOK, max(0.0, due - time.monotonic())))
        with suppress(BlockingIOError):
            os.read(wakened, 4096)

    # -- one turn -----------------------------------------------------------------------------

    def _turn(self) -> None:
        if self._told and not self._leaving:
            self._leave()
        if self._code is not None and self._code.changed():
            logger.info("the code has changed; the workers are started anew")
            for place in self._all_places():
                place.renew()
        self._take_answers()
        self._look_for_loops()
        for place in self._all_places():
            if place.child is not None:
                self._watch(place, place.child)
            elif place.is_due:
                self._spawn(place)
        self._loops.tidy()
        if self._health is not None and self._health.is_due:
            self._health.write(self._facts())

    def _spawn(self, place: Place) -> None:
        try:
            place.child = Child(self._order, self._alive, self._env, place.run, tasks=place.tasks)
        except OSError as exc:
            place.due = time.monotonic() + AGAIN
            logger.error("no worker process can be started, which is tried again in %g s: %s", AGAIN, exc)
        else:
            logger.info("worker process started pid=%s", place.child.pid)

    def _leave(self) -> None:
        self._leaving = True
        for place in self._all_places():
            place.close()
        for child in self._children():
            child.ask()

    def _watch(self, place: Place, child: Child) -> None:
        if child.ended:
            self._bury(place, child)
        elif child.end_if_late(conf.settings.GRACE + LEAVE):
            self._killed = self._killed or self._leaving
            logger.error("a worker process did not end in time, and is killed pid=%s", child.pid)
        elif (note := child.overdue()) is not None:
            if not child.condemned:
                logger.error(
                    "a step does not end, and its process is ended run=%s epoch=%s pid=%s",
                    note.run,
                    note.epoch,
                    child.pid,
                )
            child.condemn(note)
        elif child.is_dumb():
            self._beat_for(child)

    def _bury(self, place: Place, child: Child) -> None:
        death = child.death()
        child.close()
        self._beating = {worker: each for worker, each in self._beating.items() if each is not child}
        asked = child.asked is not None
        follows = place.has_lost(death, asked=asked)
        if self._leaving:
            place.close()
        if not death.left and death.worker is not None:
            self._registrar.bury(death)
        self._tell(death, asked, "" if self._leaving else f"; {follows}")

    @staticmethod
    def _tell(death: Death, asked: bool, follows: str) -> None:
        level = logging.INFO if death.left else logging.WARNING if asked else logging.ERROR
        told = f"a worker process has ended {death.how}{follows}"
        logger.log(level, "%s worker=%s pid=%s", told, death.worker, death.pid)

    # -- beats --------------------------------------------------------------------------------

    def _beat_for(self, child: Child) -> None:
        sign = child.notes.signed()
        if sign is not None and sign.worker not in self._beating:
            self._beating[sign.worker] = child
            child.beat_due = time.monotonic() + BEAT_AGAIN
            self._registrar.beat_for(sign.worker, stepping(child.notes.noted()))

    def _take_answers(self) -> None:
        while not self._registrar.found.empty():
            free, told_to_end = self._registrar.found.get()
            self._loops.take([] if self._ends else free, told_to_end)
        while not self._registrar.beaten.empty():
            beaten = self._registrar.beaten.get()
            child = self._beating.pop(beaten.worker, None)
            if child is not None and beaten.since is not None:
                child.notes.lend(beaten.worker, beaten.since)

    # -- runs that have a child to themselves ------------------------------------------------

    @property
    def _ends(self) -> bool:
        """Whether no child is to come any more: it was told to leave, or all of its workers were."""
        return self._leaving or all(place.is_over for place in self._places)

    def _look_for_loops(self) -> None:
        """Have those that are free found, by what the children say which code there is, and which blocks."""
        if self._ends:
            self._loops.close()
            for place in self._tasks:
                place.close()
                place.renew()
        elif self._loops.is_due:
            signs = [child.notes.signed() for child in self._children()]
            workers = [sign.worker for sign in signs if sign is not None]
            if workers:
                loops = self._loops
                stuck = [place.run for place in loops if place.run and place.is_stuck(conf.settings.GRACE)]
                loops.look()
                self._registrar.look(workers, self._order.queues, loops.runs, loops.most, stuck)
        for place in self._loops:
            if place.child is not None and place.ignores_its_end(conf.settings.GRACE + LEAVE):
                logger.error("a loop ignores its end, and its process is killed run=%s", place.run)
                place.child.kill()
                place.told_to_end(False)

    # -- what is told -------------------------------------------------------------------------

    def _all_places(self) -> list[Place]:
        return [*self._places, *self._tasks, *self._loops]

    def _children(self) -> list[Child]:
        return [place.child for place in self._all_places() if place.child is not None]

    def _facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"children": [_place_facts(place) for place in self._places]}
        facts["tasks"] = [_place_facts(place) for place in self._tasks]
        facts["loops"] = [{"run": str(place.run), **_place_facts(place)} for place in self._loops]
        facts["database"] = self._registrar.is_answered
        facts["leaving"] = self._leaving
        return facts


def _place_facts(place: Place) -> dict[str, Any]:
    """One place, as the health file has it."""
    child = place.child
    if child is None:
        return {"pid": None, "state": "left" if place.is_over else "waiting"}
    sign, now = child.notes.signed(), time.monotonic()
    stepping = [{"run": str(note.run), "seconds": round(now - note.since, 3)} for note in child.notes.noted()]
    return {
        "pid": child.pid,
        "state": child.phase,
        "worker": sign and str(sign.worker),
        "runs": sign.runs if sign is not None else 0,
        "stepping": stepping,
    }
