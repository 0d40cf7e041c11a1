"""The page that asks before something is ended, deleted or taken back."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from django_livesim.admin.base import RunPages
from django_livesim.models import Run
from django_livesim.views import once
from django_livesim.views.respond import SeeOther

CONFIRM = "admin/livesim/run/confirm.html"

SHOWN = 20
"""Runs that are told of one by one; the others are counted."""


class AskingMixin(RunPages):
    """Asks; the answer posts the same form again, with `confirmed`."""

    def ask(self, request: HttpRequest, **context: Any) -> HttpResponse:
        """Before an action: `question`, `yes`, `action`, the runs that are `touched`, and those `left` out.

        The answer goes to the whole list: a run may leave the narrowed one while the question is read.
        """
        context |= {"target": self.address("changelist"), "back": request.get_full_path()}
        context |= {"shown": SHOWN, "client_id": posted_id(request), "narrowed": request.GET.urlencode()}
        context = self.page_context(request, title=_("Are you sure?"), **context)
        return TemplateResponse(request, CONFIRM, context)

    def back_to_narrowed(self, request: HttpRequest) -> HttpResponse | None:
        """After the answer: the list as it was narrowed before; None leaves it to the list."""
        narrowed = request.POST.get("narrowed", "")
        return SeeOther(f"{self.address('changelist')}?{narrowed}") if narrowed else None

    def ask_of_one(self, request: HttpRequest, run: Run, **context: Any) -> HttpResponse:
        """Before something is done to one run: `question` and `yes`."""
        context |= {"target": request.path, "back": self.address("change", run.pk)}
        context |= {"touched": [run], "shown": SHOWN, "client_id": posted_id(request)}
        context = self.run_context(request, run, title=_("Are you sure?"), **context)
        return TemplateResponse(request, CONFIRM, context)


def posted_id(request: HttpRequest) -> str:
    """The id of the form that was posted; a fresh one where it has none."""
    return once.form_id(request) or uuid4().hex
