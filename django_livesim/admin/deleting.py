"""Deleting runs through the gateway: what goes with them is counted, never loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db import router, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from django_livesim import gateway
from django_livesim.admin.acting import ActingMixin
from django_livesim.admin.asking import SHOWN
from django_livesim.admin.base import told
from django_livesim.models import Checkpoint, Command, Run
from django_livesim.protocol.errors import LivesimError


class DeletingMixin(ActingMixin):
    """One run by the button of its page, many by the action; each is in the history of the site."""

    @told
    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """All or nothing, also where the site's history is in another database than the runs."""
        with transaction.atomic(using=router.db_for_write(LogEntry)):
            return super().delete_view(request, object_id, extra_context)

    def delete_model(self, request: HttpRequest, obj: Run) -> None:
        gateway.delete(obj, actor=self.actor(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        for run in queryset:
            self.delete_model(request, run)

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[Any], list[Any]]:
        """The runs by name, and how many rows go with them."""
        runs = list(objs)
        lacking = {
            str(self.opts.verbose_name) for run in runs if not self.has_delete_permission(request, run)
        }
        return [str(run) for run in runs[:SHOWN]], counts(runs), lacking, []

    @admin.action(description=gettext_lazy("Delete selected %(verbose_name_plural)s"), permissions=["act"])
    def delete_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        """In place of the site's own action: with less than a million names, and each on its own."""
        runs = self.chosen(request, queryset)
        mine = [run for run in runs if self.has_delete_permission(request, run)]
        left = [(run, _("you have no right to delete it")) for run in runs if run not in mine]
        if mine and "confirmed" not in request.POST:
            return self.ask(
                request,
                question=_("Delete for ever? This cannot be undone."),
                yes=_("Yes, delete"),
                action="delete_selected",
                touched=mine,
                left=left,
                counts=counts(mine).items(),
            )
        for run, why in left[:SHOWN]:
            text = _("“%(run)s”: left out: %(why)s") % {"run": run, "why": why}
            self.message_user(request, text, messages.WARNING)
        deleted = sum(self._delete(request, run) for run in mine)
        if deleted:
            text = ngettext("%(count)s run was deleted.", "%(count)s runs were deleted.", deleted)
            self.message_user(request, text % {"count": deleted}, messages.SUCCESS)
        return self.back_to_narrowed(request)

    def _delete(self, request: HttpRequest, run: Run) -> bool:
        try:
            with transaction.atomic(using=router.db_for_write(LogEntry)):
                self.log_deletions(request, cast(Any, [run]))  # a list will do, and loads nothing again
                self.delete_model(request, run)
        except LivesimError as problem:
            text = _("“%(run)s”: %(why)s") % {"run": run, "why": problem.message}
            self.message_user(request, text, messages.ERROR)
            return False
        return True


def counts(runs: list[Run]) -> dict[str, int]:
    """How many rows of each kind go when the runs are deleted."""
    ids = [run.pk for run in runs]
    return {
        str(Run._meta.verbose_name_plural): len(runs),
        str(Command._meta.verbose_name_plural): Command.objects.filter(run__in=ids).count(),
        str(Checkpoint._meta.verbose_name_plural): Checkpoint.objects.filter(run__in=ids).count(),
    }
