"""Senders of commands, shown by the names of their users."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils.html import format_html


def names_of(senders: Iterable[str]) -> dict[str, str]:
    """For each sender what is shown: a user's name with the sender as its title, by one query for all.

    A user that is no more, a session and a process are shown as they are.
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
    return {
        keys[key]: format_html('<span title="{}">{}</span>', keys[key], user.get_username())
        for key, user in found.items()
    }
