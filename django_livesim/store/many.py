"""Many rows, each with values of its own, in one statement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connections, models
from django.db.models.expressions import Expression

from django_livesim import conf

AT_ONCE = 1000  # rows of one statement, far below what PostgreSQL takes of parameters


def update_each(
    model: type[models.Model],
    match: Sequence[str],
    change: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    also: Mapping[str, Expression] | None = None,
) -> int:
    """Change rows of `model`, each by its own values; how many there were.

    Each of `rows` has the values of the fields `match`, by which its one row
    is found, and then of `change`; `also` is changed alike in all. Raises
    what the database, or its driver, says of a value that it cannot take; on
    PostgreSQL nothing has been changed then, elsewhere the caller's
    transaction must be rolled back.

    PostgreSQL gets `UPDATE ... FROM (VALUES ...)`: `executemany` would be a
    statement for each row there, and psycopg 2 tells the count of the last
    one alone. Elsewhere it is `executemany`, whose count is that of all.
    """
    if not rows:
        return 0
    connection = connections[conf.settings.DATABASE]
    fields: list[Any] = [model._meta.get_field(name) for name in (*match, *change)]
    prepared = [
        [field.get_db_prep_save(value, connection) for field, value in zip(fields, row, strict=True)]
        for row in rows
    ]
    statement = _Statement(connection, model, fields[: len(match)], fields[len(match) :], also or {})
    changed = 0
    with connection.cursor() as cursor:
        for start in range(0, len(prepared), AT_ONCE):
            some = prepared[start : start + AT_ONCE]
            if connection.vendor == "postgresql":
                cursor.execute(*statement.from_values(some))
            else:
                cursor.executemany(*statement.for_each(some))
            changed += max(0, cursor.rowcount)
    return changed


class _Statement:
    def __init__(
        self,
        connection: Any,
        model: type[models.Model],
        match: Sequence[Any],
        change: Sequence[Any],
        also: Mapping[str, Expression],
    ) -> None:
        self._connection = connection
        self._quote = connection.ops.quote_name
        self._table = self._quote(model._meta.db_table)
        self._match, self._change = match, change
        compiler = model._base_manager.using(connection.alias).query.get_compiler(connection.alias)
        self._also = [(model._meta.get_field(name), *compiler.compile(value)) for name, value in also.items()]

    def for_each(self, rows: Sequence[Sequence[Any]]) -> tuple[str, list[list[Any]]]:
        """For `executemany`: one row at a time."""
        alike, params = self._alike()
        changes = [f"{self._name(field)} = %s" for field in self._change]
        matches = [f"{self._name(field)} = %s" for field in self._match]
        size = len(self._match)
        changed, matched = ", ".join(changes + alike), " AND ".join(matches)
        sql = f"UPDATE {self._table} SET {changed} WHERE {matched}"  # noqa: S608 - names of columns alone
        return sql, [[*row[size:], *params, *row[:size]] for row in rows]

    def from_values(self, rows: Sequence[Sequence[Any]]) -> tuple[str, list[Any]]:
        """For `execute`: all rows at once; the first one says of which types the columns are."""
        alike, params = self._alike()
        fields = [*self._match, *self._change]
        names = [f"v{number}" for number in range(len(fields))]
        size = len(self._match)
        matches = [
            f"{self._table}.{self._name(field)} = v.{name}"
            for field, name in zip(self._match, names[:size], strict=True)
        ]
        changes = [
            f"{self._name(field)} = v.{name}" for field, name in zip(self._change, names[size:], strict=True)
        ]
        typed = ", ".join(f"CAST(%s AS {self._type(field)})" for field in fields)
        plain = ", ".join(["%s"] * len(fields))
        values = ", ".join([f"({typed})", *[f"({plain})"] * (len(rows) - 1)])
        changed, given, matched = ", ".join(changes + alike), ", ".join(names), " AND ".join(matches)
        source = f"(VALUES {values}) AS v ({given})"
        sql = f"UPDATE {self._table} SET {changed} FROM {source} WHERE {matched}"  # noqa: S608 - as above
        return sql, [*params, *(value for row in rows for value in row)]

    def _alike(self) -> tuple[list[str], list[Any]]:
        return [f"{self._name(field)} = {sql}" for field, sql, _ in self._also], [
            param for _, _, params in self._also for param in params
        ]

    def _name(self, field: Any) -> str:
        name: str = self._quote(field.column)
        return name

    def _type(self, field: Any) -> str:
        """Without its length: a cast would cut what is too long, and say nothing."""
        name: str = field.db_type(self._connection)
        return name.partition("(")[0]
