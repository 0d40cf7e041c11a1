from __future__ import annotations

from typing import Any

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.http import require_http_methods, require_safe

from django_livesim import send_to
from django_livesim.models import Task
from sandbox.pictures.drawing import draw, png
from sandbox.pictures.models import Picture

CHANNEL = "thumbnails"
SEVERAL = 6
KEPT = 24  # pictures: anybody may come here


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def pictures(request: HttpRequest) -> HttpResponse:
    """The newest ones; a POST makes some more, and has a worker make their thumbnails."""
    context: dict[str, Any] = {"pictures": Picture.objects.order_by("-pk")[:KEPT]}
    if request.method != "POST":
        return render(request, "pictures/pictures.html", context)
    if Task.objects.filter(kind=Task.Kind.MESSAGE, name=CHANNEL).open().count() >= KEPT:
        context["refused"] = f"{KEPT} wait already. Come back when a worker has made their thumbnails."
        return render(request, "pictures/pictures.html", context, status=429)
    add(SEVERAL if "several" in request.POST else 1)
    return redirect("document-pictures")


@transaction.atomic
def add(number: int) -> None:
    """Make so many pictures: a row and a message each, or neither."""
    for _ in range(number):
        image = Picture.objects.create()
        send_to(CHANNEL, {"image_id": image.pk})
    Picture.objects.filter(pk__lte=image.pk - KEPT).delete()


@cache_control(max_age=3600)
@require_safe
def picture(request: HttpRequest, image_id: int) -> HttpResponse:
    """In full size, drawn now."""
    get_object_or_404(Picture, pk=image_id)
    return HttpResponse(png(draw(image_id)), content_type="image/png")


@cache_control(max_age=3600)
@require_safe
def thumbnail(request: HttpRequest, image_id: int) -> HttpResponse:
    """As the worker has made it; 404 before."""
    image = get_object_or_404(Picture, pk=image_id, made_at__isnull=False)
    return HttpResponse(bytes(image.thumbnail), content_type="image/png")
