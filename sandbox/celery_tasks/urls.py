from __future__ import annotations

from django.urls import path

from sandbox.celery_tasks import views

urlpatterns = [
    path("celery/", views.start, name="document-tasks"),
    path("celery/<str:task_id>/", views.show, name="document-task"),
]
