"""What befalls the processes of a leg: each method does one thing to them, and notes whose death it was."""

from __future__ import annotations

import math
import os
import signal
import sqlite3
import time
from random import Random
from uuid import UUID

from django.db import connection

from django_livesim.models import Run, Worker
from django_livesim.testing import wait_until
from tests.reliability.chaos.processes import Processes
from tests.reliability.chaos.records import Death

SAME_HOST = 2.0  # seconds until an heir on the same host must show itself
SILENT = 2.0  # beyond the lease time, where only silence tells
DRAINED = 1.0  # seconds after a drain
REACHED = 8.0  # seconds within which an armed point is passed
END = 20.0  # seconds for a process that was told to leave


class Nemeses:
    """Every one takes its time: it returns when it has happened, not when it is healed."""

    def __init__(self, processes: Processes, rng: Random, ttl: float, senders: tuple[str, ...]) -> None:
        self.deaths: list[Death] = []
        self.others = 0
        """Deaths of processes that are no workers."""
        self._processes, self._rng, self._ttl, self._senders = processes, rng, ttl, senders

    def do(self, step: str) -> None:
        """A step of a plan: the name of a method here, and what follows a space."""
        name, _, argument = step.partition(" ")
        getattr(self, name)(*([argument] if argument else []))

    # whom it befalls

    def _victim(self) -> tuple[int, dict[UUID, int]]:
        """A worker that holds runs, the more of them the likelier."""
        holders = wait_until(self._processes.holders, END)
        pids = sorted(holders)
        pid = self._rng.choices(pids, [len(holders[pid]) for pid in pids])[0]
        return pid, holders[pid]

    def _note(self, nemesis: str, point: str, at: float, runs: dict[UUID, int], limit: float) -> Death:
        death = Death(nemesis, point, at, runs, limit, killed=nemesis not in ("stop", "drain"))
        self.deaths.append(death)
        return death

    def _pause(self, longest: float) -> None:
        """A moment nobody has chosen."""
        time.sleep(self._rng.uniform(0.0, longest))

    # SIGKILL

    def kill(self) -> None:
        """At any moment."""
        self._pause(0.8)
        pid, runs = self._victim()
        self._kill(pid)
        self._note("kill", "", time.monotonic(), runs, SAME_HOST)

    def lost(self) -> None:
        """With the machine: nobody can see that the process is gone, only that it is silent."""
        self._pause(0.5)
        pid, runs = self._victim()
        Worker.objects.filter(pid=pid).update(host="elsewhere", boot_id=f"elsewhere {pid}")
        self._kill(pid)
        self._note("lost", "", time.monotonic(), runs, self._ttl + SILENT)

    def _kill(self, pid: int) -> None:
        process = self._processes.process(pid)
        process.kill()
        process.wait()

    def point(self, point: str, linger: str = "") -> None:
        """By its own hand, at the n-th pass of a named point."""
        pid, runs = self._victim()
        process = self._processes.process(pid)
        passes = self._rng.randint(1, 3)
        self._processes.arm(pid, point=point, passes=passes, signal="SIGKILL", linger=float(linger or 0))
        try:
            wait_until(lambda: process.poll() is not None, REACHED)
        except AssertionError:
            self._kill(pid)
            self._note("kill", "", time.monotonic(), runs, SAME_HOST)
            return
        mark = self._processes.marks(pid)[-1]
        held = {UUID(run) for run in mark["runs"]}
        runs = {run: epoch for run, epoch in runs.items() if run in held} or runs
        self._note("point", point, mark["at"], runs, SAME_HOST)

    def late(self, point: str) -> None:
        """As `point`, where the database takes its time before."""
        self.point(point, linger="0.15")

    def heir(self, point: str) -> None:
        """A worker, and then whoever takes its runs, in the middle of that."""
        pid, runs = self._victim()
        others = [each for each in self._processes.workers if each.pid != pid and each.poll() is None]
        for each in others:
            self._processes.arm(each.pid, point=point, passes=1, signal="SIGKILL")
        self._kill(pid)
        self._note("kill", "", time.monotonic(), runs, math.inf)
        try:
            wait_until(lambda: any(each.poll() is not None for each in others), REACHED)
        except AssertionError:
            return
        for each in others:
            if each.poll() is None:
                self._processes.arm(each.pid, point="", passes=1)
        time.sleep(0.3)  # another may have been at the point before it was told
        dead = [each.pid for each in others if each.poll() is not None]
        enough = SAME_HOST if len(dead) == 1 else math.inf  # else too few may be left for all runs
        for heir in dead:
            at = self._processes.marks(heir)[-1]["at"]
            left = Run.objects.filter(id__in=list(runs), worker__pid__in=(pid, heir))  # another has the rest
            self._note("point", point, at, dict(left.values_list("id", "epoch")), enough)

    # SIGSTOP

    def stop(self, lease_times: str = "") -> None:
        """Stopped for longer than its lease, and then going on as if nothing had been."""
        self._pause(0.5)
        pid, runs = self._victim()
        os.kill(pid, signal.SIGSTOP)
        self._stopped("", pid, runs, time.monotonic(), lease_times)

    def write(self, lease_times: str = "") -> None:
        """Stopped on the point of writing, which it does when it goes on."""
        self._stop_at("write.begin", lease_times)

    def reserve(self, lease_times: str = "") -> None:
        """Stopped on the point of asking for a further horizon."""
        self._stop_at("reserve.begin", lease_times)

    def _stop_at(self, point: str, lease_times: str) -> None:
        pid, runs = self._victim()
        before = len(self._processes.marks(pid))
        self._processes.arm(pid, point=point, passes=1, signal="SIGSTOP")
        try:
            wait_until(lambda: len(self._processes.marks(pid)) > before, REACHED)
        except AssertionError:
            self._processes.arm(pid, point="", passes=1)
            return self.stop(lease_times)
        return self._stopped(point, pid, runs, self._processes.marks(pid)[-1]["at"], lease_times)

    def _stopped(self, point: str, pid: int, runs: dict[UUID, int], at: float, lease_times: str) -> None:
        low, _, high = (lease_times or "1.5-5").partition("-")
        seconds = self._ttl * self._rng.uniform(float(low), float(high or low))
        limit = math.inf if holds_the_database() else self._ttl + SILENT
        self._note("stop", point, at, runs, limit)
        time.sleep(max(0.0, at + seconds - time.monotonic()))
        os.kill(pid, signal.SIGCONT)

    # in good order

    def drain(self) -> None:
        """SIGTERM."""
        pid, runs = self._victim()
        process = self._processes.process(pid)
        at = time.monotonic()
        process.terminate()
        wait_until(lambda: process.poll() is not None, END)
        self._note("drain", "", at, runs, DRAINED)

    # the others

    def web(self) -> None:
        """The web server, by SIGKILL; another is started."""
        self._pause(0.5)
        self._processes.kill("web")
        self.others += 1
        self._processes.start_web()
        self._processes.wait_for_web()

    def senders(self) -> None:
        """The process of the senders, by SIGKILL; the next goes on with the same ids."""
        self._pause(0.5)
        self._processes.kill("senders")
        self.others += 1
        self._processes.start_senders(*self._senders)

    def nothing(self, seconds: str) -> None:
        """Time passes."""
        time.sleep(float(seconds))


def holds_the_database() -> bool:
    """Whether a process that was stopped on SQLite has the one lock there is: then nobody can do anything."""
    if connection.vendor != "sqlite":
        return False
    probe = sqlite3.connect(connection.settings_dict["NAME"], timeout=1.0, isolation_level=None)
    try:
        probe.execute("BEGIN IMMEDIATE")
        probe.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return True
    finally:
        probe.close()
    return False
