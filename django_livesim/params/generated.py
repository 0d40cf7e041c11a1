"""Arguments of a form that was made from a signature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.forms.utils import pretty_name
from django.utils.translation import gettext as _

from django_livesim.params.rules import (
    Fields,
    Rules,
    bad_args,
    checked_mapping,
    described,
    object_schema,
    surplus,
    texts_of,
)
from django_livesim.params.signatures import Parameter, ParamsForm


class Generated(Rules):
    """Each argument is what its annotation says, to the letter."""

    def __init__(self, form_class: type[ParamsForm]) -> None:
        self.parameters = {parameter.name: parameter for parameter in form_class.parameters}

    def clean(self, args: Mapping[str, Any]) -> dict[str, Any]:
        return self._each(args, _stored)

    def clean_some(self, args: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
        return self._each(args, _stored, some=True)

    def bind(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Limits are not held again: what was once accepted stays so when code changes."""
        return self._each(args, lambda parameter, value: parameter.kind.read(value))

    def jsonable(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        return self._each(cleaned, _written)

    def jsonable_some(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        return self._each(cleaned, _written, some=True)

    def _each(
        self, args: Mapping[str, Any], function: Callable[[Parameter, Any], Any], *, some: bool = False
    ) -> dict[str, Any]:
        """`function` of each parameter and its value or default, in order of declaration.

        With `some`, of those alone that are given.
        """
        given = checked_mapping(args)
        result: dict[str, Any] = {}
        errors: Fields = {}
        for name, parameter in self.parameters.items():
            if some and name not in given:
                continue
            if name not in given and parameter.required:
                expected = parameter.kind.expected
                errors[name] = [_("Missing. Expected %(expected)s.") % {"expected": expected}]
                continue
            value = given.get(name, parameter.default)
            try:
                result[name] = function(parameter, value)
            except ValidationError as exc:
                errors[name] = texts_of(exc)
        errors.update(surplus(given, self.parameters))
        if errors:
            raise bad_args(errors)
        return result

    def parse_value(self, name: str, text: str) -> Any:
        return self.parameters[name].kind.parse(text) if name in self.parameters else text

    def schema(self) -> dict[str, Any]:
        required = [parameter.name for parameter in self.parameters.values() if parameter.required]
        return object_schema({p.name: _schema(p) for p in self.parameters.values()}, required)


def _stored(parameter: Parameter, value: Any) -> Any:
    """A given value, held against its limits."""
    python = parameter.kind.read(value)
    parameter.kind.check(python)
    return parameter.kind.write(python)


def _written(parameter: Parameter, value: Any) -> Any:
    """A value that a form has cleaned."""
    return parameter.kind.write(parameter.kind.read(value))


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema = described(parameter.kind.schema(), pretty_name(parameter.name), parameter.kind.help)
    return schema if parameter.required else schema | {"default": parameter.default_json()}
