"""Redis is killed, flushed and hung; commands go on by the poll, and pages come back by themselves."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

from django.core.management import call_command

from django_livesim.models import Command
from django_livesim.protocol.names import Outcome
from django_livesim.testing import wait_until
from tests.reliability.chaos.gateway import read
from tests.reliability.chaos.records import Seen, Sent
from tests.reliability.ledger_app.simulations import Steady
from tests.reliability.outages.found import Found
from tests.reliability.outages.gauge import Gauge
from tests.reliability.outages.servers import Servers, Valkey
from tests.reliability.outages.stage import Stage

CORE = "channels_redis.core.RedisChannelLayer"
RECOVER = 10.0  # seconds after its return in which every page has to move again
STALE = 2.0  # seconds without a frame, or without a newer tick
APPLIED = 4.0  # seconds in which a command acts, whatever Redis does: the poll is once a second
TOLD = 10.0  # seconds in which its sender knows
PACE = 0.8  # of their pace, at least, at which runs go on while nobody sees them
CONNECTIONS = 1.25  # times as many as before, at most, that Valkey may have afterwards
DESCRIPTORS = 8  # more than before, at most, that a process may have afterwards
BEGIN = 30.0  # seconds for the first answer through the gateway
SETTLED = 20.0  # seconds for both to be so again


@dataclass(frozen=True)
class Outage:
    """What is done to Valkey: `begin`, so many `seconds` of it, `end`."""

    name: str
    begin: Callable[[], None]
    seconds: float
    end: Callable[[], None]


def killed(valkey: Valkey, seconds: float) -> Outage:
    """It comes back empty, on the same port."""
    return Outage(f"killed, away for {seconds:g} s", valkey.kill, seconds, valkey.start)


def hung(valkey: Valkey, seconds: float) -> Outage:
    return Outage(f"stopped for {seconds:g} s", valkey.hang, seconds, valkey.go_on)


def flushed(valkey: Valkey, times: int) -> Outage:
    """As often, a second apart."""

    def flush() -> None:
        for _ in range(times):
            valkey.flush()
            time.sleep(1.0)

    return Outage(f"flushed {times} times", flush, 0.0, lambda: None)


def leg(servers: Servers, short: bool) -> Found:
    """Both layers of channels_redis; the one that is recommended has more runs and longer outages.

    With the core layer a process takes its messages one by one, which on a busy machine is no match for
    the frames of fifty runs, outage or not.
    """
    found, valkey = Found(), servers.valkey
    if short:
        _stage(valkey, found, Stage(runs=10), "", [killed(valkey, 3), hung(valkey, 4)])
        return found
    outages = [killed(valkey, 10), flushed(valkey, 3), hung(valkey, 30), killed(valkey, 30)]
    _stage(valkey, found, Stage(), "", outages)
    call_command("flush", interactive=False, verbosity=0)
    outages = [killed(valkey, 10), flushed(valkey, 3), hung(valkey, 10)]
    _stage(valkey, found, Stage(runs=20, env={"CHANNELS_BACKEND": CORE}), "core layer: ", outages)
    return found


def _stage(valkey: Valkey, found: Found, stage: Stage, layer: str, outages: Iterable[Outage]) -> None:
    """One deployment through the outages, one after the other; all that is said of it begins with `layer`."""
    mine = Found()
    with stage:
        wait_until(lambda: any(one.outcome for one in read(stage.workers.sent_file).values()), BEGIN)
        gauge = Gauge(valkey.url)
        time.sleep(STALE)
        still = _still(stage)
        mine.figures["pages stale before any outage"] = f"{len(still)} of {len(stage.seen)}"
        for outage in outages:
            _outage(stage, gauge, outage, mine)
        stage.conclude(mine)
    found.figures |= {layer + name: figure for name, figure in mine.figures.items()}
    found.missed += [layer + line for line in mine.missed]
    found.lines += [layer + line for line in mine.lines]


def _outage(stage: Stage, gauge: Gauge, outage: Outage, found: Found) -> None:
    stage.tell(outage.name)
    adopted = stage.adoptions()
    gone = time.monotonic()
    outage.begin()
    time.sleep(outage.seconds)
    outage.end()
    back = time.monotonic()
    time.sleep(RECOVER)
    stage.crowd.check()
    _check_pages(stage, outage.name, gone, back, found)
    _check_commands(stage, outage.name, gone, back, found)
    _check_processes(gauge, outage.name, found)
    adopted = stage.adoptions() - adopted
    found.must(not adopted, f"{outage.name}: {adopted} adoptions")


# pages


def _check_pages(stage: Stage, name: str, gone: float, back: float, found: Found) -> None:
    """Nobody looks at something old, be it for want of frames or because the same comes again and again."""
    now = time.monotonic()
    silent = set(stage.stale(STALE))
    still = _still(stage)
    stale = len(silent | still)
    found.figures[f"{name}: pages stale {RECOVER:g} s after"] = f"{stale} of {len(stage.seen)}"
    found.must(not stale, f"{name}: {len(silent)} pages without frames, {len(still)} without a newer tick")
    gaps = [stage.longest_gap(seen, gone, now) for seen in stage.seen]
    again = [_moves_again(seen, back) - back for seen in stage.seen if seen.run not in silent | still]
    found.figures[f"{name}: pages without a frame for"] = _spread(gaps)
    found.figures[f"{name}: pages move again after"] = _spread(again)
    paces = [_pace(seen, gone) for seen in stage.seen]
    found.figures[f"{name}: runs went on at"] = f"{min(paces):.0%} of their pace, at least"
    found.must(min(paces) >= PACE, f"{name}: a run went on at {min(paces):.0%} of its pace")


def _still(stage: Stage) -> set[UUID]:
    """The runs of which no newer tick is shown; a machine that is too busy has some without any outage."""
    since = time.monotonic() - STALE
    return {seen.run for seen in stage.seen if not _moved(seen, since)}


def _moved(seen: Seen, since: float) -> bool:
    """Whether the tick that is shown has grown in that time."""
    ticks = [frame.tick for frame in seen.frames if frame.at >= since]
    return len(ticks) > 1 and ticks[-1] > ticks[0]


def _moves_again(seen: Seen, since: float) -> float:
    """When the last pause of the frames since then was over."""
    moments = [frame.at for frame in seen.frames if frame.at >= since]
    pauses = [later for at, later in itertools.pairwise([since, *moments]) if later - at > STALE]
    return max(pauses, default=moments[0])


def _pace(seen: Seen, gone: float) -> float:
    """Ticks from the last frame before the outage to the last of all, as a part of what they should be."""
    before = max((frame for frame in seen.frames if frame.at <= gone), key=lambda frame: frame.at)
    last = seen.frames[-1]
    if last is before:
        return 0.0
    return (last.tick - before.tick) / (last.at - before.at) / Steady.tick_rate


# commands


def _check_commands(stage: Stage, name: str, gone: float, back: float, found: Found) -> None:
    """All that were sent while it was away have acted and are answered, and soon."""
    sockets = [one for person in stage.crowd.persons for one in list(person.sent.values())]
    _check_sent(sockets, f"{name}: commands by socket", gone, back, found)
    _check_sent(read(stage.workers.sent_file).values(), f"{name}: commands by gateway", gone, back, found)


def _check_sent(everything: Iterable[Sent], name: str, gone: float, back: float, found: Found) -> None:
    sent = [one for one in everything if gone <= one.at < back]
    acted = _acted({one.ref for one in sent})
    told = [one.told_at - one.at for one in sent if one.outcome and one.told_at]
    meanwhile = sum(one.told_at is not None and one.told_at < back for one in sent)
    found.figures[f"{name}, answered meanwhile"] = f"{meanwhile} of {len(sent)}"
    found.figures[f"{name}, acted after"] = _spread(acted)
    found.figures[f"{name}, told after"] = _spread(told)
    found.must(bool(sent), f"{name}: none were sent")
    found.must(len(told) == len(sent), f"{name}: {len(sent) - len(told)} have no answer")
    found.must(max(acted, default=0) <= APPLIED, f"{name}: acted after {_spread(acted)}")
    found.must(max(told, default=0) <= TOLD, f"{name}: told after {_spread(told)}")


def _acted(refs: set[str]) -> list[float]:
    """Seconds from the row to its effect, by the database's clock."""
    rows = Command.objects.filter(client_id__in=refs, outcome=str(Outcome.APPLIED))
    moments = rows.values_list("created_at", "applied_at")
    return [(applied - created).total_seconds() for created, applied in moments if applied]


def _spread(seconds: Iterable[float]) -> str:
    values = sorted(seconds)
    if not values:
        return "none"
    return f"{statistics.median(values):.1f} s, at most {values[-1]:.1f} s"


# processes


def _check_processes(gauge: Gauge, name: str, found: Found) -> None:
    """None has ended, and none keeps what it opened meanwhile."""
    ended = gauge.ended()
    found.must(not ended, f"{name}: {len(ended)} processes ended")
    now = gauge.settled(CONNECTIONS, DESCRIPTORS, SETTLED)
    before = gauge.before
    figures = f"{before.connections} / {now.connections}, {gauge.most(now):+d} at most"
    found.figures[f"{name}: connections before / after, descriptors"] = figures
    found.must(
        now.connections <= CONNECTIONS * before.connections,
        f"{name}: {now.connections} connections, {before.connections} before",
    )
    found.must(gauge.most(now) <= DESCRIPTORS, f"{name}: {gauge.most(now)} descriptors more in one process")
