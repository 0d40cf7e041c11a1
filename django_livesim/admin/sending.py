"""Send a command to a run."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from django_livesim import gateway, params
from django_livesim.admin.asking import posted_id
from django_livesim.admin.base import RunPages
from django_livesim.admin.plans import LABELS
from django_livesim.admin.starting import fieldset
from django_livesim.forms import MessageForm, add_refusal, command_form
from django_livesim.models import Command, Run
from django_livesim.permissions import Level
from django_livesim.protocol.errors import Code, LivesimError
from django_livesim.protocol.names import EXTERNAL, Outcome, Status
from django_livesim.templatetags.livesim import one_line
from django_livesim.views.live import registered, takes_messages
from django_livesim.views.respond import SeeOther, status_of, with_retry

PATIENCE = 2.0
"""Seconds that an outcome is waited for."""


class SendingMixin(RunPages):
    """Adds a page with the forms of a run's commands."""

    def get_urls(self) -> list[URLPattern]:
        view = self.page(self.send_view)
        return [
            path("<uuid:run_id>/send/", view, name="livesim_run_send"),
            path("<uuid:run_id>/send/<str:name>/", view, name="livesim_run_send_command"),
            *super().get_urls(),
        ]

    def send_view(self, request: HttpRequest, run_id: UUID, name: str = "") -> HttpResponse:
        """The forms: of all commands, or of the one that has this name; by post, one is sent."""
        run = self.run_or_404(request, run_id, Level.COMMAND)
        specs = commands_of(run)
        if name and name not in specs:
            raise Http404(_("There is no such command."))
        if request.method != "POST":
            names = [name] if name else list(specs)
            return self._show(request, run, {each: form_of(run, specs[each]) for each in names})
        if name not in specs:
            return SeeOther(self.address("send", run.pk))
        form = form_of(run, specs[name], request.POST)
        try:
            command = self._send(request, run, name, form)
        except LivesimError as problem:
            add_refusal(form, problem)
            fresh = problem.code == Code.DUPLICATE_ID
            return with_retry(self._show(request, run, {name: form}, status_of(problem), fresh), problem)
        if command is None:
            return self._show(request, run, {name: form}, 422)
        return SeeOther(self.address("send", run.pk))

    def _send(self, request: HttpRequest, run: Run, name: str, form: Form) -> Command | None:
        """Send what the form says, and tell what became of it; None where the form has errors."""
        if not form.is_valid():
            return None
        actor, client_id = self.actor(request), posted_id(request)
        again = run.commands.filter(sender=actor.sender, client_id=client_id).exists()
        sent = what_to_send(name, form)
        command = gateway.send(run, *sent, actor=actor, id=client_id, wait=True, timeout=PATIENCE)
        level, text = outcome_of(command)
        if not again:
            self.log_change(request, run, noted(command))
        self.message_user(request, text, level)
        return command

    def _show(
        self, request: HttpRequest, run: Run, forms: dict[str, Form], status: int = 200, fresh: bool = False
    ) -> HttpResponse:
        """The page with these forms; a refused one keeps its id, unless that is used up."""
        specs = commands_of(run)
        shown = [
            {
                "name": name,
                "spec": specs[name],
                "form": form,
                "fieldset": fieldset(form, ""),
                "address": self._address(run, name),
                "client_id": posted_id(request) if form.is_bound and not fresh else uuid4().hex,
            }
            for name, form in forms.items()
        ]
        context = self.run_context(
            request,
            run,
            title=_("Send a command"),
            media=sum((form.media for form in forms.values()), self.media),
            shown=shown,
            closed=why_closed(run),
            known=run.simulation == EXTERNAL or registered(run.simulation) is not None,
            all_url=self._address(run, "") if len(shown) < len(specs) else "",
        )
        return render(request, "admin/livesim/run/send.html", context, status=status)

    def _address(self, run: Run, name: str) -> str:
        return self.address("send_command", run.pk, name) if name else self.address("send", run.pk)


def commands_of(run: Run) -> dict[str, Any]:
    """The commands by name; for a loop that takes any message None under the name ""."""
    simulation = registered(run.simulation)
    if simulation is None:
        return {}
    return ({"": None} if takes_messages(simulation) else {}) | params.commands(simulation)


def form_of(run: Run, spec: Any, data: Any = None) -> Form:
    return MessageForm(data) if spec is None else command_form(spec, data, run.present_params)


def what_to_send(name: str, form: Form) -> tuple[str, dict[str, Any]]:
    """The command that a valid form makes, and its arguments. Raises BadArgs."""
    if isinstance(form, MessageForm):
        return form.cleaned_data["name"], form.cleaned_data["args"]
    return name, params.jsonable(type(form), form.cleaned_data)


def outcome_of(command: Command) -> tuple[int, str]:
    """What became of it, as a message and its level."""
    names = {"name": command.name, "tick": command.apply_tick, "why": command.message or command.code}
    if command.outcome == Outcome.REFUSED:
        return messages.ERROR, _("%(name)s: refused: %(why)s") % names
    if command.outcome != Outcome.APPLIED:
        return messages.INFO, _("%(name)s: accepted, not applied yet; see the run's commands.") % names
    text = _("%(name)s: applied at tick %(tick)s.") % names
    return messages.SUCCESS, text if command.result is None else f"{text} → {one_line(command.result)}"


def noted(command: Command) -> str:
    """What the history of the run has of it: not its answer, which is not for all who read there."""
    names = {"id": command.pk, "name": command.name, "tick": command.apply_tick}
    if command.outcome == Outcome.APPLIED:
        return _("Sent command %(id)s, %(name)s: applied at tick %(tick)s.") % names
    if command.outcome == Outcome.REFUSED:
        return _("Sent command %(id)s, %(name)s: refused.") % names
    return _("Sent command %(id)s, %(name)s.") % names


def why_closed(run: Run) -> str:
    """Why the run takes no commands, and what it can do; empty where it takes them."""
    if run.simulation == EXTERNAL:
        return _("A program of its own produces this run; it takes no commands.")
    if not (run.ended or run.status == Status.QUARANTINED):
        return ""
    legal = gateway.legal_for(run)
    possible = ", ".join(str(label) for act, label in LABELS.items() if str(act) in set(map(str, legal)))
    return _("This run is %(status)s and takes no commands. Possible now: %(possible)s.") % {
        "status": run.get_status_display(),
        "possible": possible,
    }
