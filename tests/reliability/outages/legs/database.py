"""The database gone for seconds and for a minute: runs wait where nobody can contradict them, and go on.

Nobody takes over anything: what is held stays held, under the epoch that it has.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError
from uuid import UUID

from django.db import DatabaseError, InterfaceError, connection

from django_livesim.models import Run, Worker
from django_livesim.protocol.names import Status
from django_livesim.runtime.horizon import AHEAD
from django_livesim.testing import wait_until
from tests.reliability.chaos.gateway import read
from tests.reliability.ledger_app.simulations import Slow
from tests.reliability.outages.found import Found
from tests.reliability.outages.servers import Servers
from tests.reliability.outages.stage import Stage

SOON = 5.0  # seconds after its return in which all runs go on
LATEST = 60.0  # seconds after which a run that does not is not waited for any more
LATE = 3  # ticks by which what was shown before may be older than what there was
SAID = 15.0  # seconds in which every page says why
SHORT = 5.0  # seconds of an outage that is over before all have noticed
CALM = 10.0  # seconds after one outage before the next
LINES = 5.0  # of the log a second, of one process, at most; what comes once a minute comes once
MINUTE = 60.0  # seconds
GROWTH = 24.0  # MB that a worker may have more at an outage's end than at its beginning
PAGE = 30.0  # seconds for a page, of which SQLite waits 20 for its lock

NOT_NOW = {"db_down", "busy"}
"""The codes of errors that ask for the same once more."""

LINE = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ (\d+) [A-Z]+ ")
OF_A_SENDER = re.compile(r"[a-z]+\d+-\d+: ")


def leg(servers: Servers, short: bool) -> Found:
    found = Found()
    runs, seconds = (40, 12.0) if short else (200, 60.0)
    with Stage(runs=runs, simulation=Slow.name, sending=runs // 5) as stage:
        wait_until(lambda: any(one.outcome for one in read(stage.workers.sent_file).values()), LATEST)
        if not short:
            _outage(servers, stage, found, SHORT, joined=False)
            time.sleep(CALM)
        _outage(servers, stage, found, seconds, joined=True)
        stage.tell("concluding")
        stage.conclude(found)
    return found


def _outage(servers: Servers, stage: Stage, found: Found, seconds: float, *, joined: bool) -> None:
    """One, with what must hold in it and after it; with `joined` one worker more is started meanwhile."""
    told = f"gone for {seconds:g} s"
    stage.tell(f"the database is {told}")
    before = _Before.of(stage)
    for person in stage.crowd.persons:
        person.errors.clear()
        person.reasons.clear()
    servers.database.gone()
    connection.close()
    gone_at = time.monotonic()
    late = stage.workers.start_worker() if joined else None
    pages = _Pages(stage, stage.runs[0].id)
    if seconds > SHORT:
        pages.look()
    _until(gone_at + min(seconds, SAID))
    if seconds > SHORT:
        silent = [person.name for person in stage.crowd.persons if not any(person.reasons)]
        found.must(not silent, f"{told}: {len(silent)} pages were not told why their run waits")
    _until(gone_at + seconds)
    memory = {pid: _memory(pid) - was for pid, was in before.memory.items()}
    lines = _lines(stage.workers.logged[before.logged :])
    ends_at = time.monotonic()
    servers.database.back()
    back_at = time.monotonic()
    stage.tell("the database is back")

    rows, seen = _go_on(stage, back_at)
    on = {run: max(rows[run], seen[run]) for run in rows.keys() & seen.keys()}
    for what, moments in (("runs went on", on), ("their rows moved", rows), ("viewers saw it", seen)):
        spread = _spread(moments.values(), len(stage.runs))
        found.figures[f"{told}: seconds until {what}, median / max"] = spread
    late_ones = [run for run in before.ticks if on.get(run, LATEST) > SOON]
    found.must(not late_ones, f"{told}: {len(late_ones)} runs did not go on within {SOON:g} s")
    _same_holders(stage, found, told, before)
    _at_rest(stage, found, told, gone_at, ends_at)
    _errors(stage, found, told)
    found.figures[f"{told}: lines logged, by process"] = str(sorted(lines.values()))
    for pid, count in lines.items():
        most = LINES * max(seconds, MINUTE)
        found.must(count <= most, f"{told}: process {pid} logged {count} lines in {seconds:g} s")
    found.figures[f"{told}: MB more in a worker, at most"] = f"{max(memory.values()):.1f}"
    found.must(max(memory.values()) < GROWTH, f"{told}: a worker has grown by {max(memory.values()):.0f} MB")
    found.figures[f"{told}: pages meanwhile"] = pages.figure
    found.missed += [f"{told}: {line}" for line in pages.missed]
    if late is not None:
        _joined(stage, found, told, late)


@dataclass(frozen=True, kw_only=True)
class _Before:
    """What there is before an outage."""

    ticks: dict[UUID, int]
    epochs: dict[UUID, tuple[UUID | None, int]]
    strikes: int
    adoptions: int
    memory: dict[int, float]
    logged: int

    @classmethod
    def of(cls, stage: Stage) -> _Before:
        pids = Worker.objects.exclude(state=Worker.State.GONE).values_list("pid", flat=True)
        return cls(
            ticks=dict(Run.objects.values_list("id", "tick")),
            epochs=_epochs(),
            strikes=sum(Run.objects.values_list("strikes", flat=True)),
            adoptions=stage.adoptions(),
            memory={pid: _memory(pid) for pid in pids},
            logged=len(stage.workers.logged),
        )


def _epochs() -> dict[UUID, tuple[UUID | None, int]]:
    return {run: (worker, epoch) for run, worker, epoch in Run.objects.values_list("id", "worker", "epoch")}


def _memory(pid: int) -> float:
    """Of a process, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _go_on(stage: Stage, back_at: float) -> tuple[dict[UUID, float], dict[UUID, float]]:
    """By run, the seconds until its tick had moved in its row, and at its viewer."""
    shown = {seen.run: max(frame.tick for frame in seen.frames) for seen in stage.seen}
    rows: dict[UUID, float] = {}
    seen: dict[UUID, float] = {}
    ticks: dict[UUID, int] = {}

    def moved() -> bool:
        for run, tick in _ticks().items():
            if tick > ticks.setdefault(run, tick):
                rows.setdefault(run, time.monotonic() - back_at)
        for each in stage.seen:
            if each.run not in seen:
                newer = (frame.at for frame in each.frames[-50:] if frame.tick > shown[each.run])
                if (at := next(newer, None)) is not None:
                    seen[each.run] = max(0.0, at - back_at)
        return len(rows) == len(seen) == len(stage.runs)

    with suppress(AssertionError):
        wait_until(moved, LATEST)
    return rows, seen


def _ticks() -> dict[UUID, int]:
    """Of the rows; none where the database does not answer yet."""
    try:
        return dict(Run.objects.values_list("id", "tick"))
    except (DatabaseError, InterfaceError):
        connection.close()
        return {}


def _spread(values: Iterable[float], of: int) -> str:
    found = sorted(values)
    if not found:
        return "none did"
    missing = f", {of - len(found)} never" if len(found) < of else ""
    return f"{statistics.median(found):.2f} / {found[-1]:.2f}{missing}"


def _same_holders(stage: Stage, found: Found, told: str, before: _Before) -> None:
    """Nobody has taken over anything, not from itself either, and nobody was blamed."""
    adopted = stage.adoptions() - before.adoptions
    found.figures[f"{told}: adoptions"] = str(adopted)
    found.must(adopted == 0, f"{told}: {adopted} adoptions")
    now = _epochs()
    moved = sum(now[run] != held for run, held in before.epochs.items())
    found.must(moved == 0, f"{told}: {moved} runs have another worker or epoch")
    statuses = Counter(Run.objects.values_list("status", flat=True))
    found.must(set(statuses) == {str(Status.RUNNING)}, f"{told}: not all run: {dict(statuses)}")
    strikes = sum(Run.objects.values_list("strikes", flat=True)) - before.strikes
    found.must(strikes == 0, f"{told}: {strikes} strikes")


def _at_rest(stage: Stage, found: Found, told: str, gone_at: float, ends_at: float) -> None:
    """Nobody is shown more than what was reserved before, until the database is back."""
    most = round(AHEAD * Slow.tick_rate) + LATE
    shown = []
    for seen in stage.seen:
        before = max((frame.tick for frame in seen.frames if frame.at <= gone_at), default=0)
        shown.append(max(frame.tick for frame in seen.frames if frame.at < ends_at) - before)
    found.figures[f"{told}: ticks shown meanwhile, at most"] = str(max(shown))
    beyond = sum(ticks > most for ticks in shown)
    found.must(beyond == 0, f"{told}: {beyond} runs were shown beyond their horizon, by {max(shown)} ticks")


def _errors(stage: Stage, found: Found, told: str) -> None:
    """What was not taken was refused with a code, and the request to send it once more."""
    errors = Counter(code for person in stage.crowd.persons for code in person.errors)
    found.figures[f"{told}: errors told to senders"] = str(dict(errors))
    found.must(set(errors) <= NOT_NOW, f"{told}: other errors than {NOT_NOW}: {dict(errors)}")
    hopeless = [one.ref for person in stage.crowd.persons for one in person.sent.values() if one.error]
    found.must(not hopeless, f"{told}: {len(hopeless)} commands were not to be sent again")


def _lines(text: str) -> Counter[str]:
    """How many lines each process has logged; a traceback belongs to the line before it."""
    lines: Counter[str] = Counter()
    pid = "?"
    for line in text.splitlines():
        if match := LINE.match(line):
            pid = match[1]
        if not OF_A_SENDER.match(line):
            lines[pid] += 1
    return lines


@dataclass
class _Pages:
    """What somebody gets who opens a page, or sends by a form, while the database is away."""

    stage: Stage
    run: UUID
    missed: list[str] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    def look(self) -> None:
        cookie = self.stage.crowd.persons[0]._cookie
        address = self.stage.workers.url.replace("ws:", "http:")
        for name, path in (("list", "/livesim/"), ("run", f"/livesim/runs/{self.run}/")):
            request = urllib.request.Request(address + path, headers={"Cookie": cookie})
            try:
                with urllib.request.urlopen(request, timeout=PAGE) as answer:
                    status, text = answer.status, answer.read().decode()
            except HTTPError as exc:
                status, text = exc.code, exc.read().decode()
            self.statuses[name] = status
            if status not in (200, 503) or "Traceback" in text:
                self.missed.append(f"the page {path} was answered {status}: {text[:200]}")

    @property
    def figure(self) -> str:
        return ", ".join(f"{name} {status}" for name, status in self.statuses.items()) or "none asked for"


def _joined(stage: Stage, found: Found, told: str, process: subprocess.Popen[bytes]) -> None:
    """A worker that was started meanwhile has waited."""
    try:
        wait_until(lambda: stage.workers.missing() == 0, LATEST)
    except AssertionError:
        found.must(False, f"{told}: a worker that was started meanwhile did not register")
    found.must(process.poll() is None, f"{told}: a worker that was started meanwhile has ended")
