"""Send a command to a run."""

from __future__ import annotations

from django_livesim.admin.base import RunPages


class SendingMixin(RunPages):
    """Send a command to a run."""
