"""Delete runs."""

from __future__ import annotations

from django_livesim.admin.base import RunPages


class DeletingMixin(RunPages):
    """Delete runs."""
