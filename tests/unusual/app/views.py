"""Views of the host that act on runs within its own transactions."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse

from django_livesim import gateway
from django_livesim.models import Checkpoint


def send_and_break(request: HttpRequest, run: str) -> HttpResponse:
    """Sends a command, and leaves something behind that the database refuses at COMMIT."""
    command = gateway.send(run, "add", {"n": 5}, wait=True)
    Checkpoint.objects.create(
        run_id="00000000-0000-0000-0000-000000000000", tick=0, apply_seq=0, epoch=0, hash="", data=b""
    )
    return HttpResponse(f"accepted {command.name}")


def send(request: HttpRequest, run: str) -> HttpResponse:
    return HttpResponse(f"sent {gateway.send(run, 'add', {'n': 5}, wait=True).name}")
