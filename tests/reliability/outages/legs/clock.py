"""Clocks that are set by a day, ahead and back, while everything goes on: nothing happens.

Clocks that only grow are not touched, as they are not when a real clock is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.test import Client

from django_livesim.models import Command, Run, Worker
from django_livesim.protocol.loads import load_of
from django_livesim.testing import wait_until
from tests.reliability.outages.asking import Asked, Asker
from tests.reliability.outages.clocks import DAY, Clock, library
from tests.reliability.outages.found import Found
from tests.reliability.outages.servers import PostgreSQL, Servers
from tests.reliability.outages.stage import Stage

NOW, AHEAD, BACK = 0, DAY, -DAY  # seconds
NAMES = {NOW: "+0", AHEAD: "+1d", BACK: "-1d"}
LATER = 1.0  # seconds by which frames may be late beyond what they were;
LATER_SHORT = 5.0  # in the short form, which is to work beside anything else
PROMPT = 1.5  # seconds by which a delayed command may be late, on this machine;
PROMPT_SHORT = 8.0
DELAYS = (3.0, 8.0)  # seconds: one that its worker knows of when the clock is set, and one that it does not
SPINS = 0.3  # share of a core that a process may take beyond twice what it took
HOUR = 3600.0
AGE = 6.0  # seconds that a worker's last beat may be old


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Whose clocks are set together, and whether that of the database is among them."""

    name: str
    clocks: Iterable[Clock]
    database: bool
    """Whether the clock by which commands are due is among them."""
    all_workers: bool = True
    """Whether all workers have the same clock as the web server, whose page tells how old their beats are."""


def leg(servers: Servers, short: bool) -> Found:
    found = Found()
    with tempfile.TemporaryDirectory(prefix="livesim-clocks-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL may run as another user
        if (preloaded := library(Path(folder))) is None:
            missing = "no C compiler (cc)"
            sys.stderr.write(f"skipped: {missing}\n")
            found.figures["skipped"] = missing
            found.must("cc" not in os.environ.get("LIVESIM_REQUIRE", "").split(","), missing)
            return found
        every, one, server = (Clock(Path(folder, name), preloaded) for name in ("every", "one", "server"))
        if on_server := isinstance(servers.database, PostgreSQL):
            connections.close_all()
            servers.database.stop()
            servers.database.start(env=server.env)
        settings = [
            Setting(name="all processes", clocks=[every, one], database=not on_server),
            Setting(name="one worker", clocks=[one], database=not on_server, all_workers=on_server),
        ]
        if on_server:
            settings.append(Setting(name="the database", clocks=[server], database=True))
            settings.append(Setting(name="the whole host", clocks=[every, one, server], database=True))
        runs = 10 if short else 50
        with (
            Stage(runs=runs, env=every.env, one=one.env) as stage,
            Asker(stage) as asker,
        ):
            for setting in settings[-2:] if short else settings:
                _Watched(stage, asker, found, setting, short).set_and_back(hold=3.0 if short else 12.0)
            stage.conclude(found)
            _check_log(stage, found)
    return found


@dataclass(frozen=True, kw_only=True)
class State:
    """What must not change while clocks are set."""

    runs: dict[UUID, tuple[Any, ...]]
    workers: dict[UUID, str]
    rows: int
    """Commands stored: they become more, and never fewer."""

    @classmethod
    def now(cls) -> State:
        columns = ("id", "epoch", "worker", "status", "reason", "adoptions", "unproven", "strikes")
        return cls(
            runs={run: tuple(rest) for run, *rest in Run.objects.values_list(*columns)},
            workers=dict(Worker.objects.values_list("id", "state")),
            rows=Command.objects.count(),
        )


class _Watched:
    """Sets the clocks of one `Setting`, and looks at what comes of it."""

    def __init__(self, stage: Stage, asker: Asker, found: Found, setting: Setting, short: bool) -> None:
        self._later = LATER_SHORT if short else LATER
        self._prompt = PROMPT_SHORT if short else PROMPT
        self._stage, self._asker, self._found, self._setting = stage, asker, found, setting
        self._health = _Health(stage)
        self._last = len(stage.runs) - 1

    def set_and_back(self, hold: float) -> None:
        self._before = State.now()
        began, used = time.monotonic(), self._cpu()
        time.sleep(hold)
        until = time.monotonic()
        self._gap = self._worst_gap(began, until)
        self._share = self._shares(used, until - began)
        self._again("first")
        for offset in (AHEAD, BACK):
            asked = self._ask_for_later(offset)
            since = time.monotonic()
            self._set(offset, hold)
            held = time.monotonic() - since
            self._set(NOW, hold)
            self._check_delays(offset, asked, held)
        self._again("last")

    def _set(self, offset: int, hold: float) -> None:
        name = f"{self._setting.name} {NAMES[offset]}"
        self._stage.tell(name)
        began, used = time.monotonic(), self._cpu()
        for clock in self._setting.clocks:
            clock.set(offset)
        self._check_set(name, offset)
        time.sleep(hold)
        until = time.monotonic()
        self._stage.crowd.check()
        self._check_frames(name, self._worst_gap(began, until))
        self._check_shares(name, self._shares(used, until - began))
        self._check_rows(name)
        self._check_loads(name)
        if self._setting.all_workers:
            self._check_health(name)
        self._again(NAMES[offset])

    def _check_set(self, name: str, offset: int) -> None:
        """What a process is told that is started now, and what the database says."""
        ask = [sys.executable, "-c", "import time; print(time.time())"]
        told = [
            float(subprocess.check_output(ask, env=os.environ | clock.env)) for clock in self._setting.clocks
        ]
        if self._setting.database and connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
                told.append(cursor.fetchone()[0])
        wrong = [each - time.time() - offset for each in told]
        self._found.must(all(abs(each) < HOUR for each in wrong), f"{name}: clocks are {wrong} s from that")

    # frames

    def _worst_gap(self, since: float, until: float) -> float:
        return max(self._stage.longest_gap(seen, since, until) for seen in self._stage.seen)

    def _check_frames(self, name: str, gap: float) -> None:
        late = max(0.0, gap - self._gap)
        self._found.figures[f"{name}: frames late by at most"] = f"{late:.2f} s ({gap:.2f} s without one)"
        self._found.must(late < self._later, f"{name}: {gap:.2f} s without a frame, {self._gap:.2f} s before")

    # rows

    def _check_rows(self, name: str) -> None:
        now, before = State.now(), self._before
        changed = [run for run, row in now.runs.items() if row != before.runs[run]]
        told = f"{now.runs[changed[0]]}, was {before.runs[changed[0]]}" if changed else ""
        self._found.must(not changed, f"{name}: {len(changed)} runs changed hands or status: {told}")
        self._found.must(
            now.workers == before.workers, f"{name}: workers {before.workers}, now {now.workers}"
        )
        self._found.must(now.rows >= before.rows, f"{name}: {before.rows - now.rows} commands fewer")
        reasons = {reason for person in self._stage.crowd.persons for reason in person.reasons} - {""}
        self._found.must(not reasons, f"{name}: pages said {reasons}")

    def _check_loads(self, name: str) -> None:
        for worker in Worker.objects.filter(state=Worker.State.ALIVE):
            load = worker.load
            told = {key: load.get(key) for key in ("cpu", "late", "stepping")}
            sane = 0 <= load["cpu"] < 1.5 and 0 <= (load["late"] or 0.0) < 2 and not load["stepping"]
            each = [
                load_of(load, run) for run in Run.objects.filter(worker=worker).values_list("id", flat=True)
            ]
            wrong = [one for one in each if one and not (0 <= one.cpu < 1.5 and 0 <= one.behind < 2)]
            self._found.must(sane and not wrong, f"{name}: a worker tells {told} {wrong[:1]}")

    def _check_health(self, name: str) -> None:
        """Ages are right again with the next beat."""
        told = self._health.workers()
        ages = [worker["beat_age"] for worker in told["each"]]
        self._found.must(
            told["silent"] == 0 and all(-1 <= age <= AGE for age in ages),
            f"{name}: livesim/health/ tells {told['silent']} silent workers, beats {ages} s ago",
        )

    # processor time

    def _cpu(self) -> dict[int, float]:
        """By process, seconds of all its threads: the children, and their parents."""
        children = Worker.objects.filter(state=Worker.State.ALIVE).values_list("pid", flat=True)
        return {pid: _cpu_of(pid) for pid in [*children, *(each.pid for each in self._stage.workers.workers)]}

    def _shares(self, before: dict[int, float], seconds: float) -> dict[int, float]:
        return {pid: (used - before[pid]) / seconds for pid, used in self._cpu().items() if pid in before}

    def _check_shares(self, name: str, shares: dict[int, float]) -> None:
        self._found.figures[f"{name}: busiest process"] = (
            f"{max(shares.values()):.0%} of a core ({max(self._share.values()):.0%} before)"
        )
        for pid, share in shares.items():
            before = self._share.get(pid, 0.0)
            self._found.must(
                share < 2 * before + SPINS,
                f"{name}: a process takes {share:.0%} of a core, {before:.0%} before",
            )

    # commands

    def _again(self, when: str) -> None:
        """The same command under the same id, over a new connection: it acts once and is answered alike."""
        ref = f"same-{self._setting.name.replace(' ', '-')}"
        answer = self._asker.ask(self._stage.runs[self._last].id, ref, limit=10.0).answer.result()
        told = None if answer is None else (answer.outcome, answer.tick, answer.result)
        if when == "first":
            self._told = told
        where = f"{self._setting.name} {when}"
        self._found.must(told is not None and told[0] == "applied", f"{where}: a command was answered {told}")
        self._found.must(told == self._told, f"{where}: sent again, {told}, at first {self._told}")

    def _ask_for_later(self, offset: int) -> list[Asked]:
        """Commands with a delay, of a run of every worker."""
        name = self._setting.name.replace(" ", "-")
        runs = {row.worker_id: row.id for row in Run.objects.order_by("created_at")}.values()
        way = "ahead" if offset == AHEAD else "back"
        asked = [
            self._asker.ask(run, f"{name}-{way}-{delay:g}-{place}", limit=90.0, delay=delay)
            for delay in DELAYS
            for place, run in enumerate(runs)
        ]
        for one in asked:
            one.accepted.wait(30.0)  # what is not by then is found below
        return asked

    def _check_delays(self, offset: int, asked: list[Asked], held: float) -> None:
        """By the clock of the database: where that is not set, none is early or late by it."""
        each = len(asked) // len(DELAYS)
        for place, delay in enumerate(DELAYS):
            name = f"{self._setting.name} {NAMES[offset]}: delay={delay:g}"
            answers = [one.answer.result() for one in asked[place * each : (place + 1) * each]]
            acted = [answer for answer in answers if answer is not None and answer.outcome == "applied"]
            told = " and ".join(f"{answer.after:.1f}" for answer in acted) + " s"
            self._found.figures[f"{name} acted after"] = told
            self._found.must(len(acted) == len(answers), f"{name} never acted, or was refused: {answers}")
            late = max((answer.after_accepted - delay for answer in acted), default=0.0)
            early = max((delay - answer.after for answer in acted), default=0.0)
            if self._setting.database:  # where it was set back, it was not that time yet for so long
                self._found.must(late <= held + self._prompt, f"{name} acted after {told}")
            else:
                self._found.must(early <= 0.1 and late <= self._prompt, f"{name} acted after {told}")


def _cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class _Health:
    """What livesim/health/ tells of the workers, to somebody who may see it."""

    def __init__(self, stage: Stage) -> None:
        user, _ = get_user_model().objects.get_or_create(username="root", is_superuser=True, is_staff=True)
        client = Client()
        client.force_login(user)
        address = stage.workers.url.replace("ws:", "http:") + "/livesim/health/"
        cookie = {"Cookie": f"sessionid={client.cookies['sessionid'].value}"}
        self._request = urllib.request.Request(address, headers=cookie)

    def workers(self) -> dict[str, Any]:
        """Asked again where the machine is too busy to tell in time."""
        found: list[dict[str, Any]] = []
        wait_until(lambda: found.extend(self._told()) or bool(found), 30.0)
        return found[0]

    def _told(self) -> list[dict[str, Any]]:
        try:
            with urllib.request.urlopen(self._request, timeout=20) as answer:
                told = json.load(answer)
        except HTTPError as failing:  # something else is, as a layer that takes its time
            with failing:
                told = json.load(failing)
        except OSError:
            return []
        part = told.get("parts", {}).get("workers", {})
        return [part] if "each" in part else []


def _check_log(stage: Stage, found: Found) -> None:
    lines = [line for line in stage.workers.logged.splitlines() if " ERROR " in line]
    found.lines += lines[:10]
    found.must(not lines, f"{len(lines)} errors in the log")
