"""Senders of commands, by the names of their users."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError


def names_of(senders: Iterable[str], name: Callable[[Any], str] = str) -> dict[str, str]:
    """The names of those senders that are users, by one query for all; a user that is no more is left out.

    They are as the site shows users, or as `name` gives them: by what they log in may be nobody's business.
    """
    users = get_user_model()
    keys = {}
    for sender in set(senders):
        if sender.startswith("u:"):
            try:
                keys[users._meta.pk.to_python(sender[2:])] = sender
            except ValidationError:
                continue
    found = users._default_manager.in_bulk(keys) if keys else {}
    return {keys[key]: name(user) for key, user in found.items()}
