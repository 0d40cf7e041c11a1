"""Triggers that note each write which a zombie alone can have made, at the moment it is made."""

from __future__ import annotations

from django.db import connection

TABLE = "chaos_audit"

NEXT_TO = "(SELECT epoch FROM livesim_run WHERE id = NEW.run_id)"
"""The epoch of the run of a command or checkpoint: another than the writer's, and it has been taken over."""

RULES = {
    # name: table, event, when, what is noted
    "zombie_verdict": (
        "livesim_command",
        "UPDATE OF apply_seq",
        f"NEW.apply_seq IS NOT NULL AND NEW.epoch IS NOT NULL AND NEW.epoch <> {NEXT_TO}",
        "NEW.run_id",
    ),
    "second_verdict": (
        "livesim_command",
        "UPDATE OF apply_seq, outcome",
        "OLD.apply_seq IS NOT NULL AND (NEW.apply_seq <> OLD.apply_seq OR NEW.outcome <> OLD.outcome)",
        "NEW.run_id",
    ),
    "zombie_checkpoint": ("livesim_checkpoint", "INSERT", f"NEW.epoch <> {NEXT_TO}", "NEW.run_id"),
    "tick_back": (
        "livesim_run",
        "UPDATE OF tick",
        "NEW.tick < OLD.tick AND NEW.simulation IN ('ledger', 'steady')",
        "NEW.id",
    ),
    "seq_back": ("livesim_run", "UPDATE OF next_seq", "NEW.next_seq < OLD.next_seq", "NEW.id"),
    "epoch_back": ("livesim_run", "UPDATE OF epoch", "NEW.epoch < OLD.epoch", "NEW.id"),
}


def install() -> None:
    """Make the table and the triggers, in a database that has none of them."""
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {TABLE} (rule varchar(20), run varchar(40))")
        for name, rule in RULES.items():
            for statement in (_sqlite if connection.vendor == "sqlite" else _postgres)(name, *rule):
                cursor.execute(statement)


def _sqlite(name: str, table: str, event: str, when: str, run: str) -> list[str]:
    note = f"INSERT INTO {TABLE} VALUES ('{name}', {run})"
    return [f"CREATE TRIGGER {name} AFTER {event} ON {table} WHEN {when} BEGIN {note}; END"]


def _postgres(name: str, table: str, event: str, when: str, run: str) -> list[str]:
    note = f"INSERT INTO {TABLE} VALUES ('{name}', {run}::text)"
    body = f"BEGIN IF {when} THEN {note}; END IF; RETURN NULL; END"
    return [
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$",
        f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()",
    ]


def take() -> dict[str, int]:
    """How often each rule was broken since the last time."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT rule, count(*) FROM {TABLE} GROUP BY rule")
        found = dict(cursor.fetchall())
        cursor.execute(f"DELETE FROM {TABLE}")
    return found
