"""One run under the hand of a test."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self
from uuid import uuid4

from django_livesim.protocol.errors import RunEnded
from django_livesim.protocol.names import ENDED, Kind, Role, Status, Verb
from django_livesim.runtime.clock import ManualClock
from django_livesim.runtime.runner import Runner
from django_livesim.testing.answers import Answer, RunFailed
from django_livesim.testing.asking import Catalogue, clean_args, clean_params, definition_of, options
from django_livesim.testing.hand import HandSupervisor
from django_livesim.testing.memory import MemoryLedger, MemoryOutlet
from django_livesim.testing.noting import note_failure, noting
from django_livesim.testing.reading import Reading

HAIR = 1e-9  # seconds by which sums of periods may miss the moment that is meant
TURNS = 10_000  # at one moment, after which `advance` says that no time passes


class Trial(Reading):
    """A run of a class or an own loop, stepped by the test itself.

    The worker's own step thread, over a manual clock and a ledger in memory:
    no process, database, channel layer or sleep. It stands at tick 0 when it
    has been made. Raises BadArgs for parameters that a start would refuse, and
    `RunFailed`, here and in every method, where the simulation's own code has
    failed the run; not so with `raises=False`. `patience` is the real seconds
    for which a loop is waited for that is not in `sim.sleep()`. What it has of
    threads ends with `close`, or with the `with` block.
    """

    def __init__(
        self,
        simulation: Any,
        params: Mapping[str, Any] | None = None,
        *,
        seed: int = 1,
        owner: Any = None,
        key: str | None = None,
        name: str = "",
        raises: bool = True,
        patience: float = 5.0,
    ) -> None:
        self._definition = definition_of(simulation)
        cleaned = clean_params(self._definition, params or {})
        self.clock = ManualClock()
        self._catalogue = Catalogue(self._definition, noting(self._definition, self._note))
        self._ledger = MemoryLedger()
        self._ledger.now = self.clock.now
        self._outlet = MemoryOutlet()
        self._raises = raises
        self._patience = patience
        self._watched: dict[str, None] = {}
        self._raised: BaseException | None = None
        self._told = False
        facts = {"key": key, "name": name, "owner": None if owner is None else _key_of(owner)}
        self._run = self._ledger.add(self._definition.name, cleaned, seed, **facts)
        self._supervisor = self._take_over()
        try:
            self._look()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the run's loop and threads; nothing is stored."""
        self._supervisor.close(self._patience)

    # -- time ---------------------------------------------------------------------------------

    def step(self, n: int = 1) -> None:
        """Make `n` steps, fewer where the run ends or rests meanwhile; a paused one stays paused.

        The clock goes along to when each is due. Raises RunEnded for a run that has ended.
        """
        self._refuse_ended(Verb.STEP)
        if self.status is Status.PAUSED:
            self._steps_while_paused(n)
            return
        end = self.tick + n
        while self.tick < end and self.status is Status.RUNNING:
            self._move(min(self._step_due, self._supervisor.looking.due))
            self._turn()

    def _steps_while_paused(self, n: int) -> None:
        if n < 1:
            return
        self._control(Verb.STEP, n=n)
        while self._held is not None and self._held.steps_asked:
            self._turn()

    def advance(self, seconds: float) -> None:
        """Let time pass, with every step that comes due in it, the one at its very end not."""
        if not seconds >= 0:
            raise ValueError(f"advance() takes seconds of 0 or more; got {seconds!r}")
        until, turns = self.clock.now() + seconds, 0
        while (due := min(self._step_due, self._supervisor.looking.due)) < until - HAIR:
            turns = 0 if due > self.clock.now() else turns + 1
            if turns > TURNS:
                raise RuntimeError(
                    "No time passes between the ticks: the speed is max, or the loop sleeps for 0 seconds."
                    " Use step(n)."
                )
            self._move(due)
            self._turn()
        self._move(until)
        self._settle()

    # -- what people do -----------------------------------------------------------------------

    def send(
        self,
        command: str,
        args: Mapping[str, Any] | None = None,
        *,
        user: Any = None,
        at_tick: int | None = None,
        delay: float | None = None,
        every: float | None = None,
    ) -> Answer:
        """Send a command, as `user` (a user, or the primary key of one) or as the server itself.

        `at_tick`, `delay` and `every` are those of `django_livesim.send`; the answer is that of the first.

        Raises what `django_livesim.send` does: UnknownCommand, BadArgs, RunEnded. A
        class has answered when this returns; a loop does in its next tick.
        """
        cleaned = clean_args(self._definition, command, args or {}, self._ledger.params(self._run))
        if self.status in ENDED:
            raise RunEnded(f"The run is {self.status} and takes no commands; resume or restart it first.")
        sender = "p:trial" if user is None else f"u:{_key_of(user)}"
        when = {"due_tick": at_tick, "due_in": every if delay is None else delay, "every": every}
        entry = self._ledger.send(self._run, command, Kind.COMMAND, cleaned, sender=sender, **when)
        self._look()
        return Answer(self._ledger, self._run, entry)

    def pause(self) -> None:
        """Hold the run between two steps; commands still apply."""
        self._refuse_ended(Verb.PAUSE)
        self._control(Verb.PAUSE)

    def resume(self) -> None:
        """Go on, from a pause or from where it was stopped."""
        if self.status is Status.STOPPED:
            self._row["status"] = Status.WAITING
            self._look()
            return
        self._refuse_ended(Verb.RESUME)
        self._control(Verb.RESUME)

    def speed(self, x: float | str) -> None:
        """Run `x` times as fast as declared, or "max"."""
        self._refuse_ended(Verb.SPEED)
        self._control(Verb.SPEED, x=0.0 if x == "max" else float(x))

    def stop(self) -> None:
        """Store the state and end the run; `resume` goes on from there."""
        if self.status not in ENDED:
            self._end(Verb.STOP)

    def restart(self) -> None:
        """End the run and take up another with its parameters and seed, from setup."""
        following = uuid4()
        if self.status in ENDED:
            self._ledger.succeed(self._run, following)
        else:
            self._end(Verb.RESTART, next=str(following))
        self._run, self._raised, self._told = following, None, False
        self._look()

    def watch(self, role: Role | str = Role.VIEW) -> None:
        """Somebody watches in this role from now on, and gets a frame at once."""
        self._watched[str(role)] = None
        self._supervisor.interest(self._run, [str(role)], True)
        self._settle()

    def unwatch(self) -> None:
        """Nobody watches any more; as in a worker, that is noticed after 15 seconds."""
        self._watched.clear()

    def crash(self) -> None:
        """Lose the memory, as by SIGKILL, and have another worker go on from what was stored.

        A class is played forward to the tick it had (by a worker's heir to its
        horizon, up to 2.5 seconds further); a loop is called again from the top.
        """
        if self._held is not None:
            self._row["horizon"] = self.tick  # nobody has been shown more
        self._row["worker"] = False
        self._supervisor.close(self._patience)
        self._supervisor = self._take_over()
        self._look()
        while self._held is not None and self._held.replaying:
            self._turn()

    # -- the worker ---------------------------------------------------------------------------

    def _take_over(self) -> HandSupervisor:
        supervisor = HandSupervisor(
            clock=self.clock,
            ledger=self._ledger,
            outlet=self._outlet,
            catalogue=self._catalogue,
            options=options(),
            taken_up=self._taken_up,
        )
        supervisor.stepping = False
        self._ledger.post = supervisor.post
        return supervisor

    def _taken_up(self, runner: Runner) -> None:
        self._runner = runner
        note_failure(runner, self._note)

    def _note(self, exc: BaseException) -> None:
        self._raised = exc

    def _look(self) -> None:
        """Have the worker look for what is new."""
        self._supervisor.ring()
        self._settle()

    def _turn(self) -> None:
        """Make the step that is due."""
        self._supervisor.stepping = True
        try:
            self._supervisor.turn()
        finally:
            self._supervisor.stepping = False
        self._settle()

    def _settle(self) -> None:
        if not self._supervisor.settle(self._patience):
            raise TimeoutError(
                f"{self._definition.name} has not come back to sim.sleep() within {self._patience:g} seconds:"
                " it waits for something else, or never ends. Where it should wait, raise patience=."
            )
        if self.status is Status.FAILED and self._raises and not self._told:
            self._told = True
            raise RunFailed(f"{self.reason}\n{self.error}") from self._raised

    @property
    def _step_due(self) -> float:
        due = None if self._held is None else self._held.next_due()
        return math.inf if due is None else due

    def _move(self, moment: float) -> None:
        while self.clock.now() < moment:  # the sum of two floats may fall short
            self.clock.advance(moment - self.clock.now())
        if self._watched:
            self._supervisor.interest(self._run, list(self._watched), False)

    def _control(self, verb: Verb, **args: Any) -> None:
        self._ledger.send(self._run, verb, Kind.CONTROL, args)
        self._look()

    def _end(self, verb: Verb, **args: Any) -> None:
        self._control(verb, **args)
        while self._held is not None and self._step_due <= self.clock.now():
            self._turn()  # a loop gets the messages that came before its end

    def _refuse_ended(self, verb: Verb) -> None:
        if self.status in ENDED:
            raise RunEnded(f"The run is {self.status}: it cannot {verb}.")


def _key_of(user: Any) -> str:
    return str(getattr(user, "pk", user))
