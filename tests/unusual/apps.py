from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig


class HostConfig(AppConfig):
    name = "tests.unusual.app"
    label = "unusual"


class HostAdminConfig(AdminConfig):
    default_site = "tests.unusual.sites.HostAdminSite"
