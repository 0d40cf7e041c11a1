"""Which lookups a list takes from its address: what it offers, and no others.

Any other would tell those who may see a row, by whether it is found, what is in its hidden columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.admin import AllValuesFieldListFilter, SimpleListFilter

ENDINGS = frozenset(
    ["exact", "in", "isnull", "gt", "gte", "lt", "lte", "range", "date", "year", "month", "day", "id", "pk"]
)
"""Transforms and comparisons of Django's own filters; a pattern can be made to take for ever."""


def is_offered(lookup: str, filters: Iterable[Any], *fields: Any) -> bool:
    """Whether a lookup is by one of some filters (as in `list_filter`), or of some fields."""
    parameters = {each.parameter_name for each in filters if is_simple(each)}
    paths = {each[0] if isinstance(each, (list, tuple)) else each for each in filters if not is_simple(each)}
    return lookup in parameters or any(reaches(lookup, path) for path in paths | set(fields) if path)


def is_simple(each: Any) -> bool:
    return isinstance(each, type) and issubclass(each, SimpleListFilter)


def reaches(lookup: str, path: str) -> bool:
    """Whether a lookup is of the field of that path."""
    if lookup == path:
        return True
    return lookup.startswith(f"{path}__") and ENDINGS.issuperset(lookup[len(path) + 2 :].split("__"))


def from_rows(each: Any) -> bool:
    """Whether the choices of a filter are what there is in the rows."""
    return isinstance(each, (list, tuple)) and issubclass(each[1], AllValuesFieldListFilter)
