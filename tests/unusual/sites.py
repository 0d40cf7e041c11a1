"""The host's own admin site, and a second one beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from tests.unusual.policy import relaxed


class HostAdminSite(admin.AdminSite):
    site_header = "The host's own administration"

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        return relaxed(super().admin_view(view, cacheable))

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return relaxed(super().login)(request, extra_context)


back_office = HostAdminSite(name="back-office")
