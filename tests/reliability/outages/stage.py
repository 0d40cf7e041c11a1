"""What every leg has: runs on real workers, a web server, people who watch and send, and what was lost."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db.models import QuerySet
from django.test import Client

from django_livesim import gateway
from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from django_livesim.testing import wait_until
from tests.reliability.chaos import checks
from tests.reliability.chaos.checks import Findings
from tests.reliability.chaos.gateway import read
from tests.reliability.chaos.nemeses import holds_the_database
from tests.reliability.chaos.processes import START, Processes
from tests.reliability.chaos.records import Seen, Sent
from tests.reliability.chaos.sockets import Crowd, Person
from tests.reliability.outages.found import Found

BEGIN = 300.0  # seconds for everything to move at first; with a clock that is set, all is much slower
ANSWERED = 60.0  # seconds for everything that was sent to be answered
GAP = 1.0  # seconds between an answer and the next command of one person

STEADY = "steady"


class Workers(Processes):
    """The same processes, with `livesim_worker` as the workers: each a parent with its children."""

    def __init__(
        self,
        folder: Path,
        livesim: dict[str, Any],
        more: dict[str, str],
        *,
        size: int,
        options: Iterable[str],
        processes: int = 1,
        one: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(folder, livesim, more, size=size)
        self._options, self._processes = (*options, "--processes", str(processes)), processes
        self._one = one

    def start_worker(self) -> subprocess.Popen[bytes]:
        env = None if self.workers else self._one
        process = self._start("django", "livesim_worker", *self._options, env=env)
        self.workers.append(process)
        return process

    def missing(self) -> int:
        """Children that have not registered."""
        alive = Worker.objects.exclude(state=Worker.State.GONE).count()
        return max(0, len(self.workers) * self._processes - alive)

    @property
    def web_pid(self) -> int:
        return self._others["web"].pid

    @property
    def logged(self) -> str:
        """What all processes have said."""
        return (self.folder / "log").read_text(errors="replace")


class Stage:
    """Fresh runs, watched by one person each, who sends a command a second where `sending`.

    A context manager: entered, everything moves; left, every process is gone.
    One leg has one stage at a time, on an empty database.
    """

    def __init__(
        self,
        *,
        runs: int = 50,
        simulation: str = STEADY,
        sending: int | None = None,
        workers: int = 2,
        processes: int = 1,
        options: Iterable[str] = (),
        livesim: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        one: Mapping[str, str] | None = None,
    ) -> None:
        """`sending`: how many of the runs get commands, None: all; a tenth of those from the gateway too.

        `livesim` goes on top of the settings of every process, `env` on top of their environment, and
        `one` on top of that of the first worker alone, which takes half of the runs before others begin.
        """
        self._simulation, self._count = simulation, runs
        self._sending = runs if sending is None else sending
        self._size, self._processes, self._options = workers, processes, options
        self._livesim = {"CHECKPOINT_SECONDS": 2.0, "GRACE": 5.0} | dict(livesim or {})
        self._env = {"CHAOS_GAP": "0.5"} | dict(env or {})
        self._one = one

    def __enter__(self) -> Stage:
        self._folder = tempfile.TemporaryDirectory(prefix="livesim-outage-")
        self.workers = Workers(
            Path(self._folder.name),
            self._livesim,
            self._env,
            size=self._size,
            options=self._options,
            processes=self._processes,
            one=self._one,
        )
        self._watched = False
        try:
            self._begin()
        except BaseException:
            sys.stderr.write(self.workers.logged[-6000:])
            self._end()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is not None:
            sys.stderr.write(self.workers.logged[-6000:])
        self._end()

    def _end(self) -> None:
        if self._watched:
            self.crowd.stop()
        self.workers.close()
        self._folder.cleanup()

    def _begin(self) -> None:
        self.workers.start_web()
        self.workers.fill()
        self.workers.wait_for_web()
        self.runs = list(self._start_runs())
        model = get_user_model()
        numbers = itertools.count(1)
        users = (model.objects.create_user(f"person {number}") for number in numbers)
        self.crowd = Crowd(self._persons(users))
        self.crowd.start()
        self._watched = True
        through_gateway = self.runs[: max(1, self._sending // 10)] if self._sending else []
        if through_gateway:
            self.workers.start_senders(*(f"{run.id}:{next(users).pk}:plain" for run in through_gateway))
        self._has_senders = bool(through_gateway)
        wait_until(self._everything_moves, BEGIN)

    def _start_runs(self) -> Iterator[Run]:
        """Each worker gets the same number."""
        workers = list(_alive().values_list("id", flat=True))
        for place, worker in enumerate(workers):
            share = range(place, self._count, len(workers))
            with self.only(worker):
                yield from [gateway.start(self._simulation, seed=number) for number in share]
                wait_until(partial(self._has, worker, len(share)), START)

    @staticmethod
    def _has(worker: UUID, runs: int) -> bool:
        return Run.objects.filter(worker=worker).count() == runs

    @contextmanager
    def only(self, worker: UUID) -> Iterator[None]:
        """All others are stopped meanwhile: what is begun is this one's. It must take less than a lease."""
        pids = list(_alive().exclude(id=worker).values_list("pid", flat=True))
        _send_all(pids, signal.SIGSTOP)
        while holds_the_database():
            _send_all(pids, signal.SIGCONT)
            time.sleep(0.01)
            _send_all(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            _send_all(pids, signal.SIGCONT)

    def _persons(self, users: Iterator[Any]) -> list[Person]:
        persons = []
        for place, run in enumerate(self.runs):
            user, client = next(users), Client()
            client.force_login(user)
            cookie = f"sessionid={client.cookies['sessionid'].value}"
            window = int(place < self._sending)
            persons.append(
                Person(f"socket{user.pk}", run.id, self.workers.url, cookie, window=window, gap=GAP)
            )
        return persons

    def _everything_moves(self) -> bool:
        self.crowd.check()
        return all(
            person.seen.frames and (person.sent == {} or any(one.outcome for one in person.sent.values()))
            for person in self.crowd.persons
        )

    # while it goes on

    def tell(self, what: str) -> None:
        """Say how far the leg has come."""
        sys.stderr.write(f"  {time.strftime('%H:%M:%S')} {what}\n")

    @property
    def seen(self) -> list[Seen]:
        return [person.seen for person in self.crowd.persons]

    def stale(self, seconds: float = 2.0) -> list[UUID]:
        """The runs of the pages to which nothing has come for so long."""
        moment = time.monotonic() - seconds
        return [each.run for each in self.seen if not each.frames or each.frames[-1].at < moment]

    def shares(self) -> str:
        """How many runs each worker has."""
        return " and ".join(str(len(runs)) for runs in sorted(self._by_worker().values(), key=len))

    def _by_worker(self) -> dict[UUID, list[UUID]]:
        found: dict[UUID, list[UUID]] = {}
        for run, worker in Run.objects.filter(id__in=[run.id for run in self.runs]).values_list(
            "id", "worker"
        ):
            found.setdefault(worker, []).append(run)
        return found

    def adoptions(self) -> int:
        """How often the runs have been taken up by a worker since they began."""
        return sum(epoch - 1 for epoch in Run.objects.values_list("epoch", flat=True) if epoch)

    @staticmethod
    def longest_gap(seen: Seen, since: float, until: float) -> float:
        """The longest time without a frame, in seconds, of what overlaps with these moments."""
        moments = [frame.at for frame in seen.frames]
        between = [at for at in moments if since <= at <= until]
        before = max((at for at in moments if at < since), default=since)
        after = min((at for at in moments if at > until), default=until)
        points = [before, *between, after]
        return max(later - at for at, later in itertools.pairwise(points))

    # what was found

    def conclude(self, found: Found, *, running: bool = True) -> None:
        """Nobody sends anything new, everything sent is answered; nothing is lost, doubled or out of order.

        `running`: every run must be running still.
        """
        self.crowd.leave()
        self.workers.senders_leave()
        with suppress(AssertionError):  # what is not answered is found below
            wait_until(lambda: self.crowd.answered and self._senders_have_left, ANSWERED)
        self.crowd.check()
        findings = Findings()
        sent = [one for person in self.crowd.persons for one in person.sent.values()]
        sent += read(self.workers.sent_file).values()
        for run in self.runs:
            self._conclude_run(run.id, [one for one in sent if one.run == run.id], findings, running)
        frames = checks.check_seen(self.seen, True, findings)
        accepted = sum(one.accepted_at is not None or bool(one.outcome) for one in sent)
        found.count("commands sent", len(sent))
        found.count("commands acknowledged", accepted)
        found.count("lost, doubled, out of order, told wrongly", sum(findings.counts.values()))
        found.count("frames seen", frames)
        found.missed += [f"{count} {word}" for word, count in findings.counts.items()]
        found.lines += findings.lines
        found.must(self._sending == 0 or accepted > 0, "no command was acknowledged")
        found.must(frames > 0, "nobody saw a frame")

    @property
    def _senders_have_left(self) -> bool:
        return not self._has_senders or self.workers.senders_have_left

    def _conclude_run(self, run: UUID, sent: list[Sent], findings: Findings, running: bool) -> None:
        refs = checks.check_state(run, findings)
        checks.check_commands(run, refs, sent, findings)
        row = Run.objects.get(id=run)
        if running and row.status != Status.RUNNING:
            findings.add("not running", f"{str(run)[:8]} is {row.status}: {row.reason} {row.error}")


def _alive() -> QuerySet[Any]:
    return Worker.objects.exclude(state=Worker.State.GONE)


def _send_all(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        send(pid, number)


def send(pid: int, number: signal.Signals) -> bool:
    """Whether there is such a process."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
        return True
    return False
