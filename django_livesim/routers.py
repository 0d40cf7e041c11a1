"""The way to the rows where they have a database of their own: `LIVESIM["DATABASE"]`.

    DATABASE_ROUTERS = ["django_livesim.routers.LivesimRouter"]

Routers of the host's own may stand before or after it.
"""

from __future__ import annotations

from typing import Any

from django.db import router

from django_livesim import conf

APP = "livesim"


class LivesimRouter:
    """Sends our models, and their tables, to their database; owners are looked for where users are."""

    def db_for_read(self, model: type[Any], **hints: Any) -> str | None:
        if _is_ours(model):
            return _alias()
        return _of_others(router.db_for_read, model, hints)

    def db_for_write(self, model: type[Any], **hints: Any) -> str | None:
        if _is_ours(model):
            return _alias()
        return _of_others(router.db_for_write, model, hints)

    def allow_relation(self, one: Any, other: Any, **hints: Any) -> bool | None:
        """A run may have an owner from elsewhere: no foreign key of the database's says that it may not."""
        return True if _is_ours(one) or _is_ours(other) else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Our tables are made in their database alone; of other apps' tables the host decides."""
        return db == _alias() if app_label == APP else None


def _is_ours(model: Any) -> bool:
    return bool(model._meta.app_label == APP)


def _alias() -> str:
    return str(conf.settings.DATABASE)


def _of_others(ask: Any, model: type[Any], hints: dict[str, Any]) -> str | None:
    """Where rows of others are that one of ours points to: where they would be without the hint."""
    if "instance" in hints and _is_ours(hints["instance"]):
        return str(ask(model))
    return None
