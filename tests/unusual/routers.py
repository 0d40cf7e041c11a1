from __future__ import annotations

from typing import Any


class UsersStayAtHome:
    """The database of runs holds nothing else."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if db == "sims" and app_label != "livesim" else None
