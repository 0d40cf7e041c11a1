"""Those who send commands in the simulation: under ids of their own, until they are acknowledged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from django_livesim.protocol.names import ENDED, Kind, Verb
from tests.reliability.faulty import CommandRow
from tests.reliability.tally import REFUSED

if TYPE_CHECKING:
    from tests.reliability.world import World

PATIENCE = 3.0  # seconds without an answer, before it is asked again
RETRY = 0.5


class Sender:
    """Sends its commands one after another; the next when the one before was acknowledged."""

    def __init__(self, world: World, run: UUID, name: str, count: int, gap: float) -> None:
        self.world = world
        self.run = run
        self.name = name
        self.gap = gap
        self.left = count
        self.sent = 0
        self.acknowledged: list[str] = []
        self._attempt = 0
        self._rest()

    @property
    def done(self) -> bool:
        return self.left == 0 or self.world.database.runs[self.run].row.status in ENDED

    def _rest(self) -> None:
        self.world.after(self.world.random.expovariate(1 / self.gap), self._next)

    def _next(self) -> None:
        if self.done:
            return
        self.sent += 1
        self._try(f"{self.name}-{self.sent}", *self.command())

    def command(self) -> tuple[Kind, str, dict[str, Any], int | None]:
        """What to send next."""
        number = f"{self.sent}{REFUSED if self.world.chance(0.05) else ''}"
        return Kind.COMMAND, "add", {"id": f"{self.name}-{number}"}, None

    def _try(self, *what: Any) -> None:
        """Once more, under the same id."""
        self._attempt += 1
        world, attempt = self.world, self._attempt
        world.after(world.latency(), self._arrive, attempt, what)
        world.after(PATIENCE, self._again, attempt, what)

    def _again(self, attempt: int, what: tuple[Any, ...]) -> None:
        """Nobody has answered in time, or said that it went wrong."""
        if attempt == self._attempt and not self.done:
            self._try(*what)

    def _arrive(self, attempt: int, what: tuple[Any, ...]) -> None:
        world, database = self.world, self.world.database
        tables = database.runs[self.run]
        if world.is_down or world.chance(world.weather.fails_before):
            world.after(RETRY, self._again, attempt, what)
        elif tables.row.status not in ENDED:
            row = CommandRow(database.next_id(), self.run, self.name, *what)
            if world.chance(0.5):
                world.after(world.latency(), self._commit, attempt, what, row)
            else:
                self._commit(attempt, what, row)

    def _commit(self, attempt: int, what: tuple[Any, ...], row: CommandRow) -> None:
        world = self.world
        if world.is_down or world.chance(world.weather.fails_before):
            world.after(RETRY, self._again, attempt, what)
            return
        self.world.database.insert(row)
        world.ring(self.run)
        if world.chance(world.weather.fails_after):
            world.after(RETRY, self._again, attempt, what)
        elif attempt == self._attempt:
            self._attempt += 1
            self.acknowledged.append(row.client_id)
            world.note(self.name, "is acknowledged", row.client_id, row.name, row.args)
            self.left -= 1
            self._rest()


class Planner(Sender):
    """Sends what is to act at a later tick."""

    def command(self) -> tuple[Kind, str, dict[str, Any], int | None]:
        kind, name, args, _ = super().command()
        tick = self.world.database.runs[self.run].row.tick
        return kind, name, args, tick + self.world.random.randrange(8)


class Boss(Sender):
    """Pauses, resumes, steps and changes the speed; at the end it has the run go on, and stops it."""

    def command(self) -> tuple[Kind, str, dict[str, Any], int | None]:
        random = self.world.random
        verb = random.choice((Verb.PAUSE, Verb.RESUME, Verb.RESUME, Verb.STEP, Verb.SPEED))
        args: dict[str, Any] = {}
        if verb is Verb.STEP:
            args = {"n": random.randrange(1, 5)}
        elif verb is Verb.SPEED:
            args = {"x": random.choice((0.5, 1.0, 2.0))}
        return Kind.CONTROL, str(verb), args, None

    def say(self, verb: Verb) -> None:
        """This one now, whatever it was about to send."""
        self.left, self.sent = 1, self.sent + 1
        self._try(f"{self.name}-{self.sent}", Kind.CONTROL, str(verb), {}, None)
