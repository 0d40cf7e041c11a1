"""The embedded worker: runs stepped inside the development server, with no Redis and no worker process."""

from __future__ import annotations

import logging
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
from django_livesim.worker.background import start_background

logger = logging.getLogger(__name__)

RETRY = 5.0  # seconds before the lock is tried again

_lock = threading.Lock()
_held: IO[bytes] | None = None
_tried = -RETRY
_complained = False


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
            start_background()
            logger.info("embedded worker started; simulations run inside this server")


def wanted() -> bool:
    """Whether this process should step runs: EMBEDDED_WORKER, and only ever under DEBUG."""
    setting = conf.settings.EMBEDDED_WORKER
    if setting is False or (setting == "auto" and not is_local()):
        return False
    if not django_settings.DEBUG:
        _complain()
        return False
    return True


def _complain() -> None:
    """Said in code, since system checks do not run under an ASGI server."""
    global _complained
    if not _complained:
        _complained = True
        logger.error(
            "No simulation can run: there is no channel layer that processes share, and the embedded worker"
            " is for DEBUG only. Set CHANNEL_LAYERS to Redis and start `manage.py livesim_worker`."
        )


def _take_lock() -> IO[bytes] | None:
    """A lock that one process of this project's database has; None where another has it."""
    database = django_settings.DATABASES[conf.settings.DATABASE]
    what = f"{database.get('ENGINE')}:{database.get('HOST')}:{database.get('PORT')}:{database.get('NAME')}"
    name = blake2b(what.encode(), digest_size=8).hexdigest()
    file = Path(tempfile.gettempdir(), f"livesim-embedded-{name}.lock").open("wb")  # noqa: SIM115  (held until the process ends)
    if locks.lock(file, locks.LOCK_EX | locks.LOCK_NB):
        return file
    file.close()
    logger.warning("another server process steps the runs of this database; this one shows nothing live")
    return None
