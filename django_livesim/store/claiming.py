"""Which runs a worker takes: those that nobody alive holds, by compare-and-set on the epoch.

A run that was taken over from a worker that died, and has stored no state
since, may be what it died of. After two such deaths it is a suspect: a
worker takes one suspect at a time, and no other run in that look, so that
it brings down nobody with it. At the third it is quarantined. Where the
death of its holder was explained by another run, it counts for nothing.

A run that was struck, and has come no further since, is left to a process
that a parent has for it alone, by workers that have one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import reduce
from operator import or_
from uuid import UUID

from django.db.models import Case, F, Q, QuerySet, When

from django_livesim import conf
from django_livesim.models import Run, Worker
from django_livesim.protocol.names import LONGEST_PAUSE, Status
from django_livesim.store import locks, striking
from django_livesim.store.moments import Moment
from django_livesim.store.transitions import Tell, Transition, log

CLAIM_BATCH = 50
SUSPECT = 2  # deaths of its worker before it has stored a state
AT_LEAST = 3  # of them are needed for quarantine, however few strikes are

NOBODYS = Q(worker=None) | Q(worker__state=Worker.State.GONE)
STRUCK = Q(strikes__gt=0, tick__lte=F("struck_tick"))
"""Runs that have not come further than where they have harmed their worker: they may do so again."""
PAUSED_LAST = Case(When(status=str(Status.PAUSED), then=1), default=0)
PROVEN_FIRST = Case(When(unproven__gte=SUSPECT - 1, then=1), default=0)


@dataclass(frozen=True, kw_only=True)
class Free:
    """A run that may be claimed, as it was seen."""

    run: Run
    unproven: int
    """What a claim makes of it: deaths of its worker since its last state."""


def claim(
    worker: UUID,
    held: Iterable[UUID],
    *,
    queues: Iterable[str],
    simulations: Mapping[str, int],
    limit: int = CLAIM_BATCH,
    only: UUID | None = None,
    struck: bool = True,
    tell: Tell = log,
) -> list[UUID]:
    """Take up to `limit` runs that nobody alive holds; the ids of those that are now the worker's.

    Only of `queues`, and of `simulations`, each with the version of its code:
    what newer code has stepped is for workers that have it. Those that run
    come before those that are paused, and suspects last. `only` is a run
    beside which none is taken; without `struck`, no other worker's that was.
    Its own rows that are not in `held` count as nobody's: they were dropped
    from memory and are loaded again under a new epoch. Rows that somebody
    else has locked, or that are held back, are left for another look. Its
    own come first: no other worker can take them.
    `tell` gets what was quarantined, once that has committed.
    """
    held = list(held)
    mine = Q(worker=worker) & ~Q(id__in=held)
    may = free(struck) | mine
    wanted = claimable(queues, simulations).filter(may, *(() if only is None else (Q(pk=only),)))
    mine_first = Case(When(mine, then=0), default=1)
    rows = wanted.select_related("worker").order_by(mine_first, PROVEN_FIRST, PAUSED_LAST, "created_at")
    candidates = [_seen(worker, run) for run in rows.only(*SEEN)[:limit]]
    if not candidates:
        return []
    with locks.brief():
        taken = locks.taken([each.run.pk for each in candidates])
        untaken = [each for each in candidates if each.run.pk not in taken]
        most = max(conf.settings.STRIKES, AT_LEAST)
        told = [_give_up(each) for each in untaken if each.unproven >= most]
        chosen = _apart(held, [each for each in untaken if each.unproven < most])
        claimed = _claim_all(worker, chosen, may)
    for transition in told:
        if transition is not None:
            tell(transition)
    return claimed


SEEN = ("epoch", "worker__state", "worker__explained", "unproven", "status", "tick", "horizon")


def _seen(worker: UUID, run: Run) -> Free:
    """A run with what a claim makes of `unproven`: one more where its holder has died, not of another run."""
    adopted = run.worker is not None and run.worker_id != worker and not run.worker.explained
    return Free(run=run, unproven=run.unproven + adopted)


def _apart(held: Iterable[UUID], free: Sequence[Free]) -> Sequence[Free]:
    """Those that are no suspects; where there are none, one suspect, if none is `held` already."""
    innocent = [each for each in free if each.unproven < SUSPECT]
    if innocent or not free:
        return innocent
    return [] if Run.objects.filter(id__in=list(held), unproven__gte=SUSPECT).exists() else free[:1]


def _give_up(free: Free) -> Transition | None:
    reason = f"taken over {free.unproven} times without coming as far as a stored state"
    return striking.quarantine(free.run, free.run.worker_id, free.run.epoch, reason)


def _claim_all(worker: UUID, chosen: Sequence[Free], may: Q) -> list[UUID]:
    """One statement for all, by compare-and-set on each; those that it has claimed, in order.

    It asks once more for what the candidates had to be: a strike changes neither epoch nor worker.
    """
    if not chosen:
        return []
    unproven = [When(pk=each.run.pk, then=each.unproven) for each in chosen if each.unproven]
    same = (Q(pk=each.run.pk, epoch=each.run.epoch, worker=each.run.worker_id) for each in chosen)
    changed = (
        Run.objects.claimable()
        .filter(reduce(or_, same), pk__in=Run.objects.filter(may).exclude(_held_back()).values("pk"))
        .update(
            worker=worker,
            epoch=F("epoch") + 1,
            adoptions=F("adoptions") + Case(When(worker=None, then=0), default=1),
            unproven=Case(*unproven, default=0),
        )
    )
    if changed == len(chosen):
        return [each.run.pk for each in chosen]
    mine = (Q(pk=each.run.pk, epoch=each.run.epoch + 1) for each in chosen)
    ours = set(Run.objects.filter(reduce(or_, mine), worker=worker).values_list("pk", flat=True))
    return [each.run.pk for each in chosen if each.run.pk in ours]


def held_back(runs: Iterable[UUID]) -> int:
    """How many of these nobody may take yet."""
    return int(Run.objects.filter(_held_back(), id__in=list(runs)).count())


def _held_back() -> Q:
    """Until when lies ahead, and no further than a pause is long: else the clock was set back since."""
    longest = timedelta(seconds=LONGEST_PAUSE)
    return Q(held_back_until__gt=Moment(), held_back_until__lte=Moment() + longest)


def free(struck: bool) -> Q:
    """The runs that nobody alive holds; without `struck`, but for those that were and may harm again."""
    return NOBODYS if struck else NOBODYS & ~STRUCK


def claimable(queues: Iterable[str], simulations: Mapping[str, int]) -> QuerySet[Run]:
    """Runs that want a worker and fit one with these, held or not; but for those that are held back."""
    rows: QuerySet[Run] = Run.objects.claimable().filter(having(simulations), queue__in=list(queues))
    return rows.exclude(_held_back())


def having(simulations: Mapping[str, int]) -> Q:
    """The runs that code of these versions can go on with."""
    names: dict[int, list[str]] = defaultdict(list)
    for name, version in simulations.items():
        names[version].append(name)
    return reduce(
        or_,
        (Q(simulation__in=named, version__lte=version) for version, named in names.items()),
        Q(pk__in=[]),
    )
