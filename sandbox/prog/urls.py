from __future__ import annotations

from django.urls import path

from sandbox.prog import views

urlpatterns = [path("progress/", views.progress, name="document-progress")]
