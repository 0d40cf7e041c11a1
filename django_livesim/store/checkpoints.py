"""The states of runs that a worker stores with its writes, and how many of each run are kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from django.db.models import F, Window
from django.db.models.functions import RowNumber

from django_livesim import conf
from django_livesim.models import Checkpoint
from django_livesim.protocol import packed, plain
from django_livesim.protocol.records import Stored, Write
from django_livesim.store import loading

PIECE = 8 * 1024 * 1024  # bytes of checkpoints in one statement


def row(one: Write, stored: Stored) -> Checkpoint:
    """Hashed and deflated, which takes its time: before the transaction, and away from the step thread."""
    return Checkpoint(
        run_id=one.run,
        tick=stored.tick,
        apply_seq=stored.apply_seq,
        epoch=one.epoch,
        version=stored.version,
        hash=plain.digest(stored.data),
        data=packed.pack(stored.data),
        views=None if stored.views is None else packed.pack(stored.views),
    )


def insert(rows: Sequence[Checkpoint]) -> None:
    """The states, as many in one statement as is bearable, and the oldest of each run away."""
    for some in _pieces(rows):
        Checkpoint.objects.bulk_create(
            some,
            update_conflicts=True,
            unique_fields=["run", "tick", "apply_seq"],
            update_fields=["epoch", "version", "hash", "data", "views"],
        )
    if rows:
        place = Window(RowNumber(), partition_by=[F("run")], order_by=list(loading.NEWEST))
        placed = Checkpoint.objects.filter(run__in=[row.run_id for row in rows]).annotate(place=place)
        old = placed.filter(place__gt=conf.settings.KEEP_CHECKPOINTS)
        Checkpoint.objects.filter(pk__in=old.values("pk")).delete()


def _pieces(rows: Iterable[Checkpoint]) -> Iterator[list[Checkpoint]]:
    """Lists of at most `PIECE` bytes, or of one row."""
    piece: list[Checkpoint] = []
    size = 0
    for row in rows:
        length = len(row.data) + len(row.views or b"")
        if piece and size + length > PIECE:
            yield piece
            piece, size = [], 0
        piece.append(row)
        size += length
    if piece:
        yield piece
