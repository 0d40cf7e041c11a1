"""One leg: fresh runs, people who send and watch, a plan of nemeses, and what was found."""

from __future__ import annotations

import itertools
import math
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from django.contrib.auth import get_user_model
from django.test import Client

from django_livesim import gateway
from django_livesim.models import Command, Run
from django_livesim.protocol.names import Status
from django_livesim.testing import wait_until
from tests.reliability.chaos import audit, checks
from tests.reliability.chaos.checks import Findings
from tests.reliability.chaos.gateway import read
from tests.reliability.chaos.nemeses import Nemeses
from tests.reliability.chaos.processes import WORKERS, Processes
from tests.reliability.chaos.records import Death, Seen, Sent
from tests.reliability.chaos.sockets import GAP, Crowd, Person
from tests.reliability.chaos.takeovers import Signs

BEGIN = 40.0  # seconds for everything to be there
TAKEN = 15.0  # seconds beyond its limit for an heir, before the leg gives up
QUIET = 30.0  # seconds for everything that was sent to be answered

numbers = itertools.count(1)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What happens in a leg, and under which settings."""

    name: str
    steps: tuple[str, ...]
    ttl: float = 3.0
    beat: float = 0.5
    simulations: tuple[str, ...] = ("ledger", "ledger", "ledger_loop", "ledger_thread")
    gap: float | None = None
    """Seconds between two commands of one sender, where they are not to be as quick as they can."""
    quiet: float = QUIET
    without: str = ""
    """The safeguard that its workers go without."""
    workers: int = WORKERS


@dataclass
class Result:
    """What a leg has found."""

    plan: Plan
    findings: Findings = field(default_factory=Findings)
    deaths: list[Death] = field(default_factory=list)
    others: int = 0
    busy: int = 0
    """Kills with commands in flight to what was killed."""
    sent: int = 0
    accepted: int = 0
    takeovers: list[tuple[Death, float]] = field(default_factory=list)
    unseen: int = 0
    """Takeovers of which nothing was seen."""
    frames: int = 0
    hashes: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class Leg:
    """Its parts live from `run`'s beginning to its end."""

    def __init__(self, plan: Plan, rng: Random, logs: Path | None = None) -> None:
        """`logs` is a folder for what the processes have logged."""
        self._plan, self._rng, self._logs = plan, rng, logs
        self._result = Result(plan)
        self._number = next(numbers)
        self._began = time.monotonic()

    def run(self) -> Result:
        with (
            tempfile.TemporaryDirectory(prefix="livesim-chaos-") as folder,
            self._processes(folder) as processes,
        ):
            try:
                self._run(processes)
            except BaseException:
                sys.stderr.write((Path(folder) / "log").read_text()[-6000:])
                raise
            finally:
                if self._logs:
                    shutil.copy(Path(folder) / "log", self._logs / f"{self._number} {self._plan.name}.log")
        self._result.seconds = time.monotonic() - self._began
        for line in self._result.findings.lines:
            sys.stderr.write(f"         {line}\n")
        self._tell(f"{self._result.sent} sent, {self._result.frames} seen, {self._result.hashes} compared")
        return self._result

    @contextmanager
    def _processes(self, folder: str) -> Iterator[Processes]:
        settings = {
            "LEASE_TTL": self._plan.ttl,
            "STRIKES": 1000,  # nobody has so many workers killed otherwise, without coming to a state
            "BEAT": self._plan.beat,
            "CHECKPOINT_SECONDS": 1.0,
            "KEEP_CHECKPOINTS": 100_000,
            "GRACE": 5.0,
        }
        more = {"CHAOS_WITHOUT": self._plan.without}
        if self._plan.gap:
            more["CHAOS_GAP"] = str(self._plan.gap)
        processes = Processes(Path(folder), settings, more, size=self._plan.workers)
        try:
            yield processes
        finally:
            processes.close()

    # from the beginning to the end

    def _run(self, processes: Processes) -> None:
        audit.take()
        self._runs = [
            gateway.start(name, name=f"leg {self._number}", seed=self._number * 100 + place)
            for place, name in enumerate(self._plan.simulations)
        ]
        users = self._users(len(self._runs) * 4 + 1)
        crowd = Crowd(self._persons(processes.url, users))
        senders = tuple(self._senders(users))
        nemeses = Nemeses(processes, self._rng, self._plan.ttl, senders)
        processes.start_web()
        processes.fill()
        processes.wait_for_web()
        crowd.start()
        processes.start_senders(*senders)
        try:
            wait_until(lambda: self._everything_moves(crowd, processes), BEGIN)
            for number, step in enumerate(self._plan.steps, 1):
                self._step(number, step, nemeses, processes)
                crowd.check()
            self._quiet(crowd, processes)
        finally:
            crowd.stop()
        self._conclude(crowd, processes, nemeses)

    def _users(self, count: int) -> Iterator[Any]:
        model = get_user_model()
        return iter([model.objects.create_user(f"{self._number}-{each}") for each in range(count)])

    def _persons(self, url: str, users: Iterator[Any]) -> list[Person]:
        """For each run one who sends, and one who only watches."""
        persons = []
        for run, window in itertools.product(self._runs, (2, 0)):
            user, client = next(users), Client()
            client.force_login(user)
            cookie = f"sessionid={client.cookies['sessionid'].value}"
            persons.append(
                Person(f"socket{user.pk}", run.id, url, cookie, window=window, gap=self._plan.gap or GAP)
            )
        return persons

    def _senders(self, users: Iterator[Any]) -> Iterator[str]:
        for run in self._runs:
            yield f"{run.id}:{next(users).pk}:plain"
            yield f"{run.id}:{next(users).pk}:patient"
        yield f"{self._runs[0].id}:{next(users).pk}:slow"

    def _everything_moves(self, crowd: Crowd, processes: Processes) -> bool:
        crowd.check()
        if processes.senders_have_left:
            raise RuntimeError("the senders have ended")
        applied = Command.objects.filter(run__in=self._runs).exclude(outcome="")
        moving = {each.seen.run for each in crowd.persons if each.seen.frames}
        return len(moving) == len(self._runs) == applied.values("run").distinct().count()

    def _step(self, number: int, step: str, nemeses: Nemeses, processes: Processes) -> None:
        known = len(nemeses.deaths)
        nemeses.do(step)
        processes.begin_missing()
        for death in nemeses.deaths[known:]:
            self._wait_for_heirs(death)
        for run in self._runs:
            checks.check_state(run.id, self._result.findings)
        checks.check_zombies(self._result.findings)
        processes.fill()
        self._tell(f"{number}/{len(self._plan.steps)} {step}")

    def _wait_for_heirs(self, death: Death) -> None:
        """Until each of its runs has a later epoch, and an outcome in it."""
        limit = TAKEN + (death.limit if death.limit < TAKEN else self._plan.ttl)
        with suppress(AssertionError):  # what is not taken over counts as unseen, or as lost
            wait_until(lambda: all(self._is_taken(run, epoch) for run, epoch in death.runs.items()), limit)

    @staticmethod
    def _is_taken(run: Any, epoch: int) -> bool:
        newest = Command.objects.filter(run=run, apply_seq__isnull=False).order_by("-apply_seq")
        return (newest.values_list("epoch", flat=True).first() or 0) > epoch

    def _tell(self, what: str) -> None:
        bad = sum(self._result.findings.counts.values())
        seconds = time.monotonic() - self._began
        sys.stderr.write(f"  {seconds:5.0f} s  {self._plan.name}: {what}{f'  {bad} BAD' if bad else ''}\n")

    def _quiet(self, crowd: Crowd, processes: Processes) -> None:
        """Nobody sends anything new, and everything sent gets its answer."""
        crowd.leave()
        processes.senders_leave()
        with suppress(AssertionError):  # what is not answered is found below
            wait_until(lambda: crowd.answered and processes.senders_have_left, self._plan.quiet)

    # what was found

    def _conclude(self, crowd: Crowd, processes: Processes, nemeses: Nemeses) -> None:
        result, seen = self._result, [person.seen for person in crowd.persons]
        sent = [one for person in crowd.persons for one in person.sent.values()]
        sent += read(processes.sent_file).values()
        for run in self._runs:
            self._conclude_run(
                Run.objects.get(id=run.id),
                [one for one in sent if one.run == run.id],
                [each for each in seen if each.run == run.id],
            )
        checks.check_zombies(result.findings)
        signs = Signs(seen, sent)
        result.deaths, result.others = nemeses.deaths, nemeses.others
        for death in result.deaths:
            for run, seconds in signs.taken(death).items():
                self._note_takeover(death, str(run)[:8], seconds)
        result.busy = sum(
            any(one.in_flight(death.at) for one in sent if one.run in death.runs)
            for death in result.deaths
            if death.killed
        )
        result.sent = len(sent)
        result.accepted = sum(one.accepted_at is not None for one in sent)
        for person in crowd.persons:
            result.errors.update(person.errors)
            for reason in person.reasons:
                if "not alike" in reason:
                    result.findings.add("hashes differ", f"{person.name}: {reason}")

    def _note_takeover(self, death: Death, run: str, seconds: float | None) -> None:
        result, what = self._result, f"{death.nemesis} {death.point}".strip()
        if seconds is None and death.limit == math.inf:
            return  # it held the one lock there is, so that nobody else could: its runs may stay its own
        if seconds is None:
            result.unseen += 1
            result.findings.lines.append(f"no heir seen: {result.plan.name}: {what}: {run}")
            return
        result.takeovers.append((death, seconds))
        if seconds > death.limit:
            late = f"{seconds:.2f} s, more than {death.limit:g}, {death.at - self._began:.1f} s into the leg"
            result.findings.lines.append(f"late: {result.plan.name}: {what}: {run} after {late}")

    def _conclude_run(self, run: Run, sent: list[Sent], seen: list[Seen]) -> None:
        findings, deterministic = self._result.findings, run.simulation == checks.LEDGER
        refs = checks.check_state(run.id, findings)
        checks.check_commands(run.id, refs, sent, findings)
        self._result.frames += checks.check_seen(seen, deterministic, findings)
        if run.status != Status.RUNNING:
            findings.add("lost", f"the run {str(run.id)[:8]} is {run.status}: {run.reason} {run.error}")
        gateway.stop(run, wait=True)
        if deterministic:
            until = Run.objects.get(id=run.id).tick
            self._result.hashes += checks.check_replay(run, until, seen, findings)
        else:
            checks.check_against_journal(seen, refs, findings)
