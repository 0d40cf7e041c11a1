from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sandbox.config.settings")

app = Celery("sandbox", task_cls="django_livesim.contrib.celery:LivesimTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["sandbox.celery_tasks"])
