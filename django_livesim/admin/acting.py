"""Pause, resume, stop and restart runs."""

from __future__ import annotations

from django_livesim.admin.base import RunPages


class ActingMixin(RunPages):
    """Pause, resume, stop and restart runs."""
