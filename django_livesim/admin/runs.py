"""Runs in the admin."""

from __future__ import annotations

from django.contrib import admin

from django_livesim.admin.acting import ActingMixin
from django_livesim.admin.deleting import DeletingMixin
from django_livesim.admin.inspecting import InspectingMixin
from django_livesim.admin.sending import SendingMixin
from django_livesim.admin.starting import StartingMixin


class RunAdminMixin(ActingMixin, StartingMixin, DeletingMixin, InspectingMixin, SendingMixin):
    """All of it, to go before a host's own ModelAdmin: `class MyRunAdmin(RunAdminMixin, MyModelAdmin)`."""


class RunAdmin(RunAdminMixin, admin.ModelAdmin):  # type: ignore[type-arg]  # Django's takes none at run time
    """Runs, as `django_livesim` registers them on the default site."""
