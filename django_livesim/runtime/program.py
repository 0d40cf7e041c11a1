"""An author's own loop as its runner asks it, whatever thread the loop has.

The loop and the step thread take turns: while the loop is *away* (in the
author's code) only it touches the state; from the moment it sleeps until it
is advanced, only the step thread does.
"""

from __future__ import annotations

import logging
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from django_livesim.jobs import Job
from django_livesim.protocol.errors import Code, LivesimError, raised
from django_livesim.protocol.records import Entry
from django_livesim.runtime.messages import Message, Settled
from django_livesim.runtime.ports import Catalogue
from django_livesim.runtime.setting import Setter
from django_livesim.runtime.taking_up import upgraded
from django_livesim.simulation import Host, Hosted, Loop

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The loop's function is over: returned, raised (`error` is the traceback) or was ended."""

    result: Any = None
    error: str = ""
    reason: str = ""
    exited: bool = False


class LoopSim(Hosted):
    """`sim`: what an own loop holds of its run.

    `state` is the run's dict. `resumed` is True where the function is called
    again from the top with the state of the last checkpoint.
    """

    def __init__(self, program: LoopProgram) -> None:
        self._program = program
        self._host = program.host
        self.state: dict[str, Any] = {}
        self.resumed = False

    def messages(self) -> Iterator[Message]:
        """What has come since the last look, in order. New ones become available in `sleep` only."""
        return self._program.messages()

    def report(self) -> None:
        """Send the state, as it is at the next `sleep`, to everyone watching."""
        self._program.reports = True

    def sleep(self, seconds: float) -> Any:
        """End this tick and go on `seconds` of simulated time later. Await it in an `async def` loop."""
        return self._program.sleep(seconds)

    def view(self, role: str) -> dict[str, Any]:
        """What viewers see where the loop declares no view."""
        return self.state


class LoopProgram:
    """The turn-taking that blocking and async loops share."""

    def __init__(
        self,
        definition: Loop,
        host: Host,
        catalogue: Catalogue,
        post: Callable[..., None],
        arrived: Callable[[float], None],
        finished: Callable[[Finished], None],
        *,
        epoch: int,
        limit: float = 0.0,
        sim_class: Callable[[LoopProgram], LoopSim | Job] = LoopSim,
    ) -> None:
        """`limit`: seconds that its code may take before it waits or sleeps, where that is watched."""
        self.definition = definition
        self.host = host
        self.epoch = epoch
        self.limit = limit
        self.catalogue = catalogue
        self.setter = Setter(definition, catalogue)
        host.bind = partial(catalogue.bind_params, definition)
        self._post = post
        self._arrived = arrived
        self._finished = finished
        self.sim = sim_class(self)
        self.reports = False
        self.settled: list[Settled] = []
        self.abandoned = False
        """Whether the run was let go while the loop was away: what its code does then is not kept."""
        self._closing = False
        self._mailbox: deque[Message] = deque()
        self._current: Message | None = None
        self._params: dict[str, Any] = {}

    def begin(self, state: dict[str, Any] | None, version: int) -> None:
        """Take up a state that `version` has stored. The function itself starts at the first `advance`."""
        self._params = self.catalogue.bind_params(self.definition, self.host.present_params)
        if state is not None:
            definition = self.definition
            self.sim.state = upgraded(definition, state, version, definition.upgrade_function)
            self.sim.resumed = True

    def advance(self, entries: Iterable[Entry]) -> None:
        """Hand over messages and the state, and let the loop go on. Step thread only."""
        self._mailbox.extend(Message(entry) for entry in entries)
        self._go()

    def take_settled(self) -> list[Settled]:
        """The messages moved past since the last call. Step thread only, while the loop sleeps."""
        settled, self.settled = self.settled, []
        return settled

    def take_report(self) -> bool:
        wanted, self.reports = self.reports, False
        return wanted

    def dump(self) -> dict[str, Any]:
        return self.sim.state

    def view(self, role: str) -> dict[str, Any]:
        function = self.definition.view_function
        return self.sim.view(role) if function is None else function(self.sim, role)

    def metrics(self) -> dict[str, float]:
        function = self.definition.metrics_function
        if function is None:
            return {}
        with self.host.aside():
            return function(self.sim)

    def messages(self) -> Iterator[Message]:
        self._settle()
        while self._mailbox:
            message = self._take()
            if message is not None:
                yield message
            self._settle()

    def _take(self) -> Message | None:
        """The next message, with what was declared for it done; None where the loop need not see it."""
        message = self._current = self._mailbox.popleft()
        return message if self._handle(message) else None

    def close(self) -> None:
        """Ask the loop to end: its sleep raises. `finished` is posted when it has."""
        if not self._closing:
            self._closing = True
            self._close()

    def _close(self) -> None:
        raise NotImplementedError

    def sleep(self, seconds: float) -> Any:
        raise NotImplementedError

    def passing(self) -> Any:
        """No sleep, but an end where one was asked for; to be awaited where `sleep` is."""
        raise NotImplementedError

    def _go(self) -> None:
        raise NotImplementedError

    def _handle(self, message: Message) -> bool:
        """Run the declared function, if there is one. False where it declined, and for `set`."""
        spec = self.definition.commands.get(message.name)
        if spec is None and not self.setter.takes(message.name):
            return True
        try:
            if spec is None:
                message.params_set = self.setter.set(self.sim, message.args)
                return False
            result = spec.function(self.sim, **self.catalogue.bind_args(spec, message.args))
            if result is not None:
                message.reply(result)
        except LivesimError as exc:
            message.refuse(exc.message, exc.code)
        except Exception as exc:
            run, epoch = self.host.run.id, self.epoch
            logger.exception("command failed run=%s epoch=%s command=%s", run, epoch, message.name)
            message.refuse(raised(exc), Code.ERROR)
        return message._refused is None

    def _settle(self) -> None:
        if self._current is not None:
            self.settled.append(self._current.settled())
            self._current = None

    def _end_tick(self, seconds: float) -> float:
        """Close the tick: what has a declared function, and `set`, does not wait for the loop to ask."""
        if not seconds >= 0:
            raise ValueError(f"sim.sleep() takes seconds of 0 or more; got {seconds!r}")
        self._settle()
        while self._mailbox and (self.definition.commands or self.setter.takes(self._mailbox[0].name)):
            self._take()
            self._settle()
        return float(seconds)

    def _over(self, finished: Finished) -> None:
        if finished.error and self._current is not None:
            self._current.refuse(f"While it was handled, {finished.reason}.", Code.ERROR)
        self._settle()
        self._post(self._finished, finished)


def failure(exc: BaseException) -> Finished:
    """The end of a loop whose code raised."""
    error = "".join(traceback.format_exception(exc))
    return Finished(error=error, reason=f"its code raised {type(exc).__name__}")
