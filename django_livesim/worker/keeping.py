"""The worker's lease: its row, its beat, its eye on the other workers, and what it does for all of them."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django_livesim import conf, registry
from django_livesim.gateway import autostart
from django_livesim.simulation import Loop
from django_livesim.store import clocks, identity, journal, leases
from django_livesim.store.transitions import Tell
from django_livesim.store.unclaimed import Unclaimed
from django_livesim.worker.asking import Asking
from django_livesim.worker.notes import Notes

logger = logging.getLogger(__name__)

PEERS_EVERY = 0.5  # seconds between two looks at the other workers
UNCLAIMED_EVERY = 3.0  # seconds between two looks for runs that no worker can claim
SWEEP_EVERY = 3.0  # seconds without a look of the step thread for commands that came while their run ended
RETRY = 1.0  # seconds before a worker that could not register, or beat, tries again
DOUBT = 0.1  # seconds before it beats where another statement has just failed


def versions(*, blocking: bool | None = None) -> dict[str, int]:
    """The version of each simulation that this process has the code of; of those that block, or do not."""
    every = registry.all()
    return {each.name: each.version for each in every if blocking in (None, is_blocking(each))}


def is_blocking(definition: registry.Registered) -> bool:
    """Whether it is to have a process to itself: a loop that takes a thread, or a job."""
    return isinstance(definition, Loop) and (definition.is_job or not definition.is_async)


def code() -> dict[str, Any]:
    """What the worker's row tells of the code that it has."""
    return {"simulations": versions(), "blocking": versions(blocking=True)}


class Lease:
    """Who this worker is, and until when that is certain.

    The thread of the database owns it; `held_by` alone may be called from
    any. Where the process dies on any line, its peers find the row silent, or
    the process gone, and take over what it had.
    """

    def __init__(
        self,
        asking: Asking,
        *,
        queues: Iterable[str],
        registered: Callable[[UUID], None],
        load: Callable[[], dict[str, Any]],
        tell: Tell,
        lost: Callable[[], None],
        drain: Callable[[], None],
        notes: Notes | None = None,
        code: Callable[[], dict[str, Any]] = code,
    ) -> None:
        """`registered`, `load`, `tell` and `code` are those of `Ledger`.

        `lost` is called where the lease is lost, and `drain` once, where the row says that the worker is to
        leave. In `notes` the worker's parent reads who it is, and writes that it has beaten for it.
        """
        self.queues = list(queues)
        self.worker: UUID | None = None
        self.identity = identity.this_process()
        self.peers = self._new_peers()
        self._asking = asking
        self._registered = registered
        self._load = load
        self._tell = tell
        self._lost = lost
        self._drain: Callable[[], None] | None = drain
        self._notes = notes
        self._code = code
        self._unclaimed = Unclaimed()
        self._due = {"beat": 0.0, "peers": 0.0, "sweep": 0.0, "autostart": 0.0, "unclaimed": 0.0}
        self._until: tuple[UUID, float] | None = None  # one value, since two threads read it
        self._runs = 0  # held, as of the last beat
        self._failed = False  # whether the database has failed, and no beat has committed since
        self._told_doubt = False

    def _new_peers(self) -> leases.Peers:
        return leases.Peers(self.identity, conf.settings.LEASE_TTL)

    # -- what it is ---------------------------------------------------------------------------

    def held_by(self, worker: UUID | None) -> bool:
        """Whether this is the worker, and no peer can have declared it gone. Any thread.

        From before the last beat that committed was sent: peers time their silence from after it, by the
        same clock. So this is right too where the process was stopped for a while, or the machine asleep.
        """
        until = self._until
        if until is None or until[0] != worker:
            return False
        now = clocks.lease_time()
        return now < until[1] or now < self._lent(worker)

    def have(self) -> UUID:
        """This worker's id; registers it where it has none."""
        if self.worker is None:
            began = clocks.lease_time()
            worker = leases.register(self.identity, self.queues, self._code())
            self._due["beat"] = time.monotonic() + conf.settings.BEAT
            logger.info("worker registered worker=%s pid=%s queues=%s", worker, os.getpid(), self.queues)
            try:
                self._registered(worker)
            except Exception:
                logger.exception("no doorbells are heard worker=%s; the poll goes on", worker)
            self._asking.ask(self._autostart)
            self.worker = worker
            self._hold(worker, began)
        return self.worker

    def leave(self) -> None:
        """In good order: what the worker may still hold is free."""
        if self.worker is not None:
            leases.leave(self.worker)

    def _hold(self, worker: UUID, since: float) -> None:
        self._until = (worker, since + conf.settings.LEASE_TTL)
        self._told_doubt = False
        if self._notes is not None:
            self._notes.sign(worker, since, self._runs)

    def _lent(self, worker: UUID) -> float:
        """Until when it is held by a beat of the parent's."""
        lease = self._notes.lent() if self._notes is not None else None
        if lease is None or lease.worker != worker:
            return -math.inf
        return lease.since + conf.settings.LEASE_TTL

    # -- keeping it ---------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When it needs care next, by `time.monotonic`; at once where its beat is overdue by `lease_time`."""
        if self._failed:
            return self._due["beat"]
        return 0.0 if self._has_lapsed() else min(self._due.values())

    @property
    def in_doubt(self) -> bool:
        """Whether the database has just failed, or a peer can have declared this worker gone."""
        return self._failed or self._has_lapsed()

    def _has_lapsed(self) -> bool:
        return self.worker is not None and not self.held_by(self.worker)

    def fail(self) -> None:
        """The database has failed at something: before anything else is asked, it has to take a beat."""
        if not self._failed:
            self._failed = True
            self._due["beat"] = time.monotonic() + DOUBT

    def check(self) -> bool:
        """Before anything is done: whether the database answers, and this is the worker for certain.

        Where a beat is overdue, since this process stood still or the database was away, the next one tells.
        Either a peer has declared the worker gone, and everything is dropped; or none has, and whatever it
        holds is its own as before: nobody can have claimed it. So a database that was away for all of them
        moves no run from one worker to another.
        """
        if self.in_doubt:
            self._tell_doubt()
            if time.monotonic() >= self.due:
                self.care()
        return not self.in_doubt

    def care(self) -> None:
        """Do what is due; where the database does not take a beat, wait a little."""
        self._failed = True
        self._asking.ask(self.keep)
        if self._failed:
            self._due["beat"] = time.monotonic() + RETRY

    def keep(self) -> None:
        """Do what is due; raises what the database does.

        Its own beat first: who cannot beat says nothing of the silence of others, who may have the same
        reason for it. It is due where the lease has lapsed while the machine slept: `monotonic` does not
        count that.
        """
        now = time.monotonic()
        worker = self.have()
        if self._has_lapsed():
            self._due["beat"] = now
        began = clocks.lease_time()
        if self._is_due("beat", now, conf.settings.BEAT):
            if not leases.beat(worker, self._facts()):
                self._lose("declared gone by a peer")
                return
            self._hold(worker, began)
        self._failed = False
        if self._is_due("peers", now, PEERS_EVERY):
            self.peers.look(worker)
            if self.peers.told_to_leave:
                self._told_to_leave()
        if self._is_due("sweep", now, SWEEP_EVERY):
            journal.refuse_orphans()
        self._autostart()
        if self._is_due("unclaimed", now, UNCLAIMED_EVERY):
            self._unclaimed.look(self.peers.alive, self._tell)

    def expect_orphans(self, there: bool) -> None:
        """A look has seen whether there are commands to be refused since their run has ended."""
        self._due["sweep"] = time.monotonic() + (0.0 if there else SWEEP_EVERY)

    def _is_due(self, what: str, now: float, every: float) -> bool:
        if now < self._due[what]:
            return False
        self._due[what] = now + every
        return True

    def _facts(self) -> dict[str, Any]:
        """What a beat tells: the load, and for which runs there is code here."""
        load = self._load()
        self._runs = load.get("runs", 0)
        return load | self._code()

    def _autostart(self) -> None:
        """Until it has succeeded once."""
        if self._is_due("autostart", time.monotonic(), RETRY):
            autostart.start_all(self.queues)
            self._due["autostart"] = math.inf

    def _lose(self, why: str) -> None:
        """Drop everything, and begin anew under a new id."""
        logger.error("%s worker=%s; all its runs are dropped from memory", why, self.worker)
        self.worker = self._until = None
        self.peers = self._new_peers()
        self._lost()

    def _tell_doubt(self) -> None:
        """Once: nothing leaves this process from now on."""
        if not self._told_doubt and self._has_lapsed():
            self._told_doubt = True
            ttl = conf.settings.LEASE_TTL
            logger.warning("without a beat for %g s worker=%s; its runs wait for the next", ttl, self.worker)

    def _told_to_leave(self) -> None:
        """Once: somebody has marked this worker's row as draining."""
        if self._drain is None:
            return
        logger.info("told to leave worker=%s; its runs are stored and let go", self.worker)
        drain, self._drain = self._drain, None
        drain()
