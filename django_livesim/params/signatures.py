"""From a function's parameters to a form."""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, get_type_hints
from weakref import WeakKeyDictionary

from django import forms
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.utils import translation

from django_livesim.params.annotations import BadAnnotation, kind_of
from django_livesim.params.fields import MISSING
from django_livesim.params.kinds import Kind
from django_livesim.protocol.errors import RegistrationError


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of an author's function."""

    name: str
    kind: Kind
    default: Any = MISSING

    @property
    def required(self) -> bool:
        return self.default is MISSING

    def default_json(self) -> Any:
        """The default as it is stored; a new object each time."""
        return self.kind.write(self.kind.read(self.default))


class ParamsForm(forms.Form):
    """A form made from a signature."""

    parameters: ClassVar[tuple[Parameter, ...]] = ()


_forms: WeakKeyDictionary[Callable[..., Any], type[ParamsForm]] = WeakKeyDictionary()


def form_of(function: Callable[..., Any], namespace: Mapping[str, Any] | None = None) -> type[ParamsForm]:
    """The form of a function's parameters without the first, made once."""
    if function not in _forms:
        _forms[function] = _make_form(function, namespace)
    return _forms[function]


def _make_form(function: Callable[..., Any], namespace: Mapping[str, Any] | None) -> type[ParamsForm]:
    with _untranslated():
        parameters = tuple(_parameters(function, namespace))
    fields = {
        parameter.name: parameter.kind.field(default=parameter.default, help_text=parameter.kind.help)
        for parameter in parameters
    }
    form: type[ParamsForm] = type("ParamsForm", (ParamsForm,), {**fields, "__module__": function.__module__})
    form.parameters = parameters
    form.__doc__ = f"The parameters of {where(function)}."
    return form


def _untranslated() -> AbstractContextManager[None]:
    """Authors' errors are in English: they are raised before translations can be loaded."""
    try:
        return translation.override(None) if settings.USE_I18N else nullcontext()
    except ImproperlyConfigured:
        return nullcontext()


def where(function: Callable[..., Any], parameter: str = "") -> str:
    """How an error names a function, or one of its parameters."""
    place = f"{function.__module__}.{function.__qualname__}"
    return f"{place}, parameter {parameter!r}" if parameter else place


def author_parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters without the first, which is `self` or `sim`."""
    found = list(inspect.signature(function).parameters.values())
    first_is_positional = found and found[0].kind in (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    if not first_is_positional:
        raise RegistrationError(
            f"{where(function)} takes no first parameter. Expected: self, or sim in a loop."
        )
    return found[1:]


def _parameters(function: Callable[..., Any], namespace: Mapping[str, Any] | None) -> Iterator[Parameter]:
    declared = author_parameters(function)
    for parameter in declared:
        _check_passed_by_name(function, parameter)
    hints = _hints(function, declared, namespace)
    for parameter in declared:
        try:
            kind = kind_of(hints[parameter.name])
        except BadAnnotation as exc:
            raise RegistrationError(f"{where(function, parameter.name)}: {exc}.") from exc
        default = MISSING if parameter.default is inspect.Parameter.empty else parameter.default
        found = Parameter(name=parameter.name, kind=kind, default=default)
        _check_default(function, found)
        yield found


def _check_passed_by_name(function: Callable[..., Any], parameter: inspect.Parameter) -> None:
    place = where(function, parameter.name)
    if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
        raise RegistrationError(
            f"{place} is {parameter.kind.description}, of which no form field can be made. "
            f"Expected: parameters that are passed by name, or a form of your own."
        )
    if parameter.annotation is inspect.Parameter.empty:
        raise RegistrationError(f"{place} has no annotation. Expected, for example: {parameter.name}: int.")


def _hints(
    function: Callable[..., Any], declared: list[inspect.Parameter], namespace: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The parameters' annotations, resolved.

    Those of the return value and of the first parameter are left alone: their
    names may exist for type checkers only. A module's names go before those
    of the class, whose methods may well be called `list` or `date`.
    """
    plain = inspect.unwrap(function)
    names = _enclosing(plain) | dict(namespace or {}) | vars(builtins) | plain.__globals__
    hints: dict[str, Any] = {}
    for parameter in declared:
        holder: Any = lambda: None  # noqa: E731  (get_type_hints wants a function)
        holder.__annotations__ = {parameter.name: parameter.annotation}
        try:
            hints |= get_type_hints(holder, names, include_extras=True)
        except Exception as exc:
            raise RegistrationError(
                f"{where(function, parameter.name)}: the annotation {parameter.annotation!r} cannot be "
                f"resolved: {exc}. Expected: names that exist at run time, not only under TYPE_CHECKING."
            ) from exc
    return hints


def _enclosing(function: Callable[..., Any]) -> dict[str, Any]:
    """The names of the class that holds a method, where its module has that class already."""
    holder: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split(".")[:-1]:
        holder = getattr(holder, part, None)
    return dict(vars(holder)) if isinstance(holder, type) else {}


def _check_default(function: Callable[..., Any], parameter: Parameter) -> None:
    if parameter.required:
        return
    kind, default, place = parameter.kind, parameter.default, where(function, parameter.name)
    if not kind.native(default):
        remedy = " To allow None, annotate it X | None." if default is None else ""
        raise RegistrationError(f"{place}: the default is {default!r}. Expected {kind.expected}.{remedy}")
    try:
        kind.check(kind.read(default))
    except ValidationError as exc:
        raise RegistrationError(f"{place}: the default is {default!r}. {' '.join(exc.messages)}") from exc
