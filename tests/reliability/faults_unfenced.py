"""The journal without its fence: a worker writes of a run whoever holds it now."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from django_livesim.models import Run
from django_livesim.store import journal
from django_livesim.store.many import update_each

GONE = {"worker", "epoch"}


class Unfenced:
    """In place of the model, in one module: what names the fence finds the run without it."""

    def __init__(self) -> None:
        self.objects = self

    def __getattr__(self, name: str) -> Any:
        return getattr(Run.objects, name, None) or getattr(Run, name)

    def filter(self, *args: Any, **conditions: Any) -> Any:
        if conditions.keys() >= {"id", *GONE}:
            conditions = {name: value for name, value in conditions.items() if name not in GONE}
        return Run.objects.filter(*args, **conditions)


def update_unfenced(
    model: Any, match: Sequence[str], change: Sequence[str], rows: Sequence[Sequence[Any]], **also: Any
) -> int:
    """`update_each` of runs by their ids alone."""
    if match is not journal.FENCE:
        return update_each(model, match, change, rows, **also)
    return update_each(Run, ["id"], change, [[row[0], *row[len(match) :]] for row in rows], **also)


@contextmanager
def unfenced() -> Iterator[None]:
    with patch.multiple(journal, Run=Unfenced(), update_each=update_unfenced):
        yield
