"""A worker's parts, put together: supervisor, ledger, outlet, doorbell."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings as django_settings
from django.db import close_old_connections

from django_livesim import conf, params, registry
from django_livesim.bus import volatile
from django_livesim.bus.layers import get_layer
from django_livesim.bus.publisher import Publisher
from django_livesim.bus.seldom import Seldom
from django_livesim.protocol.names import RUNS_CHANNEL, VOLATILE
from django_livesim.protocol.records import Poll
from django_livesim.runtime.clock import MonotonicClock
from django_livesim.runtime.loops import LoopThread
from django_livesim.runtime.ports import Definition, Options
from django_livesim.runtime.supervisor import Supervisor
from django_livesim.simulation import CommandSpec
from django_livesim.worker.alarm import Alarm
from django_livesim.worker.announcer import Announcer
from django_livesim.worker.audience import Audience
from django_livesim.worker.doorbell import Doorbell
from django_livesim.worker.ledger import Ledger
from django_livesim.worker.loads import Loads, Since
from django_livesim.worker.notes import Notes
from django_livesim.worker.outlet import Outlet
from django_livesim.worker.own_run import OwnRun

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

LEAVE = 5.0  # seconds for the last writes and messages after the runs are let go


class Catalogue:
    """Implements `runtime.ports.Catalogue` with the registry and the forms of this process."""

    def find(self, name: str) -> Definition:
        return registry.get(name)

    def bind_params(self, definition: Definition, given: dict[str, Any]) -> dict[str, Any]:
        return params.bind_stored(params.form_class(definition), given)

    def live(self, definition: Definition) -> Collection[str]:
        return params.live(definition)

    def bind_args(self, spec: CommandSpec, args: dict[str, Any]) -> dict[str, Any]:
        return params.bind(params.form_class(spec), args)


def _rates(message: dict[str, Any]) -> dict[str, float]:
    """By role, how many frames a second a sign of interest asks for; hubs of a former version do not say."""
    rates = message.get("rates")
    return {str(role): float(fps) for role, fps in rates.items()} if isinstance(rates, dict) else {}


def options() -> Options:
    """The runtime's options, from the settings."""
    return Options(
        frame_rate=conf.settings.FRAME_RATE,
        report_every=conf.settings.REPORT_EVERY,
        checkpoint_seconds=conf.settings.CHECKPOINT_SECONDS,
        max_state_bytes=conf.settings.MAX_STATE_BYTES,
        always_check_state=django_settings.DEBUG,
        poll=conf.settings.POLL,
        grace=conf.settings.GRACE,
        step_timeout=conf.settings.STEP_TIMEOUT,
    )


class Engine:
    """One worker. `run` is its step thread: whichever thread calls it."""

    def __init__(
        self,
        *,
        queues: Iterable[str] = ("default",),
        max_runs: int | None = None,
        ledger: Callable[..., Ledger] = Ledger,
        loops: LoopThread | None = None,
        notes: Notes | None = None,
        run: UUID | None = None,
    ) -> None:
        """It claims runs of `queues`, at most `max_runs`; with none, only what its `ledger` claims.

        `notes` is the map that it shares with its parent, where it has one. With `run` it is there for that
        one alone.
        """
        get_layer()  # its module imported before there are threads, lest two import it at once
        self.publisher = Publisher()
        queues = list(queues)
        self.doorbell = Doorbell(self.hear, shared=[RUNS_CHANNEL] if queues and run is None else [])
        self.announcer = Announcer()
        self.audience = Audience()
        unshared = Since()
        self.ledger = (ledger if run is None else partial(OwnRun, run=run))(
            queues=queues,
            max_runs=max_runs,
            registered=self.doorbell.listen,
            load=self._load,
            tell=self.announcer.tell,
            freed=self.doorbell.ring,
            notes=notes,
        )
        self._alarm = None if notes is None else Alarm(notes.steps)
        self.told = False
        """Whether it leaves because its row has told it to."""
        self.supervisor = Supervisor(
            clock=MonotonicClock(),
            ledger=self.ledger,
            outlet=Outlet(self.publisher),
            catalogue=Catalogue(),
            options=options(),
            tidy=close_old_connections,
            hears=self.doorbell.hears,
            leased=self.ledger.leased,
            loops=loops or LoopThread(None if notes is None else notes.loops),
            watch=self._alarm or unshared,
            spoiled=self._spoiled,
        )
        noted = unshared.noted if notes is None else notes.noted
        runners, lateness = self.supervisor.runners, self.supervisor.lateness
        self.loads = Loads(runners, lateness, noted, self.audience.count)

    def run(self) -> None:
        """Step runs until `drain`, then store them, give them up and return."""
        self.publisher.start()
        self.ledger.start(self.supervisor.post, self._dead, self._told_to_leave)
        try:
            self.supervisor.run()
        finally:
            self.doorbell.stop()
            self.ledger.stop(LEAVE)
            self.announcer.stop(LEAVE)
            self.publisher.stop(LEAVE)

    def drain(self, grace: float | None = None) -> None:
        """Begin to leave; loops have `grace` seconds to end their tick. Any thread, and signal handlers."""
        self.supervisor.post(self.doorbell.deafen)
        self.supervisor.drain(grace)

    def _told_to_leave(self) -> None:
        self.told = True
        self.drain()

    def _spoiled(self) -> None:
        """The supervisor leaves: code was broken off. What is hung by that must not keep the process."""
        if self._alarm is not None:
            self._alarm.end_in(math.ceil(conf.settings.GRACE + LEAVE))
        self.supervisor.post(self.doorbell.deafen)

    def hear(self, message: dict[str, Any]) -> None:
        """A doorbell message. Any thread."""
        if message["type"] == "livesim.ring":
            self.supervisor.ring()
        elif message["type"] == "livesim.interest":
            run, roles = UUID(hex=message["run"]), [str(role) for role in message["roles"]]
            if message["viewers"] > 0:
                hub, rates = str(message.get("hub", "")), _rates(message)
                self.audience.tell(run, hub, int(message["viewers"]))
                self.supervisor.interest(run, roles, bool(message["keyframe"]), hub=hub, rates=rates)
        elif message["type"] == VOLATILE:
            try:
                self.supervisor.volatile(*volatile.decode(message))
            except ValueError as exc:
                seldom.warning("A message was dropped: %s", exc)

    def _dead(self) -> None:
        self.supervisor.take(Poll(dead=True))

    def _load(self) -> dict[str, Any]:
        """What a beat tells."""
        unsent = {"dropped": self.publisher.dropped, "too_large": self.publisher.refused}
        return {**self.loads.tell(), "unsent": unsent}
