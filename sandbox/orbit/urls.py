from __future__ import annotations

from django.urls import path

from sandbox.orbit import views

urlpatterns = [path("embedding/", views.observatory, name="document-embedding")]
