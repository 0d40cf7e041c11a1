"""`livesim:health`: whether what runs need is well, for load balancers and monitors."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_livesim import permissions
from django_livesim.gateway.examining import PARTS, Part, State, examine
from django_livesim.permissions import Actor
from django_livesim.views.respond import outside_transactions


@login_not_required
@never_cache
@require_safe
@outside_transactions
def health(request: HttpRequest) -> JsonResponse:
    """200 and `{"status": "ok"}` where all parts are well, else 503 and "failing", within two seconds.

    `?parts=database,layer` asks for these alone. Who may see the workers gets the figures too.
    """
    asked = [name for name in request.GET.get("parts", "").split(",") if name] or list(PARTS)
    if unknown := sorted(set(asked) - set(PARTS)):
        return JsonResponse({"status": "unknown", "unknown": unknown[0][:50], "expected": PARTS}, status=400)
    parts = examine(asked)
    well = all(parts[name].state == State.OK for name in asked)
    answer: dict[str, Any] = {"status": "ok" if well else "failing"}
    if _may_see(request, parts):
        answer["parts"] = _figures(parts, asked)
    response = JsonResponse(answer, status=200 if well else 503)
    response._has_been_logged = True  # type: ignore[attr-defined]  # else Django mails each 503 to ADMINS
    return response


def _may_see(request: HttpRequest, parts: Mapping[str, Part]) -> bool:
    """By the token; by the user only where the database was just seen to answer, since that looks there."""
    if permissions.is_monitor(request.headers.get("Authorization", "")):
        return True
    if "database" not in parts or not parts["database"].figures:
        return False
    return permissions.may_see_workers(Actor(user=getattr(request, "user", None)))


def _figures(parts: Mapping[str, Part], asked: Collection[str]) -> dict[str, Any]:
    return {name: _told(part) for name, part in parts.items() if name in asked}


def _told(part: Part) -> dict[str, Any]:
    problem = {"problem": part.problem} if part.problem else {}
    return {"state": str(part.state), **problem, **part.figures}
