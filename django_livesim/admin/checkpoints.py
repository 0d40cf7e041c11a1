"""Checkpoints in the admin."""

from __future__ import annotations

from typing import Any

import orjson
from django.contrib import admin
from django.db.models import QuerySet
from django.db.models.functions import Length
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_livesim import permissions
from django_livesim.admin.reading import HIDDEN, RUN_DEFERRED, RecordAdmin, as_block, asker
from django_livesim.models import Checkpoint
from django_livesim.protocol import packed
from django_livesim.protocol.cutting import MARK


class CheckpointAdmin(RecordAdmin):
    """Where runs are stored. Their states are for who may inspect them."""

    list_display = (
        "number",
        "run_link",
        "tick",
        "apply_seq",
        "epoch",
        "version",
        "short_hash",
        "size",
        "created",
    )
    list_display_links = ("number",)
    ordering = ("-id",)
    fields = (
        "run_link",
        "tick",
        "apply_seq",
        "epoch",
        "version",
        "hash",
        "size",
        "created_at",
        "state",
    )
    readonly_fields = fields
    change_form_template = "admin/livesim/checkpoint/change_form.html"
    change_list_template = "admin/livesim/checkpoint/change_list.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).defer(*RUN_DEFERRED, "data", "views")
        return rows.annotate(bytes=Length("data"))

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        row = super().get_object(request, *args, **kwargs)
        if row is not None:
            row.told = permissions.may_inspect(asker(request), row.run)
        return row

    @admin.display(description=gettext_lazy("id"), ordering="id")
    def number(self, row: Checkpoint) -> int:
        return int(row.pk)

    @admin.display(description=gettext_lazy("hash"))
    def short_hash(self, row: Checkpoint) -> str:
        return f"{row.hash[:12]}{MARK}"

    @admin.display(description=gettext_lazy("size"))
    def size(self, row: Any) -> str:
        return filesizeformat(row.bytes)

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: Any) -> str:
        return shown_state(row) if row.told else HIDDEN


def shown_state(row: Checkpoint) -> str:
    """The state of a checkpoint as indented JSON, or why there is none to show."""
    data = packed.unpack(bytes(row.data))
    if data is None:
        return _("The stored bytes are damaged; a worker takes the checkpoint before this one.")
    if not data:
        return _("This simulation stores no state: it is recovered by playing its commands again.")
    return as_block(orjson.loads(data)["state"])
