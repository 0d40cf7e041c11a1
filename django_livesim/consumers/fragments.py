"""Messages of the socket as HTML: by which template, and what that is given."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from django.conf import settings as django_settings
from django.db import close_old_connections
from django.template import TemplateDoesNotExist
from django.template.loader import select_template
from django.urls import reverse, set_script_prefix
from django.utils import translation
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from django_livesim.bus.seldom import Seldom
from django_livesim.gateway import asked
from django_livesim.models import Run
from django_livesim.protocol import tables

logger = logging.getLogger(__name__)
seldom = Seldom(logger)

FOLDER = "django_livesim/fragments"
FRAME = "frame"
"""The template of a snapshot, with or without tables."""

SILENT = SafeString()
"""What a message comes to that has no template: this very object."""

FAILED = _("What is new cannot be shown; the server has logged why. The run goes on.")
LATE = _("What is new takes long to be shown. The run goes on.")


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What the templates are told of a run: what stays as it is while it is watched."""

    id: UUID
    name: str
    key: str | None
    label: str
    simulation: str
    prefix: str = "/"
    """The path that the site is mounted at."""

    @classmethod
    def of(cls, run: Run, scope: Mapping[str, Any]) -> Subject:
        """Of a run that is watched by the socket of this scope."""
        mounted: str = django_settings.FORCE_SCRIPT_NAME or scope.get("root_path") or ""
        return cls(
            id=run.id,
            name=run.name,
            key=run.key,
            label=str(run),
            simulation=run.simulation,
            prefix=f"{mounted.rstrip('/')}/",
        )

    def __str__(self) -> str:
        return self.label

    def get_absolute_url(self) -> str:
        return reverse("livesim:run-detail", args=[self.id])


def of_frame(subject: Subject, role: str, language: str, text: str) -> SafeString | None:
    """A snapshot as HTML; None where that failed."""
    return _rendered(subject, FRAME, language, lambda: _told_by_frame(role, text))


def of_message(subject: Subject, language: str, text: str) -> SafeString | None:
    """Any other message as HTML, `SILENT` where no template is there for its type; None where that failed."""
    return _rendered(subject, kind_of(text), language, lambda: orjson.loads(text))


def kind_of(text: str) -> str:
    """The type of a message, which each begins with."""
    return text.removeprefix('{"type":"').partition('"')[0][:40]


def _told_by_frame(role: str, text: str) -> dict[str, Any]:
    message = orjson.loads(text)
    state = message["state"]
    for name, packed in message.get("tables", {}).items():
        state[name] = tables.unpack(packed)
    return {"state": state, "tick": message["tick"], "role": role}


def _rendered(
    subject: Subject, kind: str, language: str, read: Callable[[], dict[str, Any]]
) -> SafeString | None:
    """In a thread of ours, with whatever the template of the host does. Raises nothing."""
    try:
        close_old_connections()
        try:
            set_script_prefix(subject.prefix)
            with translation.override(language):
                return asked(_render)(subject, kind, {**read(), "run": subject})
        finally:
            close_old_connections()
    except Exception:
        seldom.warning("The HTML of a %s could not be made: run=%s", kind, subject.id, exc_info=True)
        return None


def _render(subject: Subject, kind: str, context: dict[str, Any]) -> SafeString:
    try:
        template = select_template([f"{FOLDER}/{subject.simulation}/{kind}.html", f"{FOLDER}/{kind}.html"])
    except TemplateDoesNotExist:
        return SILENT
    return mark_safe(template.render(context).strip())  # noqa: S308  (the template has escaped it)


def notice(subject: Subject, language: str, text: Any = "") -> SafeString:
    """A plain line for people, made without templates, since those may be what failed; "" takes it away."""
    with translation.override(language):
        shown = str(text)
    line = format_html('<p class="ls-notice">{}</p>', shown) if shown else ""
    return format_html('<div id="livesim-notice-{}" hx-swap-oob="innerHTML">{}</div>', subject.id, line)
