from __future__ import annotations

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="livesim:run-list")),
    path("livesim/", include("django_livesim.urls")),
    path("admin/", admin.site.urls),
    # The sandbox has no web server in front of it, with DEBUG or without.
    path("static/<path:path>", serve, {"insecure": True}),
]
