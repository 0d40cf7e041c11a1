"""The built-in command `set`, which changes live parameters while a run goes on.

Which parameters are live is said by their annotations, or by `live`, a tuple of names, in a form of the
author's own. What is given is checked by the same fields as at the start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from django_livesim.params.rules import Fields, Rules, bad_args, checked_mapping, object_schema, surplus
from django_livesim.params.signatures import ParamsForm
from django_livesim.protocol.errors import BadArgs, RegistrationError
from django_livesim.protocol.names import SET
from django_livesim.simulation import CommandSpec


def live_of(form_class: type[forms.Form]) -> tuple[str, ...]:
    """The names of a form's live parameters."""
    if issubclass(form_class, ParamsForm):
        return tuple(parameter.name for parameter in form_class.parameters if parameter.kind.live)
    return tuple(getattr(form_class, "live", ()))


def check_live(form_class: type[forms.Form], place: str) -> None:
    """Raise RegistrationError where the form of an author's own says `live` of what it has not."""
    names = getattr(form_class, "live", ())
    if not (isinstance(names, tuple | list) and all(isinstance(name, str) for name in names)):
        raise RegistrationError(
            f"{place}: live of its form {form_class.__name__} is {names!r}. "
            f"Expected: a tuple of the names of fields."
        )
    if unknown := [name for name in names if name not in form_class.base_fields]:
        raise RegistrationError(
            f"{place}: live of its form {form_class.__name__} names {', '.join(unknown)}, of which it has no "
            f"field. Expected some of: {', '.join(form_class.base_fields)}."
        )


class SetForm(forms.Form):
    """The live parameters of a run, each with its own field; `initial` are the present values.

    Clean is what differs from the value that the page showed, which is posted along: what somebody else has
    set meanwhile is left alone.
    """

    of: ClassVar[type[forms.Form]]
    live: ClassVar[tuple[str, ...]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields = self.of().fields
        self.fields = {name: fields[name] for name in self.live}
        for field in self.fields.values():
            field.show_hidden_initial = True
        if self.is_bound:
            for name in self.changed_data:  # a script leaves alone what somebody was about to set
                self.fields[name].widget.attrs["data-edited"] = ""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        changed = {name: value for name, value in cleaned.items() if name in self.changed_data}
        if not (changed or self.errors):
            raise ValidationError(_("Nothing is different from what it was. Change a value, then set it."))
        return changed


class Setting(Rules):
    """Some live parameters, each as the rules of the whole have it."""

    def __init__(self, form_class: type[SetForm], rules: Rules, present: Mapping[str, Any]) -> None:
        """`present`: all parameters as they are now, stored."""
        self.form_class = form_class
        self.rules = rules
        self.present = present

    def clean(self, args: Mapping[str, Any]) -> dict[str, Any]:
        given = checked_mapping(args)
        errors: Fields = dict(self._unfit(given))
        if errors:
            raise bad_args(errors)
        if not given:
            names = {"names": ", ".join(self.form_class.live)}
            raise BadArgs(_("There is nothing to set. Expected some of: %(names)s.") % names)
        return self.rules.clean_some(given, self.present)

    def _unfit(self, given: Mapping[str, Any]) -> Iterator[tuple[str, list[str]]]:
        live = self.form_class.live
        told = _("Cannot be changed while the run goes on. Expected one of: %(names)s.")
        for name, texts in surplus(given, live):
            known = name in self.form_class.of.base_fields
            yield name, [told % {"names": ", ".join(live)}] if known else texts

    def clean_some(self, args: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
        return self.rules.clean_some(args, present)

    def bind(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Stored as they are: a run binds all its parameters together."""
        return dict(checked_mapping(args))

    def jsonable(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        return self.rules.jsonable_some(cleaned)

    def jsonable_some(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        return self.rules.jsonable_some(cleaned)

    def parse_value(self, name: str, text: str) -> Any:
        return self.rules.parse_value(name, text)

    def schema(self) -> dict[str, Any]:
        whole = self.rules.schema()["properties"]
        properties = {name: _without_default(whole[name]) for name in self.form_class.live}
        return object_schema(properties, []) | {"minProperties": 1}


def _without_default(schema: dict[str, Any]) -> dict[str, Any]:
    """What is not given stays as it is, whatever it was at the start."""
    return {word: value for word, value in schema.items() if word != "default"}


_forms: WeakKeyDictionary[type[forms.Form], type[SetForm]] = WeakKeyDictionary()


def set_form(form_class: type[forms.Form]) -> type[SetForm] | None:
    """The form of `set` for a simulation with such parameters, made once; None where none is live."""
    live = live_of(form_class)
    if not live:
        return None
    if form_class not in _forms:
        members = {"of": form_class, "live": live, "__module__": form_class.__module__}
        _forms[form_class] = type("SetForm", (SetForm,), members)
    return _forms[form_class]


def set_spec(form: type[SetForm]) -> CommandSpec:
    """`set` as a command like those that are declared."""
    label: Any = gettext_lazy("Set parameters")
    return CommandSpec(name=SET, label=label, help="", function=_set, form=form)


def _set() -> None:
    """Stands for the runtime, which sets them."""
