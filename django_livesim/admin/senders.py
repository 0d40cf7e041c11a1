"""Senders of commands, shown by the names of their users."""

from __future__ import annotations

from collections.abc import Iterable

from django.utils.html import format_html

from django_livesim.gateway import senders as known


def names_of(senders: Iterable[str]) -> dict[str, str]:
    """For each sender what is shown: a user's name with the sender as its title, by one query for all.

    A user that is no more, a session and a process are shown as they are.
    """
    names = known.names_of(senders, lambda user: user.get_username())
    return {sender: format_html('<span title="{}">{}</span>', sender, name) for sender, name in names.items()}
