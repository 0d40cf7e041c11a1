"""The embedded worker: runs stepped inside the development server, with no Redis and no worker process."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from hashlib import blake2b
from pathlib import Path
from typing import IO

from django.conf import settings as django_settings
from django.core.files import locks

from django_livesim import conf
from django_livesim.bus.layers import is_local
from django_livesim.gateway.enqueuing import queues
from django_livesim.worker.background import start_background

logger = logging.getLogger(__name__)

RETRY = 5.0  # seconds before the lock is tried again

_lock = threading.Lock()
_held: IO[bytes] | None = None
_tried = -RETRY
_complained: set[str] = set()


def ensure_started() -> None:
    """Start the embedded worker where it belongs, once. Cheap; called for each connection."""
    global _held, _tried
    if _held is not None or time.monotonic() - _tried < RETRY or not wanted():
        return
    with _lock:
        if _held is not None:
            return
        _tried = time.monotonic()
        _held = _take_lock()
        if _held is not None:
            start_background(sorted(queues()))  # there is no other worker that would have them
            logger.info("embedded worker started; simulations run inside this server")


def wanted() -> bool:
    """Whether this process should step runs: EMBEDDED_WORKER, and only ever under DEBUG."""
    setting = conf.settings.EMBEDDED_WORKER
    if setting is False or (setting == "auto" and not is_local()):
        return False
    if not django_settings.DEBUG:
        _complain(
            "No simulation can run: there is no channel layer that processes share, and the embedded worker"
            " is for DEBUG only. Set CHANNEL_LAYERS to Redis and start `manage.py livesim_worker`."
        )
        return False
    return True


def _complain(text: str) -> None:
    """Once a process. Said in code, since system checks do not run under an ASGI server."""
    if text not in _complained:
        _complained.add(text)
        logger.error(text)


def _take_lock() -> IO[bytes] | None:
    """A lock that one process of this project's database and this user has; None where another has it."""
    database = django_settings.DATABASES[conf.settings.DATABASE]
    what = f"{database.get('ENGINE')}:{database.get('HOST')}:{database.get('PORT')}:{database.get('NAME')}"
    name = blake2b(what.encode(), digest_size=8).hexdigest()
    user = os.getuid() if hasattr(os, "getuid") else "user"
    path = Path(tempfile.gettempdir(), f"livesim-embedded-{user}-{name}.lock")
    try:
        file = path.open("wb")
    except OSError as exc:
        _complain(f"No simulation can run in this server: its lock cannot be opened: {exc}. Remove {path}.")
        return None
    if locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):
        return file
    file.close()
    logger.warning("another server process steps the runs of this database; this one shows nothing live")
    return None
