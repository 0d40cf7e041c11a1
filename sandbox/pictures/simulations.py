"""A channel of one's own, as the document has it: it carries the ids of images to a worker."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from django_livesim import on_channel
from sandbox.pictures.drawing import draw, png, shrink
from sandbox.pictures.models import Picture


@on_channel("thumbnails")
def make_thumbnail(message: dict[str, Any]) -> None:
    """One after the other, in the order of the messages. Of a picture that is gone, nothing is made."""
    image_id = message["image_id"]
    small = png(shrink(draw(image_id), 2))
    Picture.objects.filter(pk=image_id).update(thumbnail=small, made_at=timezone.now())
