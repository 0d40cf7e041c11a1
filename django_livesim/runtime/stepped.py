"""Runs a `Simulation` class, in the step thread."""

from __future__ import annotations

import logging
from collections import deque
from functools import partial
from typing import Any

from django_livesim.protocol import plain
from django_livesim.protocol.errors import Code, LivesimError, UnknownCommand, raised
from django_livesim.protocol.names import Kind, Outcome, Verb
from django_livesim.protocol.records import Entry, Held
from django_livesim.runtime import quiet, taking_up
from django_livesim.runtime.boundary import attend
from django_livesim.runtime.clock import Clock
from django_livesim.runtime.history import Progress
from django_livesim.runtime.ports import AUTHOR_ERRORS, Catalogue, Options
from django_livesim.runtime.runner import Runner
from django_livesim.runtime.setting import Setter
from django_livesim.simulation import Host, Simulation

logger = logging.getLogger(__name__)


class Stepped:
    """One instance of a simulation class and what the runner asks of it."""

    def __init__(self, definition: type[Simulation], host: Host, catalogue: Catalogue) -> None:
        self.definition = definition
        self.host = host
        self.catalogue = catalogue
        self.dt = 1.0 / definition.tick_rate
        self.setter = Setter(definition, catalogue)
        host.bind = partial(catalogue.bind_params, definition)
        self.simulation: Simulation

    def begin(self, state: dict[str, Any] | None, version: int) -> None:
        """Set up anew, or take up a state that `version` has stored."""
        self.simulation = self.definition()
        self.simulation._host = self.host
        if state is None:
            self.simulation.setup(**self.catalogue.bind_params(self.definition, self.host.present_params))
        else:
            self.simulation.load(self._upgraded(state, version))
        before = self.host.random_state()
        self.simulation.restore()
        self.host.restore_random(before)  # what is derived draws no numbers: an heir restores more often

    def _upgraded(self, state: dict[str, Any], version: int) -> dict[str, Any]:
        return taking_up.upgraded(self.definition, state, version, self.simulation.upgrade)

    def step(self) -> None:
        self.simulation.step(self.dt)

    def apply(self, entry: Entry) -> bytes:
        """Run a declared command, or `set`; its value as JSON. Raises what the author's code raises."""
        if self.setter.takes(entry.name):
            self.setter.set(self.simulation, entry.args)
            return b"null"
        spec = self.definition.commands.get(entry.name)
        if spec is None:
            raise UnknownCommand(f"{self.definition.name} has no command {entry.name!r} in this version")
        result = spec.function(self.simulation, **self.catalogue.bind_args(spec, entry.args))
        return plain.encode_answer(result)

    def dump(self) -> dict[str, Any]:
        return self.simulation.dump()

    def view(self, role: str) -> dict[str, Any]:
        return self.simulation.view(role)

    def metrics(self) -> dict[str, float]:
        with self.host.aside():
            return self.simulation.metrics()


class SteppedRunner(Runner):
    """A run whose steps are calls of `step`, made here and now."""

    program: Stepped

    def __init__(
        self, held: Held, definition: type[Simulation], catalogue: Catalogue, clock: Clock, options: Options
    ) -> None:
        host = Host(run=held.info, live=False)  # until history has been played
        super().__init__(held, definition, host, Stepped(definition, host, catalogue), clock, options)
        self._history = deque(held.journal)
        last = held.journal[-1].apply_tick if held.journal else None
        shown = held.horizon if definition.deterministic else 0
        self._history_end = max(held.tick, shown, last or 0)
        self._unlike = ""
        self._compares = bool(held.hash) and definition.deterministic and not self.taken_over
        self._progress = Progress(taking_up.stored_tick(held), self._history_end, clock.now())

    @property
    def shown_tick(self) -> int:
        """While history is played, what its last holder has told: the horizon is further, and was a bound."""
        return self.host.tick if self.host.live else max(self.host.tick, self.held.tick)

    @property
    def retraces(self) -> bool:
        return self.replaying and (bool(self._history) or self.host.tick < self.held.tick)

    @property
    def waits(self) -> bool:
        """Nor past a tick for which commands wait in the database that it has not been given."""
        return super().waits or self.schedule.lacks(self.host.tick)

    def begin_history(self) -> None:
        if not self._history and self.host.tick >= self._history_end:
            self._compare()
            self.go_live(self.clock.now())

    def go_live(self, now: float) -> None:
        if self._progress.told or self._unlike:
            self.say(self.whence())
        super().go_live(now)

    def release(self) -> bool:
        if self.replaying and self._progress.told and not self.over:
            self.say(self.whence())  # nobody plays while it waits
        return super().release()

    def _play(self, until: float) -> None:
        """Journaled commands where they acted, steps between, for a while."""
        while True:
            while self._history and (self._history[0].apply_tick or 0) <= self.host.tick:
                self._apply_again(self._history.popleft())
            self._compare()
            if self.host.finished or (not self._history and self.host.tick >= self._history_end):
                return self.go_live(self.clock.now())
            self.program.step()
            self.host.tick += 1
            self.steps_asked = max(0, self.steps_asked - 1)
            self.discard_effects()
            if (now := self.clock.now()) >= until:
                return self._tell_progress(now)

    def whence(self) -> str:
        return self._unlike or super().whence()

    def fingerprint(self) -> str:
        if not (self.definition.deterministic and self.keeper.stores_state and self.record.settled):
            return ""
        return self.keeper.fingerprint(self.program.dump)

    def _compare(self) -> None:
        """See whether history has come out as it was when its last holder noted it."""
        if not self._compares or self.host.tick < self.held.tick:
            return
        self._compares = False
        mine = self.keeper.fingerprint(self.program.dump) if self.host.tick == self.held.tick else ""
        if mine and mine != self.held.hash:
            self.record.lost_after(taking_up.stored_tick(self.held))
            self._unlike = f"recovered, but not alike: at tick {self.held.tick} its state is not what it was"
            logger.warning("%s run=%s epoch=%s", self._unlike, self.id, self.epoch)

    def _tell_progress(self, now: float) -> None:
        share = self._progress.share(self.host.tick, now)
        if share is not None:
            self.say(f"playing history again: {int(100 * share)} %", share)

    def _apply_again(self, entry: Entry) -> None:
        """Its verdict stands; of the controls only the steps asked for are not in the run's row."""
        if entry.kind is Kind.COMMAND:
            self.run_command(entry)
        elif entry.name == Verb.STEP:
            self.steps_asked += int(entry.args.get("n", 1))
        elif entry.name in (Verb.PAUSE, Verb.RESUME):
            self.steps_asked = 0

    def _step(self, now: float) -> None:
        self.program.step()
        self.host.tick += 1
        made = self.clock.now()
        self.keeper.stepped(made - now)
        self.effort.stepped(made - now)
        self.pace.stepped(made, self.speed)
        attend(self, now)

    def look_ahead(self) -> None:
        self.quiet = quiet.found(self)

    def step_quietly(self) -> bool:
        now = self.clock.now()
        self.effort.came(now - self.pace.due)
        self.program.step()
        self.host.tick += 1
        made = self.clock.now()
        self.keeper.stepped(made - now)
        self.effort.stepped(made - now)
        self.pace.stepped(made, self.speed)
        host = self.host
        if not (host.events or host.sends or host.finished):
            return True
        attend(self, now)
        return False

    def run_command(self, entry: Entry) -> tuple[Outcome, dict[str, Any]]:
        try:
            said: dict[str, Any] = {"result": self.program.apply(entry)}
            if self.program.setter.takes(entry.name):
                said["params_set"] = self.host.params_set
            return Outcome.APPLIED, said
        except LivesimError as exc:
            return Outcome.REFUSED, {"code": str(exc.code), "message": exc.message}
        except AUTHOR_ERRORS as exc:
            logger.exception("command failed run=%s epoch=%s command=%s", self.id, self.epoch, entry.name)
            return Outcome.REFUSED, {"code": str(Code.ERROR), "message": raised(exc)}
