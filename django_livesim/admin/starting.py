"""The add form: choose a simulation, give its parameters, start a run."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import Fieldset
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.html import conditional_escape
from django.utils.translation import gettext as _

from django_livesim import gateway, params, permissions, registry
from django_livesim.admin.asking import posted_id
from django_livesim.admin.base import RunPages
from django_livesim.forms import add_refusal, start_forms
from django_livesim.models import Run
from django_livesim.protocol.errors import LivesimError
from django_livesim.views import once
from django_livesim.views.respond import SeeOther, Shown, outside_transactions


class StartingMixin(RunPages):
    """Runs are added by starting them."""

    @outside_transactions
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The simulations to choose from; for a chosen one its form; posted, the run."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        if (earlier := once.came_to(request, once.STARTED)) is not None:
            return SeeOther(self.address("change", earlier))
        simulation = self._simulation(request)
        if simulation is None:
            return self._show_start(request, extra_context)
        own, form = start_forms(simulation, request.POST if request.method == "POST" else None)
        if request.method == "POST" and own.is_valid() & form.is_valid():
            try:
                run = self._start(request, simulation, own, form)
            except LivesimError as problem:
                add_refusal(form, problem)
            else:
                return SeeOther(self.address("change", run.pk))
        return self._show_start(request, extra_context, simulation, own, form)

    def _startable(self, request: HttpRequest) -> list[Any]:
        actor = self.actor(request)
        return [simulation for simulation in registry.all() if permissions.may_start(actor, simulation)]

    def _simulation(self, request: HttpRequest) -> Any:
        """The chosen one, None where none is; of those that who asks may start."""
        name = request.POST.get("run-simulation") or request.GET.get("simulation", "")
        simulation = next((one for one in self._startable(request) if one.name == name), None)
        if name and simulation is None:
            text = _("There is no simulation “%(name)s” that you may start; choose one of these.")
            self.message_user(request, text % {"name": name[:80]}, messages.ERROR)
        return simulation

    def _start(self, request: HttpRequest, simulation: Any, own: forms.Form, form: forms.Form) -> Run:
        earlier = gateway.own_run(simulation, actor=self.actor(request))
        run: Run = gateway.start(
            simulation.name,
            params.jsonable(type(form), form.cleaned_data),
            name=own.cleaned_data["name"],
            visibility=own.cleaned_data["visibility"],
            actor=self.actor(request),
        )
        once.remember(request, once.STARTED, run.pk)
        if run == earlier:  # of which each person has one; it may have been paused or stopped
            self.log_change(request, run, _("Went on."))
            text = _("You have one already, and this is it. To begin anew, restart it.")
            self.message_user(request, text, messages.INFO)
        else:
            self.log_addition(request, run, _("Started."))
            self.message_user(request, _("“%(run)s” was started.") % {"run": run}, messages.SUCCESS)
        return run

    def _show_start(
        self,
        request: HttpRequest,
        extra: dict[str, Any] | None,
        simulation: Any = None,
        own: forms.Form | None = None,
        form: forms.Form | None = None,
    ) -> HttpResponse:
        context: dict[str, Any] = {"startable": [Shown.of(one) for one in self._startable(request)]}
        if own is not None and form is not None:
            context |= {
                "chosen": Shown.of(simulation),
                "own_form": own,
                "params_form": form,
                "fieldsets": [fieldset(form, _("Parameters")), fieldset(own, _("Run"))],
                "errors": form.errors or own.errors,
                "client_id": posted_id(request),
                "media": self.media + own.media + form.media,
            }
        context = self.page_context(request, title=_("Start a run"), **context) | (extra or {})
        status = 422 if context.get("errors") else 200
        return TemplateResponse(request, "admin/livesim/run/start.html", context, status=status)


def fieldset(form: forms.Form, name: str) -> Fieldset:
    """A form's visible fields as the admin shows them, which takes help for markup: ours is text."""
    for field in form.fields.values():
        field.help_text = conditional_escape(field.help_text)
    visible = [field.name for field in form.visible_fields()]
    return Fieldset(cast(Any, form), name=name, fields=visible, classes=("module", "aligned"))
