"""Commands in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast, Left
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_livesim import permissions
from django_livesim.admin.narrowing import KindFilter, OutcomeFilter, search_commands
from django_livesim.admin.reading import HIDDEN, RUN_DEFERRED, RecordAdmin, as_block, asker
from django_livesim.admin.senders import names_of
from django_livesim.models import Command
from django_livesim.protocol.cutting import cut
from django_livesim.protocol.names import Kind, Outcome

LINE = 80
"""Characters of arguments, or of a refusal, in a list."""


class CommandAdmin(RecordAdmin):
    """The journal of every run.

    What a command was sent with, and its result, are for who may inspect its
    run, and for who sent it.
    """

    list_display = ("id", "created", "run_link", "what", "args_line", "sent_by", "outcome_line")
    list_display_links = ("id",)
    list_filter = (KindFilter, OutcomeFilter)
    ordering = ("-id",)
    search_fields = ("=id",)
    search_help_text = gettext_lazy(
        "A command's number, or the uuid of a run; among the newest of one run also a command's name or id."
    )
    fields = (
        "run_link",
        "kind",
        "name",
        "arguments",
        "sent_by",
        "client_id",
        "durable",
        "due_at",
        "due_tick",
        "every",
        "series",
        "created_at",
        "outcome_line",
        "answer",
        "apply_tick",
        "apply_seq",
        "epoch",
        "applied_at",
    )
    readonly_fields = fields
    change_form_template = "admin/livesim/command/change_form.html"
    change_list_template = "admin/livesim/command/change_list.html"

    def listed(self, rows: QuerySet[Any]) -> QuerySet[Any]:
        begins = {
            "args_begin": Left(Cast("args", TextField()), LINE + 1),
            "message_begin": Left("message", LINE + 1),
        }
        return rows.defer(*RUN_DEFERRED, "args", "result", "message").annotate(**begins)

    def permitted(self, request: HttpRequest, rows: list[Any]) -> list[Any]:
        rows = super().permitted(request, rows)
        inspectable = permissions.inspectable(asker(request), {row.run for row in rows})
        return note_told(request, rows, inspectable)

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        row = super().get_object(request, *args, **kwargs)
        if row is not None:
            may = permissions.may_inspect(asker(request), row.run)
            note_told(request, [row], {row.run_id} if may else set())
        return row

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return search_commands(request, queryset, search_term), False

    @admin.display(description=gettext_lazy("command"))
    def what(self, row: Command) -> str:
        control = row.kind == Kind.CONTROL
        return _("%(name)s (control)") % {"name": row.name} if control else row.name

    @admin.display(description=gettext_lazy("arguments"))
    def args_line(self, row: Any) -> str:
        return cut(row.args_begin, LINE) if row.told else HIDDEN

    @admin.display(description=gettext_lazy("arguments"))
    def arguments(self, row: Any) -> str:
        return as_block(row.args) if row.told else HIDDEN

    @admin.display(description=gettext_lazy("sender"))
    def sent_by(self, row: Any) -> str:
        sent_by: str = row.sent_by  # noted with what is told
        return sent_by

    @admin.display(description=gettext_lazy("answer"))
    def answer(self, row: Any) -> str:
        if not row.told:
            return HIDDEN
        return self.get_empty_value_display() if row.result is None else as_block(row.result)

    @admin.display(description=gettext_lazy("outcome"))
    def outcome_line(self, row: Any) -> str:
        message = row.message_begin if hasattr(row, "message_begin") else row.message
        if row.outcome == Outcome.APPLIED:
            return _("applied at tick %(tick)s") % {"tick": row.apply_tick}
        if row.outcome == Outcome.REFUSED:
            why = cut(message, LINE) if hasattr(row, "message_begin") else message
            return _("refused: %(why)s") % {"why": why or row.code}
        return _("waiting")


def note_told(request: HttpRequest, rows: list[Any], inspectable: set[Any]) -> list[Any]:
    """Note at each command as `told` whether its arguments and result are for who asks; and who sent it."""
    sender, names = asker(request).sender, names_of(row.sender for row in rows)
    for row in rows:
        row.sent_by = names.get(row.sender, row.sender)
        row.told = row.sender == sender or row.run_id in inspectable
    return rows
