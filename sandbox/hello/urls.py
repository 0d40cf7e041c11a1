from __future__ import annotations

from django.urls import path

from sandbox.hello import views

urlpatterns = [path("hello/", views.home, name="document-hello")]
