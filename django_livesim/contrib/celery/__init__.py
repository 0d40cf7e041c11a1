"""What becomes of Celery's tasks, told on runs by Celery's signals: `LIVESIM["CELERY"]` names which.

Nothing is kept here but until when progress is not told, and whether this is beat. Each word is one
transaction of the process that has it to say, after the one that may be open: the sender's, the child's that
runs the task, the worker's where that child is gone. What cannot be told is logged and passed over: the task
goes on. A process that dies before its word has committed has not said it; Celery is not asked later.

The order is that in which things happen: *waiting* is for a task of which nothing was told before, a further
attempt is told before the message for it is sent, and an end is final. What is sent for a further attempt
within a transaction is told once this attempt is over, unless that one has begun by then.
"""

from __future__ import annotations

from django_livesim.contrib.celery import receivers as _receivers  # noqa: F401  (they connect themselves)
from django_livesim.contrib.celery.owning import owned_by
from django_livesim.contrib.celery.task import LivesimTask
from django_livesim.contrib.celery.telling import key_of

__all__ = ["LivesimTask", "key_of", "owned_by"]
