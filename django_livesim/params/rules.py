"""What can be done with the arguments of a form, whatever kind of form it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext as _

from django_livesim.params.kinds import got
from django_livesim.protocol.errors import BadArgs

Fields = dict[str, list[str]]


class Rules(ABC):
    """The arguments of one form: given (JSON) → stored (JSON) → bound (Python)."""

    @abstractmethod
    def clean(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Given to stored."""

    @abstractmethod
    def clean_some(self, args: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
        """Some given, each of them known, to stored; those not given are as `present`, stored, has them."""

    @abstractmethod
    def bind(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Stored to bound."""

    @abstractmethod
    def jsonable(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """The `cleaned_data` of a valid form to stored."""

    @abstractmethod
    def jsonable_some(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        """Part of the `cleaned_data` of a form to what may be given."""

    @abstractmethod
    def parse_value(self, name: str, text: str) -> Any:
        """What somebody typed after `name=` to given."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """JSON Schema of what may be given."""

    def parse(self, pairs: Iterable[str]) -> dict[str, Any]:
        """Typed `name=value` pairs to given."""
        args: dict[str, Any] = {}
        for name, text in map(_split, pairs):
            if name in args:
                raise bad_args({name: [_("Given twice.")]})
            args[name] = self.parse_value(name, text)
        return args


def _split(pair: str) -> tuple[str, str]:
    name, equals, text = pair.partition("=")
    if not (name and equals):
        raise BadArgs(_("Expected name=value. Got: %(got)s.") % {"got": got(pair)})
    return name, text


def bad_args(fields: Fields) -> BadArgs:
    """The error that tells what is wrong with each argument, and under `__all__` with all of them."""
    texts = (
        " ".join(errors) if name == NON_FIELD_ERRORS else f"{name}: {' '.join(errors)}"
        for name, errors in fields.items()
    )
    return BadArgs(_("Wrong arguments. %(texts)s") % {"texts": " ".join(texts)}, fields=fields)


def checked_mapping(args: Any) -> Mapping[str, Any]:
    """`args`, or BadArgs where they are no mapping with string keys."""
    if not isinstance(args, Mapping) or not all(isinstance(name, str) for name in args):
        raise BadArgs(_("Expected an object of arguments. Got: %(got)s.") % {"got": got(args)})
    return args


def surplus(args: Iterable[str], expected: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """An error for each name that is not expected."""
    names = list(expected)
    for name in args:
        if name in names:
            continue
        if names:
            text = _("Unknown name. Expected one of: %(names)s.") % {"names": ", ".join(names)}
        else:
            text = _("Unknown name. No arguments are expected.")
        yield name, [text]


def texts_of(error: ValidationError) -> list[str]:
    return [str(message) for message in error.messages]


def object_schema(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """JSON Schema of an object with these members and no others."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def described(schema: dict[str, Any], title: Any, description: Any) -> dict[str, Any]:
    """`schema` with a title, and with a description where there is one."""
    texts = {"title": str(title)} | ({"description": str(description)} if description else {})
    return texts | schema
