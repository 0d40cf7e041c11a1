"""One at a time: what must be counted and written with nobody in between."""

from __future__ import annotations

import uuid

from django.db import connections
from django.db.models import F

from django_livesim import conf
from django_livesim.models import Run
from django_livesim.protocol import plain


def enter(name: str) -> None:
    """Wait until no other transaction is past here under that name; to the end of this one nobody else is.

    On PostgreSQL by an advisory lock, on SQLite by being the one who
    writes. Needs a transaction; what is read after it is what others have
    committed.
    """
    connection = connections[conf.settings.DATABASE]
    if connection.vendor == "postgresql":
        number = int(plain.digest(f"livesim.{name}".encode())[:15], 16)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [number])
    else:
        Run.objects.filter(id=uuid.uuid4()).update(tick=F("tick"))  # no row, and yet a write
