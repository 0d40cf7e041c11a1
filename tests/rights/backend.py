"""Permissions on single objects, as django-guardian gives them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend

GRANTED: set[tuple[Any, str]] = set()
"""Users by their id, and permissions that they have on every object, and for no model."""

ASKED: list[tuple[str, Any]] = []
"""What was asked about which object: a real back end asks its database each time."""


class ObjectPermissions(BaseBackend):
    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        if obj is not None:
            ASKED.append((perm, obj.pk))
        return obj is not None and user_obj.is_active and (user_obj.pk, perm) in GRANTED
