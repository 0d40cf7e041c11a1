"""`attach`: a process of the author's own, a script, a notebook, another loop, as the worker of one run.

Who owns what: the block has the state while it is awake, the step thread
while it sleeps (`runtime.attached`). Rows are read and written in the step
thread and in the ledger's, never in the caller's, which may be one with an
event loop. Everything else is a worker as any other: a row, a beat, a
lease, doorbells, the gate, fenced writes.

Where the process dies: on any line, by SIGKILL, the run goes on from its
last checkpoint, for whoever attaches next, and messages applied since come
again. An interrupt in a sleep (Ctrl-C, a cancelled task) finds the state
whole, and it is stored; one in the block's own code finds it half-made, and
what was stored last counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType
from typing import Any

from django.db import connections, transaction
from django.utils.translation import gettext as _

from django_livesim import conf, gateway, registry
from django_livesim.gateway.owning import own_key
from django_livesim.models import Run
from django_livesim.protocol.errors import BadArgs, RunEnded, RunLost
from django_livesim.protocol.names import Status
from django_livesim.runtime.attached import AttachedLoop, AttachedLoops
from django_livesim.runtime.loops import LoopExit
from django_livesim.runtime.program import LoopSim
from django_livesim.simulation import Loop
from django_livesim.store import attaching
from django_livesim.worker.engine import Engine
from django_livesim.worker.one_run import OneRun

LEAVE = 15.0  # seconds beyond the grace for the step thread to end


def attach(
    simulation: Any,
    *,
    key: str,
    params: Mapping[str, Any] | None = None,
    owner: Any = None,
    name: str = "",
    visibility: str | None = None,
    seed: int | None = None,
) -> Attachment:
    """Make this process, and no other, the worker of the run of `simulation` with this `key`.

    A context manager, `with` or `async with`; the block is the loop, and gets
    the `sim` of own loops. `simulation` is a registered loop, or its name:
    pages know it by that, and its body is not called. The other arguments
    are those of `start`, for where there is no such run yet, or the one there
    is has finished or failed; one that was stopped goes on.

    The end of the block stores the run and lets it go, for the next `attach`;
    `sim.finish(result)` before it ends the run; what the block raises fails
    it, and is raised on. `sim.sleep` ends the block where somebody has
    stopped the run, or had the worker leave: with `LoopExit`, which goes no
    further. It raises `RunLost` where another process has the run.

    Raises `UnknownSimulation`, `BadArgs`, and on entry `RunHeld`, at once,
    where another process that is alive has the run; one that is silent is
    waited for until it counts as dead, LEASE_TTL seconds at most.
    """
    definition = registry.get(simulation if isinstance(simulation, str) else simulation.name)
    if not isinstance(definition, Loop) or definition.is_job:
        told = _(
            "%(simulation)s is a class or a job, which workers call. Expected a loop:"
            " a function with @register, whose name, parameters and commands the pages know; its body is not"
            " called here."
        )
        raise BadArgs(told % {"simulation": definition.name})
    fields = {"params": params, "owner": owner, "name": name, "visibility": visibility, "seed": seed}
    return Attachment(definition, key, fields)


class Attachment:
    """One block that steps one run. Entered once."""

    def __init__(self, definition: Loop, key: str, fields: dict[str, Any]) -> None:
        self._definition = definition
        self._key = key
        self._fields = fields
        self._opened: queue.SimpleQueue[AttachedLoop | BaseException | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._steps, name="livesim-steps", daemon=True)
        self._engine: Engine
        self._ledger: OneRun
        self._program: AttachedLoop | None = None
        self._end: BaseException = _left()
        self._number = 0  # of the signal that tells it to end
        self._restore: Callable[[], object] = lambda: None

    # -- the caller's thread ------------------------------------------------------------------

    def _start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """Begin to step; what `_opened` gives then is the program, or why there is none."""
        loops = AttachedLoops(opened=self._open, why=self._why, loop=loop)
        self._engine = Engine(queues=(), ledger=self._make_ledger, loops=loops)
        self._restore = self._handle_signals()
        self._thread.start()

    def _make_ledger(self, **options: Any) -> OneRun:
        self._ledger = OneRun(
            find=self._find_run, definition=self._definition, refused=self._opened.put, **options
        )
        return self._ledger

    def _open(self, program: AttachedLoop | None) -> None:
        """The run goes; with None, it is out of memory before it went. Step thread."""
        if program is None:
            self._engine.supervisor.post(self._check_open)
        else:
            self._program = program
            self._opened.put(program)

    def _check_open(self) -> None:
        """Out of memory for good, or only to be taken up from an older checkpoint."""
        if all(runner.over for runner in self._engine.supervisor.runners.values()):
            self._opened.put(None)

    def __enter__(self) -> LoopSim:
        self._start()
        try:
            return self._begin(self._opened.get())
        except BaseException:
            self._leave(0)
            self._restore()
            raise

    def _begin(self, opened: AttachedLoop | BaseException | None) -> LoopSim:
        if isinstance(opened, AttachedLoop):
            return opened.sim
        if opened is None:
            opened = self._why()
        raise opened

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None
    ) -> bool:
        program = self._running
        try:
            if exc is not None:
                return self._ended(program, exc)
            self._engine.drain()
            with contextlib.suppress(LoopExit):
                program.sleep(0)
            return False
        except BaseException:
            self._leave(0)
            raise
        finally:
            self._restore()

    def _ended(self, program: AttachedLoop, exc: BaseException) -> bool:
        """What the block raised; whether that goes no further. The `LoopExit` of another block goes on."""
        if isinstance(exc, Exception):
            program.fail(exc)
        interrupted = not isinstance(exc, Exception) and exc is not self._end
        self._leave(0 if interrupted and not program.put_back(exc) else None)
        return isinstance(exc, LoopExit) and exc is self._end

    @property
    def _running(self) -> AttachedLoop:
        if self._program is None:
            raise RuntimeError("attach(...) is a context manager: with attach(...) as sim: ...")
        return self._program

    async def __aenter__(self) -> LoopSim:
        self._start(asyncio.get_running_loop())
        try:
            opened = await asyncio.to_thread(self._opened.get)
            return await asyncio.to_thread(self._begin, opened)
        except BaseException:
            self._opened.put(None)  # a thread that waits there must end
            await asyncio.to_thread(self._leave, 0)
            self._restore()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, where: TracebackType | None
    ) -> bool:
        program = self._running
        try:
            if exc is not None:
                return await asyncio.to_thread(self._ended, program, exc)
            self._engine.drain()
            with contextlib.suppress(LoopExit):
                await program.sleep(0)
            return False
        except BaseException:
            await asyncio.to_thread(self._leave, 0)
            raise
        finally:
            self._restore()

    # -- leaving ------------------------------------------------------------------------------

    def _leave(self, grace: float | None) -> None:
        """Have the run stored and let go, and wait; without the block's consent after `grace` seconds."""
        self._engine.drain(grace)
        self._thread.join(conf.settings.GRACE + LEAVE)

    def _why(self) -> BaseException:
        """Why the block gets no further turn."""
        self._engine.drain()
        self._thread.join(conf.settings.GRACE + LEAVE)
        if self._number:
            return SystemExit(128 + self._number)
        return self._end

    def _handle_signals(self) -> Callable[[], object]:
        """SIGTERM ends the block at its next sleep, and then the process; nothing where the host handles it.

        A second one ends the process at once. What it gives puts the handler before back.
        """
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
            return lambda: None

        def handle(number: int, frame: FrameType | None) -> None:
            if self._number:
                os._exit(128 + number)
            self._number = number
            self._engine.drain()

        def restore() -> None:
            if signal.getsignal(signal.SIGTERM) is handle:  # and not one that the host has set since
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

        signal.signal(signal.SIGTERM, handle)
        return restore

    # -- the step thread ----------------------------------------------------------------------

    def _steps(self) -> None:
        """Step the run until the block has ended, or cannot begin."""
        try:
            self._engine.run()
            self._end = self._outcome()
        except BaseException as exc:
            self._end = exc
        finally:
            connections.close_all()
            self._opened.put(None)

    def _find_run(self) -> Run:
        owner = self._fields["owner"]
        key = own_key(self._definition, gateway.SERVER, owner, self._key)
        run = Run.objects.filter(simulation=self._definition.name, key=key).first()
        if run is not None and not (run.ended and self._may_go_on(run)):
            return run
        with transaction.atomic(using=conf.settings.DATABASE):
            if run is not None:
                attaching.reserve(run)
            # In a queue that no worker serves until it is claimed here.
            started: Run = gateway.start(
                self._definition, key=self._key, queue=f"attached-{os.urandom(8).hex()}", **self._fields
            )
        return started

    def _may_go_on(self, run: Run) -> bool:
        """Whether an ended run is this code's to resume; one that cannot be resumed is followed."""
        return run.status != Status.STOPPED or run.version <= self._definition.version

    def _outcome(self) -> BaseException:
        """Why the block ends, or did not begin, now that this process steps the run no more."""
        if self._program is None:
            self._ledger.give_back()
            run = self._ledger.run
            row = run and Run.objects.filter(id=run.id).first()
            told = _("The run is %(status)s, and its loop did not begin: %(reason)s.")
            reason = (row and row.reason) or _("this process was told to leave")
            status = row.get_status_display() if row else _("deleted")
            return RunEnded(told % {"status": status, "reason": reason})
        if self._program.abandoned:
            told = _(
                "The run %(run)s was let go while its block was in code of its own: longer than %(grace)g s"
                " (GRACE) after it was told to leave, or after a sleep was cancelled. What it did there is"
                " not kept. Attach again to go on from what was stored."
            )
            places = {"run": self._program.host.run.id, "grace": conf.settings.GRACE}
            return RunLost(told % places, retry=1)
        if self._ledger.let_go:
            return _left()
        told = _(
            "This process has lost the run %(run)s: another one took it, it was deleted, or the database did"
            " not answer. What was done since it was stored is not kept. Attach again to go on from there."
        )
        return RunLost(told % {"run": self._program.host.run.id}, retry=1)


def _left() -> LoopExit:
    """What the block gets when it is to end; its text is for whoever sleeps on after that."""
    told = _("This process has let the run go, and the block of attach() has ended. Attach again to go on.")
    return LoopExit(told)
