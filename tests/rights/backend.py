"""Permissions on single objects, as django-guardian gives them."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import BaseBackend

GRANTED: set[tuple[Any, str]] = set()
"""Users by their id, and permissions that they have on every object, and for no model."""


class ObjectPermissions(BaseBackend):
    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        return obj is not None and user_obj.is_active and (user_obj.pk, perm) in GRANTED
