"""Tasks of Celery whose status is told to sockets; the worker: `celery -A sandbox.celery_tasks worker`."""

from __future__ import annotations

from sandbox.celery_tasks.celery import app as celery_app

__all__ = ["celery_app"]
