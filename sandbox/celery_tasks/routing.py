from __future__ import annotations

from django.urls import path

from sandbox.celery_tasks.consumers import TaskStatusConsumer

websocket_urlpatterns = [
    path("ws/task_status/<str:task_id>/", TaskStatusConsumer.as_asgi()),
    path("ws/progress/<str:task_id>/", TaskStatusConsumer.as_asgi()),
]
