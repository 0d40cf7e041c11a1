"""What must hold after each nemesis, and at the end of a leg; each finding counts under a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from django_livesim import gateway
from django_livesim.models import Command, Run
from django_livesim.protocol.names import Kind, Outcome
from tests.reliability.chaos import audit, replay
from tests.reliability.chaos.records import Frame, Seen, Sent

KEPT = 20  # lines for each word
LEDGER = "ledger"

INSPECT = 5.0  # seconds for a worker to store the state and say so


@dataclass
class Findings:
    """What was found wrong: how much of each kind, and the first lines of it."""

    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)

    def add(self, kind: str, line: str) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= KEPT:
            self.lines.append(f"{kind}: {line}")


def check_state(run: UUID, findings: Findings) -> list[str]:
    """The references in the state, which must be those of the journal up to its position, in order, once."""
    told = gateway.inspect(run, timeout=INSPECT)
    position = told["position"] or {"apply_seq": 0}
    refs = (told["state"] or {}).get("refs", [])
    rows = Command.objects.filter(
        run=run, kind=str(Kind.COMMAND), outcome=str(Outcome.APPLIED), apply_seq__lte=position["apply_seq"]
    )
    applied = [args["ref"] for args in rows.order_by("apply_seq").values_list("args", flat=True)]
    name = f"{told['simulation']} {str(run)[:8]}"
    for ref, times in Counter(refs).items():
        if times > 1:
            findings.add("doubled", f"{name}: {ref} is in the state {times} times")
    for ref in sorted(set(applied) - set(refs)):
        findings.add("lost", f"{name}: {ref} was applied and is not in the state")
    for ref in sorted(set(refs) - set(applied)):
        findings.add("out of order", f"{name}: {ref} is in the state and not in the journal before it")
    if sorted(refs) == sorted(applied) and refs != applied:
        findings.add("out of order", f"{name}: the state has another order than the journal")
    return refs


def check_zombies(findings: Findings) -> None:
    """What the triggers have noted since the last time."""
    for rule, times in audit.take().items():
        for _ in range(times):
            findings.add("zombie writes", rule)


def check_commands(run: UUID, refs: list[str], sent: Iterable[Sent], findings: Findings) -> None:
    """Each acknowledged command has its row, its outcome and its effect; and what was told of it is true."""
    rows = {row.client_id: row for row in Command.objects.filter(run=run, kind=str(Kind.COMMAND))}
    place = {ref: index for index, ref in enumerate(refs, 1)}
    for one in sent:
        row = rows.get(one.ref)
        if one.accepted_at is None and not one.outcome:
            continue
        if row is None or not row.outcome:
            findings.add("lost", f"{one.ref} was acknowledged and has {'no outcome' if row else 'no row'}")
        elif row.outcome == Outcome.APPLIED and one.ref not in place:
            findings.add("lost", f"{one.ref} was applied and is not in the state at the end")
        if one.outcome and not _is_true(one, row, place):
            was = "nothing" if row is None else f"{row.outcome} at tick {row.apply_tick}: {row.result}"
            told = f"{one.outcome} at tick {one.tick}: {one.result}"
            findings.add("told wrongly", f"{one.ref}: told {told}; was {was}, place {place.get(one.ref)}")
    _check_order(rows.values(), {one.ref: one for one in sent}, findings)


def _is_true(one: Sent, row: Command | None, place: dict[str, int]) -> bool:
    if row is None or (one.outcome, one.tick) != (row.outcome, row.apply_tick):
        return False
    return one.outcome != Outcome.APPLIED or one.result == row.result == place.get(one.ref)


def _check_order(rows: Iterable[Command], sent: dict[str, Sent], findings: Findings) -> None:
    """Each sender's commands have acted in the order sent; epochs do not fall along the journal."""
    last: dict[str, int] = {}
    epoch = 0
    for row in sorted((row for row in rows if row.apply_seq), key=lambda row: row.apply_seq):
        if (row.epoch or 0) < epoch:
            findings.add("zombie writes", f"{row.client_id}: of epoch {row.epoch}, after one of {epoch}")
        epoch = row.epoch or epoch
        one = sent.get(row.client_id)
        if one is None or one.delayed or one.again:
            continue
        if one.n <= last.get(one.sender, 0):
            findings.add("out of order", f"{one.ref} acted after number {last[one.sender]} of its sender")
        last[one.sender] = max(one.n, last.get(one.sender, 0))


def check_seen(seen: Iterable[Seen], deterministic: bool, findings: Findings) -> int:
    """No viewer saw an older lineage after a newer one, or an older tick; the number of frames."""
    total = 0
    for each in seen:
        total += len(each.frames)
        for before, frame in zip(each.frames, each.frames[1:], strict=False):
            where = f"{_place(each, before)}, then {frame.epoch} {frame.tick}"
            same = (frame.epoch, frame.connection) == (before.epoch, before.connection)
            if frame.epoch < before.epoch:
                findings.add("lineages mixed", where)
            elif same and frame.seq <= before.seq:
                findings.add("lineages mixed", f"{where}: frame {frame.seq} after {before.seq}")
            if deterministic and frame.tick < before.tick:
                findings.add("ticks backwards", where)
            if not deterministic and frame.count < before.count:
                findings.add("shown wrongly", f"{where}: {frame.count} commands after {before.count}")
    return total


def check_against_journal(seen: Iterable[Seen], refs: list[str], findings: Findings) -> None:
    """What a loop showed had the journal behind it: so many commands, and this the last."""
    for each in seen:
        for frame in each.frames:
            last = refs[frame.count - 1] if 0 < frame.count <= len(refs) else ""
            if frame.last != last:
                told = f"{frame.last!r} as number {frame.count}, which is {last!r}"
                findings.add("shown wrongly", f"{_place(each, frame)}: {told}")


def _place(seen: Seen, frame: Frame) -> str:
    return f"{seen.viewer}: epoch {frame.epoch} tick {frame.tick}"


def check_replay(run: Run, until: int, seen: Iterable[Seen], findings: Findings) -> int:
    """Every checkpoint, and every frame that anybody saw, is of the one history; the checkpoints compared."""
    history = replay.play(run, until)
    for line in history.differing:
        findings.add("hashes differ", f"{str(run.id)[:8]}: the checkpoint at {line}")
    for each in seen:
        for frame in each.frames:
            if history.shown.get((frame.tick, frame.count)) != (frame.last, frame.mix):
                told = f"with {frame.count} commands and mix {frame.mix} never was"
                findings.add("shown wrongly", f"{_place(each, frame)} {told}")
    return history.hashes
