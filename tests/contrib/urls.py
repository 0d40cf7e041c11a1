from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path

from sandbox.config.urls import urlpatterns as sandbox


def seed(request: HttpRequest) -> HttpResponse:
    """A page that loads the script of celery-progress, as its documents show."""
    return HttpResponse((settings.BASE / "tests" / "seeds" / "celery_progress.html").read_bytes())


urlpatterns = [*sandbox, path("seed/", seed)]
