from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from sandbox.config.parts import pages

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="livesim:run-list")),
    path("livesim/", include("django_livesim.urls")),
    path("admin/", admin.site.urls),
    *pages(settings.INSTALLED_APPS),
]
