from __future__ import annotations

from django.db import models


class Picture(models.Model):
    """A picture, which is drawn from its id; and its thumbnail, once a worker has made that."""

    thumbnail = models.BinaryField(null=True)
    made_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"picture {self.pk}"
