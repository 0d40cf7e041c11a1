"""The admin: runs, their commands and checkpoints, and the workers.

`RunAdminMixin` goes before a host's own `ModelAdmin`, on any admin site.
"""

from __future__ import annotations

from django.contrib import admin

from django_livesim.admin import records
from django_livesim.admin.runs import RunAdmin, RunAdminMixin
from django_livesim.models import Run

__all__ = ["RunAdmin", "RunAdminMixin", "records"]

admin.site.register(Run, RunAdmin)
