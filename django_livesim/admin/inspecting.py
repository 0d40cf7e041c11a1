"""Look into a run."""

from __future__ import annotations

from django_livesim.admin.base import RunPages


class InspectingMixin(RunPages):
    """Look into a run."""
