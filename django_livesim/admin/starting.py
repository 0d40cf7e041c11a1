"""Start runs from the add form."""

from __future__ import annotations

from django_livesim.admin.base import RunPages


class StartingMixin(RunPages):
    """Start runs from the add form."""
