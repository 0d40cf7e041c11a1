"""Parameters and arguments: forms from signatures, and values through them.

Arguments are *given* as JSON or posted as HTML, *stored* as plain JSON, and
*bound* to Python values for the author's function. A form class of None is
that of a loop which declares no commands and so takes any JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from django_livesim.params.custom import Custom, check, must_be_given
from django_livesim.params.free import Free
from django_livesim.params.generated import Generated
from django_livesim.params.limits import Limits
from django_livesim.params.marks import param
from django_livesim.params.rules import Rules
from django_livesim.params.setting import SetForm, Setting, check_live, live_of, set_form, set_spec
from django_livesim.params.signatures import ParamsForm, form_of, where
from django_livesim.protocol.names import SET
from django_livesim.simulation import CommandSpec, Loop, Simulation

__all__ = [
    "Limits",
    "SetForm",
    "bind",
    "bind_stored",
    "clean",
    "commands",
    "form_class",
    "jsonable",
    "live",
    "param",
    "parse",
    "required",
    "schema",
]

Target = type[Simulation] | Loop | CommandSpec
FormClass = type[forms.Form] | None


def form_class(target: Target, *, namespace: Mapping[str, Any] | None = None) -> type[forms.Form]:
    """The form of a simulation's parameters, or of a command's arguments; made once.

    The author's own form where there is one, else made from the annotations;
    `namespace` adds names to those that the annotations may use. Raises
    RegistrationError where no form can be made.
    """
    function, form = _source(target)
    if form is None:
        return form_of(function, namespace)
    check(form, where(function))
    if not isinstance(target, CommandSpec):
        check_live(form, where(function))
    found: type[forms.Form] = form
    return found


def _source(target: Target) -> tuple[Any, Any]:
    """The function whose parameters count, and the author's own form or None."""
    if isinstance(target, CommandSpec):
        return target.function, target.form
    if isinstance(target, Loop):
        return target.function, target.params_form
    return target.setup, getattr(target, "Params", None)


def live(target: type[Simulation] | Loop) -> tuple[str, ...]:
    """The names of the parameters that can be changed while a run of it goes on."""
    return live_of(form_class(target))


def commands(target: type[Simulation] | Loop) -> dict[str, CommandSpec]:
    """The commands of a simulation by name: those it declares, and `set` where it has live parameters."""
    form = set_form(form_class(target))
    return {**target.commands, **({} if form is None else {SET: set_spec(form)})}


def clean(
    form_class: FormClass, args: Mapping[str, Any], *, present: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Given arguments to stored ones, defaults filled in.

    Types are not bent: "3", 3.0 and true are no integers. Python values of
    the annotated type are taken as well. `present` are, for the arguments of
    `set`, the run's parameters as they are now. Raises BadArgs.
    """
    return _rules(form_class, present).clean(args)


def bind(form_class: FormClass, args: Mapping[str, Any]) -> dict[str, Any]:
    """Stored arguments to the keyword arguments of the author's function. Raises BadArgs."""
    return _rules(form_class).bind(args)


def bind_stored(form_class: FormClass, params: Mapping[str, Any]) -> dict[str, Any]:
    """`bind` of a run's stored parameters: those that the code no longer has are passed over."""
    if form_class is not None:
        params = {name: value for name, value in params.items() if name in form_class.base_fields}
    return bind(form_class, params)


def jsonable(form_class: FormClass, cleaned_data: Mapping[str, Any]) -> dict[str, Any]:
    """The `cleaned_data` of a valid form to stored arguments. Raises BadArgs."""
    return _rules(form_class).jsonable(cleaned_data)


def parse(form_class: FormClass, pairs: Iterable[str]) -> dict[str, Any]:
    """`name=value` pairs from a command line to arguments for `clean`. Raises BadArgs.

    A value that does not look like its type stays a text, which `clean` then refuses.
    """
    return _rules(form_class).parse(pairs)


def schema(form_class: FormClass) -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of the arguments that `clean` takes."""
    return _rules(form_class).schema()


def required(form_class: type[forms.Form]) -> list[str]:
    """The names of those that have no default. Makes no form: it may be asked when modules are imported."""
    if issubclass(form_class, ParamsForm):
        return [parameter.name for parameter in form_class.parameters if parameter.required]
    return [name for name, field in form_class.base_fields.items() if must_be_given(field)]


def _rules(form_class: FormClass, present: Mapping[str, Any] | None = None) -> Rules:
    if form_class is None:
        return Free()
    if issubclass(form_class, SetForm):
        return Setting(form_class, _rules(form_class.of), present or {})
    if issubclass(form_class, ParamsForm):
        return Generated(form_class)
    return Custom(form_class)
