"""A run that raises, hangs, takes all memory or ends its process, beside many that do not.

Each is begun while the good ones go on, on workers of its own, and is followed until no worker takes
it any more: one that does its harm in its very first step, one that has stored
a state before. How late a frame comes to somebody who watches a good run is
the time since the one before, less the time that is between two anyway.
"""

from __future__ import annotations

import re
import time
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from django.core.management import call_command

from django_livesim import conf, gateway
from django_livesim.models import Checkpoint, Run
from django_livesim.protocol.names import Status
from django_livesim.testing import wait_until
from tests.reliability.ledger_app.harmful import HARMS, LIMIT
from tests.reliability.ledger_app.simulations import Steady
from tests.reliability.outages.found import Found
from tests.reliability.outages.servers import Servers
from tests.reliability.outages.stage import Stage

INTERVAL = 1.0 / Steady.frame_rate
LATE = 1.0  # seconds that a frame of another run may be late;
LATE_SHORT = 4.0  # in the short form, which is to work beside anything else
MEMORY = 512  # megabytes of each process
GOOD = 60  # ticks before the harm, of a run that is to store a state before
JUDGED = 60.0  # seconds until no worker takes it any more
SENDING = 10  # of the runs get commands: senders, site and workers are to have enough of two cores
CALM = 3.0  # seconds of nothing, by which to judge the machine
SETTLED = 15.0  # seconds for everything to move again

LOOP = "a loop hangs"
HOWS = (*HARMS, LOOP)
BRIEFLY = ("raises", "hangs", "hangs in C", "allocates", "crashes", LOOP)
"""What the short form has, which is over in 45 seconds."""
RUNNING = (Status.WAITING, Status.RUNNING)

STRUCK = re.compile(r"strike run=(\S+)")


@dataclass(frozen=True)
class Case:
    """One harmful run."""

    how: str
    after: int
    """Ticks that it makes before."""

    def __str__(self) -> str:
        return f"{self.how}, {f'after {self.after} ticks' if self.after else 'first step'}"

    def start(self) -> Run:
        if self.how == LOOP:
            return gateway.start("harmful_loop", {"after": self.after})
        return gateway.start("harmful", {"how": self.how, "after": self.after})


def leg(servers: Servers, short: bool) -> Found:
    found = Found()
    strikes = 2 if short else conf.settings.STRIKES
    cases = [Case(how, GOOD if how == "hangs" else 0) for how in BRIEFLY]
    if not short:
        cases = [Case(how, after) for after in (GOOD, 0) for how in HOWS]
    calm = [harm(case, strikes, found, short) for case in cases]
    found.figures["frames late by at most, without harm"] = f"{max(calm):.2f} s"
    found.figures["limit of one step"] = f"{LIMIT:g} s"
    return found


def harm(case: Case, strikes: int, found: Found, short: bool) -> float:
    """One, on workers of its own, of which each has half of the runs; how late frames come without it."""
    call_command("flush", interactive=False, verbosity=0)
    options = ("--memory", str(MEMORY))
    runs = 12 if short else 50
    with Stage(runs=runs, sending=SENDING, options=options, livesim={"STRIKES": strikes}) as stage:
        found.figures["runs of each worker"] = stage.shares()
        began = time.monotonic()
        time.sleep(CALM)
        calm = late(stage, began)
        bad = one(stage, case, found, LATE_SHORT if short else LATE)
        stage.conclude(found)
        no_other_is_struck(stage, bad.id, found)
    return calm


def one(stage: Stage, case: Case, found: Found, limit: float) -> Run:
    """Have it do its harm until it is over; what was seen of the others, and what is written of it."""
    wait_until(lambda: not stage.workers.missing() and not stage.stale(1.0), SETTLED)
    began = time.monotonic()
    run = case.start()
    judged = f"{case}: it is not judged after {JUDGED:g} s"
    with suppress(AssertionError):
        wait_until(lambda: Run.objects.get(id=run.id).status not in RUNNING, JUDGED)
        judged = f"after {time.monotonic() - began:.1f} s"
    with suppress(AssertionError):  # who is late for longer is found below
        wait_until(lambda: not stage.stale(2.0 * INTERVAL), SETTLED)
    run.refresh_from_db()
    seconds = late(stage, began)
    figure = f"{seconds:.2f} s; {run.status} {judged}, {run.strikes} strikes"
    found.figures[f"{case}: others late by at most"] = figure
    stage.tell(f"{case}: {figure}")
    found.must(seconds < limit, f"{case}: frames of others came {seconds:.2f} s late")
    judge(case, run, found)
    return run


def late(stage: Stage, since: float) -> float:
    """How late the latest frame has come since, in seconds, to whoever watches a good run."""
    now = time.monotonic()
    return max(0.0, max(stage.longest_gap(each, since, now) for each in stage.seen) - INTERVAL)


def judge(case: Case, run: Run, found: Found) -> None:
    """What is written of a harmful run."""
    expected = Status.FAILED if case.how == "raises" else Status.QUARANTINED
    found.must(run.status == expected, f"{case}: it is {run.status}: {run.reason}. Expected: {expected}")
    if case.how != "exits":  # that leaves no stack
        found.must("harmful.py" in run.error, f"{case}: it has no stack: {run.error!r}")
    if case.after:
        stored = Checkpoint.objects.filter(run=run).exists()
        found.must(stored, f"{case}: it has stored no state before")


def no_other_is_struck(stage: Stage, bad: UUID, found: Found) -> None:
    """Neither by what the rows say, nor by what was said meanwhile and has been forgiven since."""
    rows = Run.objects.exclude(id=bad)
    struck = set(rows.filter(strikes__gt=0).values_list("id", flat=True))
    struck |= {UUID(each) for each in STRUCK.findall(stage.workers.logged)} - {bad}
    found.must(not struck, f"{len(struck)} other runs were struck: {', '.join(map(str, struck))}")
    doubted = rows.filter(unproven__gt=0).count()
    found.must(not doubted, f"{doubted} other runs count as what their worker may have died of")
    found.count("other runs struck", len(struck))
    found.count("other runs taken up by another worker", stage.adoptions())
