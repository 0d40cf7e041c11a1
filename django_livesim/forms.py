"""The forms of the pages: what is asked beside a simulation's parameters and a command's arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from django_livesim import params
from django_livesim.models import Run, Visibility
from django_livesim.params.containers import copy
from django_livesim.params.examples import hint
from django_livesim.params.fields import JsonField, StrictDecoder
from django_livesim.protocol.errors import LivesimError
from django_livesim.protocol.names import EXTERNAL, Verb

TIMES = "\N{MULTIPLICATION SIGN}"
SPEEDS = [(x, f"{TIMES}{x}") for x in ("0.25", "0.5", "1", "2", "5", "10")] + [("max", _("max"))]


class StartForm(forms.Form):
    """What a run gets beside its parameters. Prefixed, since a parameter may have the same name."""

    prefix = "run"

    simulation = forms.CharField(widget=forms.HiddenInput)
    name = forms.CharField(label=_("Name of the run"), required=False, max_length=200)
    visibility = forms.ChoiceField(
        label=_("Who may watch"), choices=Visibility.choices, initial=Visibility.PRIVATE
    )


class ShareForm(forms.Form):
    """Who may watch a run."""

    visibility = forms.ChoiceField(label=_("Who may watch"), choices=Visibility.choices)
    renew = forms.BooleanField(required=False, widget=forms.HiddenInput)


class MessageForm(forms.Form):
    """A message to an own loop that declares no commands."""

    name = forms.CharField(label=_("Message"), max_length=200)
    args = forms.JSONField(
        label=_("Arguments"),
        initial=dict,
        required=False,
        decoder=StrictDecoder,
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
        help_text=_('A JSON object, for example {"name": "saw"}.'),
    )

    def clean_args(self) -> dict[str, Any]:
        args = self.cleaned_data["args"]
        if args is None:
            return {}
        if not isinstance(args, dict):
            raise forms.ValidationError(_("Expected a JSON object with the arguments by name."))
        return dict(copy(args))


class StepForm(forms.Form):
    n = forms.IntegerField(label=_("Steps"), min_value=1, max_value=1_000_000, initial=1, required=False)

    def clean_n(self) -> int:
        return self.cleaned_data["n"] or 1


class SpeedForm(forms.Form):
    """The speeds to choose from, and the present one where it is another."""

    x = forms.CharField(label=_("Speed"), widget=forms.Select(choices=SPEEDS))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        now = self.initial.get("x")
        if now is not None and now not in dict(SPEEDS):
            self.fields["x"].widget.choices = [(now, f"{TIMES}{now}"), *SPEEDS]

    def clean_x(self) -> float | str:
        text = self.cleaned_data["x"]
        if text == "max":
            return "max"
        field = forms.FloatField(min_value=0.01, max_value=1000)
        return float(field.clean(text))


CONTROL_FORMS: Mapping[str, type[forms.Form]] = {Verb.STEP: StepForm, Verb.SPEED: SpeedForm}
"""The forms of the controls that take an argument; the others take none."""

CONTROL_LABELS: Mapping[str, Any] = {
    Verb.PAUSE: _("Pause"),
    Verb.RESUME: _("Resume"),
    Verb.STEP: _("Step"),
    Verb.SPEED: _("Set speed"),
    Verb.STOP: _("Stop"),
    Verb.RESTART: _("Restart"),
}
"""What people call the controls."""

QUESTIONS: Mapping[str, Any] = {
    Verb.RESTART: _("Restart this run from the beginning? The present one ends."),
    Verb.STOP: _("Stop this run? Its state is stored, and it can be resumed."),
}
"""What is asked before a control that ends the run."""

STOP_PRODUCED = _("Ask the program that produces this run to stop? A run that has ended cannot go on.")

CONFIRM: Mapping[str, Any] = {Verb.RESTART: _("Restart"), Verb.STOP: _("Stop")}
"""What is written on the button that says yes to it."""

NEW_LINK = _("Make a new link? The old one stops working at once, for everybody who has it.")
DELETE = _(
    "Delete this run for good? Where it still goes on, it ends. Its state, result and commands are lost."
)


def questions(run: Run) -> Mapping[str, Any]:
    """`QUESTIONS`, as they are asked of that run."""
    return {**QUESTIONS, Verb.STOP: STOP_PRODUCED} if run.simulation == EXTERNAL else QUESTIONS


def start_forms(simulation: Any, data: Any = None) -> tuple[StartForm, forms.Form]:
    """The form of the run and that of its parameters, bound where there is data."""
    own = StartForm(
        data, initial={"simulation": simulation.name, "visibility": simulation.visibility}, auto_id="id_%s"
    )
    return own, _hinted(params.form_class(simulation)(data, auto_id="id_param_%s"))


def command_form(
    spec: Any, data: Any = None, present: Mapping[str, Any] | None = None, prefix: str = ""
) -> forms.Form:
    """The form of one command; its ids differ from those of other commands on the page.

    `present`: the run's parameters as they are now, with which that of `set` begins.
    `prefix`: what the ids begin with.
    """
    form_class = params.form_class(spec)
    initial = dict(present or {}) if issubclass(form_class, params.SetForm) else None
    return _hinted(form_class(data, auto_id=f"{prefix}id_{spec.name}_%s", initial=initial))


def _hinted(form: forms.Form) -> forms.Form:
    """The same, where fields of JSON say so if their author does not."""
    for field in form.fields.values():
        if isinstance(field, JsonField) and not field.help_text:
            field.help_text = hint(field)
    return form


def add_refusal(form: forms.Form, problem: LivesimError, told: str = "") -> None:
    """Show at the form, and at its fields, why what it asked for was not done.

    `told` is said at the form in place of the message of the problem.
    """
    placed = False
    for name, texts in problem.fields.items():
        if name in form.fields:
            form.add_error(name, list(texts))
            placed = True
    if not placed:
        form.add_error(None, told or problem.message)


def first_errors(form: forms.Form) -> Sequence[str]:
    """Every error of a form as a line of its own, for where no field is shown."""
    return [str(error) for errors in form.errors.values() for error in errors]
