"""One process of the simulation: the real supervisor and runners, with a clock and a ledger of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django_livesim.runtime.gate import Gate
from django_livesim.runtime.ports import FrameOut, Options, Output
from django_livesim.runtime.supervisor import Supervisor
from tests.reliability.faulty import DatabaseDownError
from tests.reliability.ledger import SimulatedLedger
from tests.reliability.tally import Catalogue

if TYPE_CHECKING:
    from tests.reliability.world import World

OPTIONS = Options(frame_rate=None, checkpoint_seconds=7.0, poll=1.0, grace=5.0)
TURN = 0.001  # seconds that a turn takes, at least


class Killed(BaseException):
    """The process dies here; no code of the package catches it."""


class SkewedClock:
    """Runs a little fast or slow, from an arbitrary start."""

    def __init__(self, process: SimulatedWorker, rate: float, start: float) -> None:
        self.process = process
        self.rate = rate
        self.start = start
        self.busy = 0.0
        """Seconds that the turn under way has taken."""

    def now(self) -> float:
        self.process.tap()
        return self.time() + self.busy

    def time(self) -> float:
        """The same, for the ledger's thread."""
        return self.start + self.process.world.now * self.rate


class SimulatedWorker:
    """Owned by the world, which calls everything here at an instant of its own time.

    While it is stopped nothing in it goes on; what it had sent to the database is carried out there. When it
    dies, on any line that asks for the time, writes, looks or lets something out, all that it held is gone.
    """

    supervisor_class: type[Supervisor] = Supervisor
    ledger_class: type[SimulatedLedger] = SimulatedLedger
    gate_class: type[Gate] = Gate

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.over = False
        self.stopped = False
        skew = world.weather.skew
        self.clock = SkewedClock(self, 1 + world.random.uniform(-skew, skew), world.random.uniform(0, 1000))
        self._cut_off_until = 0.0
        self._cut_off_with_a_write = 0.0
        self._fuse = 0
        self._burns: Callable[[], None] = self._explode
        self._due = inf
        self._numbers: dict[UUID, tuple[int, int]] = {}
        self._held_back: list[Callable[[], None]] = []
        self.ledger = self.ledger_class(self, world.database)
        self.supervisor = self.supervisor_class(
            clock=self.clock,
            ledger=self.ledger,
            outlet=self,
            catalogue=Catalogue(),
            options=OPTIONS,
            leased=self.ledger.leased,
        )
        self._thread = self.ledger.run()
        self._asks = 0
        """Counts what the ledger's thread has waited for."""
        self._idle = False
        self._schedule(0.0)
        self._go_on(self._asks, None, None)

    def note(self, *what: object) -> None:
        self.world.note(self.name, *what)

    # -- dying, being stopped -----------------------------------------------------------------

    def tap(self) -> None:
        """Called on every line on which the process may die."""
        if self._fuse:
            self._fuse -= 1
            if not self._fuse:
                self._burns()

    def light(self, fuse: int) -> None:
        """Have it die at so many lines from now."""
        self._fuse, self._burns = fuse, self._explode

    def _explode(self) -> None:
        raise Killed

    def _dawdle(self) -> None:
        self.clock.busy += self.world.random.uniform(0.5, 12)
        self.note("makes a long step", self.clock.busy)

    def die(self) -> None:
        if not self.over:
            self.note("dies")
            self.over = True
            self.world.died(self)

    def stop(self, seconds: float) -> None:
        """SIGSTOP, and after so many seconds SIGCONT."""
        if not self.over and not self.stopped:
            self.note("is stopped for", seconds)
            self.stopped = True
            self.world.after(seconds, self.go_on)

    def cut_off(self, seconds: float, *, with_a_write: bool) -> None:
        """Nothing that it sends comes to the database before that; then all of it does.

        `with_a_write`: from the moment in which the next write is under way.
        """
        if with_a_write:
            self._cut_off_with_a_write = seconds
        elif not self.over:
            self.note("is cut off for", seconds)
            self._cut_off_until = self.world.now + seconds

    def go_on(self) -> None:
        if self.stopped and not self.over:
            self.note("goes on")
            self.stopped = False
            held_back, self._held_back = self._held_back, []
            for each in held_back:
                each()

    # -- the step thread ----------------------------------------------------------------------

    def post(self, function: Callable[..., None], *args: Any) -> None:
        self.supervisor.post(function, *args)
        self._schedule(TURN)

    def ring(self) -> None:
        if not self.over:
            self.supervisor.ring()
            self._schedule(TURN)

    def interest(self, run: UUID) -> None:
        self.supervisor.interest(run, ["view"], True)
        self._schedule(TURN)

    def drain(self) -> None:
        if not self.over:
            self.note("drains")
            self.supervisor.drain()
            self._schedule(TURN)

    def _schedule(self, seconds: float) -> None:
        due = self.world.now + seconds
        if due < self._due:
            self._due = due
            self.world.after(seconds, self._turn, due)

    def _turn(self, due: float) -> None:
        if self.over or due != self._due:
            return  # it has had its turn before
        if self.stopped:
            self._held_back.append(lambda: self._turn(due))
            return
        if self.world.chance(self.world.weather.long_steps):
            self._fuse, self._burns = self.world.random.randrange(1, 8), self._dawdle
        try:
            wait = self.supervisor.turn()
            drained = self.supervisor._drained()
        except Killed:
            self.die()
            return
        if drained:
            self.leave()
            return
        busy, self.clock.busy = self.clock.busy, 0.0
        self._due = inf
        self._schedule(busy + (TURN if self.supervisor._inbox.qsize() else max(wait / self.clock.rate, TURN)))

    def leave(self) -> None:
        """The end of a drain."""
        self.ledger.leave()
        self.die()

    def put(self, run: UUID, epoch: int, outputs: Sequence[Output]) -> None:
        """Implements `runtime.ports.Outlet`: numbers frames, and lets them go into the world."""
        for output in outputs:
            self.tap()
            place = self.world.witness.left(run, epoch, output)
            if isinstance(output, FrameOut) and place is not None:
                last_epoch, last = self._numbers.get(run, (epoch, 0))
                seq = last + 1 if last_epoch == epoch else 1
                self._numbers[run] = (epoch, seq)
                self.note("shows", place, "as", (epoch, seq))
                self.world.show(run, epoch, seq, place)
            else:
                self.note("tells", output)
        self.world.witness.left_together(run, epoch, outputs)

    # -- the thread of the database -----------------------------------------------------------

    def nudge(self) -> None:
        """There is a job for the ledger."""
        if self._idle:
            self._idle = False
            self._asks += 1
            self.world.after(0.0, self._go_on, self._asks, None, None)

    def _go_on(self, ask: int, answer: Any, error: Exception | None) -> None:
        if self.over or ask != self._asks:
            return
        if self.stopped:
            self._held_back.append(lambda: self._go_on(ask, answer, error))
            return
        self._idle = False
        request = self._thread.throw(error) if error is not None else self._thread.send(answer)
        self._asks += 1
        if isinstance(request, float):
            self._idle = True
            self.world.after(max(0.0, request) / self.clock.rate, self._go_on, self._asks, None, None)
        else:
            self.world.after(self.world.latency(), self._arrive, self._asks, request)

    def _arrive(self, ask: int, statement: Callable[[], Any]) -> None:
        """A statement has come to the database, whatever has become of the one who sent it."""
        world = self.world
        if self._cut_off_with_a_write and _name(statement) == "write":
            self.cut_off(self._cut_off_with_a_write, with_a_write=False)
            self._cut_off_with_a_write = 0.0
        if world.now < self._cut_off_until:
            world.after(self._cut_off_until - world.now, self._arrive, ask, statement)
            return
        answer, error = None, None
        if world.is_down or world.chance(world.weather.fails_before):
            error = DatabaseDownError("before")
        else:
            answer = statement()
            if world.chance(world.weather.fails_after):
                error = DatabaseDownError("after")
        if self.over:
            return
        if error is not None:
            self.note("is not answered:", error, _name(statement))
        if world.chance(0.5):
            world.after(world.latency(), self._go_on, ask, answer, error)
        else:
            self._go_on(ask, answer, error)


def _name(statement: Callable[[], Any]) -> str:
    name: str = getattr(statement, "func", statement).__name__
    return name
