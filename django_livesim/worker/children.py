"""A child as its parent has it: a process, its map, and the file to which it writes where it died.

Owned by the parent's main thread, the one that spawns: Linux ends a child with the *thread* that made it.
Between `spawn` and `close` the child's descriptors are open in the parent; afterwards nothing of it is.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django_livesim import conf
from django_livesim.store.clocks import lease_time
from django_livesim.store.striking import STACK, Harm
from django_livesim.worker import notes
from django_livesim.worker.child import AGAIN, HELD_BACK, NOT_HAD
from django_livesim.worker.hanging import Hanging
from django_livesim.worker.notes import Note, Notes
from django_livesim.worker.order import Order, Spawned

DUMP = 1.0  # seconds for a child that is ended to write where its threads are

STOPPED = ("T", "t")
GOING = ("R", "S", "D")
"""States of a process; proc(5)."""


@dataclass(frozen=True, kw_only=True)
class Death:
    """What is known of a child that has ended."""

    pid: int
    status: int
    """As `Popen.returncode`."""
    worker: UUID | None
    """None where it had not registered."""
    harms: tuple[Harm, ...]
    """By whose code it has ended."""
    explained: bool
    """Whether its other runs are innocent for certain."""
    seconds: float
    """How long it lived."""

    @property
    def left(self) -> bool:
        """Whether it went in good order."""
        return self.status in (0, AGAIN, NOT_HAD) and not self.harms

    @property
    def how(self) -> str:
        return "in good order" if self.left else describe(self.status)


def describe(status: int) -> str:
    """A status of `Popen`, in words."""
    if status >= 0:
        return f"with status {status}"
    try:
        return f"by {signal.Signals(-status).name}"
    except ValueError:
        return f"by signal {-status}"


class Child:
    """One process, from its start to its end."""

    def __init__(
        self,
        order: Order,
        alive: int,
        env: Mapping[str, str],
        run: UUID | None = None,
        *,
        tasks: bool = False,
    ) -> None:
        """Spawn it, for one `run`, for `tasks`, or for what runs are free.

        `alive` is a descriptor that reads as ended once this process has.
        """
        self.born = time.monotonic()
        self._tasks = tasks
        self.asked: float | None = None
        """When it was asked to end, by `time.monotonic`."""
        self.hanging = Hanging()
        self.beat_due = 0.0
        """When it may be beaten for next, by `time.monotonic`."""
        self._condemned: Note | None = None
        self._condemned_at = 0.0
        self._killed = False
        self._stack = notes.anonymous("stack")
        fd = notes.make()
        own = None if run is None else str(run)
        spawned = Spawned(
            order=order,
            parent=os.getpid(),
            alive=alive,
            notes=fd,
            stack=self._stack,
            run=own,
            tasks=tasks,
        )
        self.notes = Notes(fd)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, HELD_BACK)
        try:
            self.process = subprocess.Popen(  # noqa: S603  (this very interpreter)
                spawned.command(), env=dict(env), pass_fds=spawned.descriptors
            )
        except BaseException:
            self.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            os.close(fd)

    # -- what it does -------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def phase(self) -> str:
        """What it is about: `starting`, `up`, `leaving`, `stopped`, `hangs`."""
        if self.condemned:
            return "hangs"
        if state(self.pid) in STOPPED:
            return "stopped"
        if self.asked is not None:
            return "leaving"
        return "up" if self.notes.signed() is not None else "starting"

    @property
    def ended(self) -> bool:
        """Whether it is no more; reaps it."""
        return self.process.poll() is not None

    def overdue(self) -> Note | None:
        """Code that did not come back by its limit, nor when it was interrupted then."""
        noted = [note for note in self.notes.noted() if note.limit > 0]
        stopped = bool(noted) and state(self.pid) in STOPPED
        return self.hanging.look(noted, time.monotonic(), stopped=stopped)

    def is_dumb(self) -> bool:
        """Whether it lives and cannot say so: some run's or task's code keeps all its threads from running.

        One that calls tasks signs how many it calls, in place of how many runs it has.
        Not where it stands still: stopped by a signal, or with a database that hangs. Then its silence is
        to be heard. Where the system does not tell whether a process is stopped, none counts as dumb.
        """
        sign, beat = self.notes.signed(), conf.settings.BEAT
        if time.monotonic() < self.beat_due or sign is None:
            return False
        if self._heard(sign.worker, sign.beaten) + 1.5 * beat > lease_time():
            return False
        now = time.monotonic()
        busy = self._tasks and sign.runs > 0
        busy = busy or any(now - note.since > beat for note in self.notes.noted())
        return busy and state(self.pid) in GOING

    def _heard(self, worker: UUID, beaten: float) -> float:
        """When somebody has last beaten for it, itself or its parent, by `lease_time`."""
        lent = self.notes.lent()
        return max(beaten, lent.since) if lent is not None and lent.worker == worker else beaten

    # -- what is done to it -------------------------------------------------------------------

    def ask(self) -> None:
        """Have it store its runs, let them go and end; once."""
        if self.asked is None:
            self.asked = time.monotonic()
            self.process.terminate()

    def end_if_late(self, grace: float) -> bool:
        """Kill it where it was asked to end longer ago than that; whether it was now."""
        if self._killed or self.asked is None or time.monotonic() < self.asked + grace:
            return False
        self.kill()
        return True

    def kill(self) -> None:
        self._killed = True
        self.process.kill()

    def condemn(self, note: Note) -> None:
        """End it for what that code has done: have it write where it is, and a little later kill it."""
        now = time.monotonic()
        if self._condemned is None:
            self._condemned, self._condemned_at = note, now
            self.process.send_signal(signal.SIGABRT)
        elif now > self._condemned_at + DUMP:
            self.process.kill()

    @property
    def condemned(self) -> bool:
        return self._condemned is not None

    # -- when it has ended --------------------------------------------------------------------

    def death(self) -> Death:
        """Once it has ended."""
        sign = self.notes.signed()
        status = self.process.returncode
        harms = tuple(self._harms(status)) if sign is not None else ()
        return Death(
            pid=self.pid,
            status=status,
            worker=sign.worker if sign is not None else None,
            harms=harms,
            explained=bool(harms) or self._killed,
            seconds=time.monotonic() - self.born,
        )

    def _harms(self, status: int) -> list[Harm]:
        stack = self._read_stack()
        if self._condemned is not None:
            why = f"did not return within {self._condemned.limit:g} s, nor when it was interrupted"
            return [_harm(self._condemned, why, stack)]
        if self._killed:
            return []  # it was asked to end, and its code had every right to take long
        noted = self.notes.noted()
        thread = crashed_thread(stack)
        guilty = noted if thread is None else [note for note in noted if note.thread == thread]
        runs = {note.run: note for note in guilty}  # one may be noted in both threads
        return [_harm(note, f"ended its process {describe(status)}", stack) for note in runs.values()]

    def _read_stack(self) -> str:
        size = os.fstat(self._stack).st_size
        return os.pread(self._stack, STACK, max(0, size - STACK)).decode(errors="replace")

    def close(self) -> None:
        """Let go of what the parent has of it."""
        self.notes.close()
        os.close(self._stack)


def _harm(note: Note, why: str, stack: str) -> Harm:
    return Harm(run=note.run, epoch=note.epoch, why=why, stack=stack)


def crashed_thread(stack: str) -> int | None:
    """The identifier of the thread in which a crash was, as `faulthandler` names it."""
    for line in stack.splitlines():
        if line.startswith("Current thread 0x"):
            return int(line.split()[2], 16)
    return None


def state(pid: int) -> str:
    """The letter of the process's state, empty where the system does not tell; proc(5), field 3."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""
