"""Arguments of a Django form that the author wrote."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.forms.utils import pretty_name
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from django_livesim.params import kinds, moments, numbers
from django_livesim.params.choices import Choice, Member
from django_livesim.params.containers import Anything, Items, copy
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
from django_livesim.protocol.errors import RegistrationError

STRICT: dict[type[forms.Field], type[kinds.Kind]] = {
    forms.BooleanField: kinds.Truth,
    forms.CharField: kinds.Text,
    forms.EmailField: kinds.Text,
    forms.FloatField: numbers.Number,
    forms.IntegerField: numbers.Integer,
    forms.RegexField: kinds.Text,
    forms.SlugField: kinds.Text,
    forms.URLField: kinds.Text,
}
"""Fields that would take a value of another type without a word, and the type they want in JSON."""

TEMPORAL: dict[type[forms.Field], type[kinds.Kind]] = {
    forms.DateField: moments.Date,
    forms.DateTimeField: moments.DateTime,
    forms.DurationField: moments.Duration,
    forms.SplitDateTimeField: moments.DateTime,
    forms.TimeField: moments.Time,
}
"""Fields whose `input_formats` may leave out the form in which we store."""

SCHEMAS: dict[type[forms.Field], type[kinds.Kind]] = {
    **STRICT,
    **TEMPORAL,
    forms.DecimalField: numbers.DecimalNumber,
    forms.UUIDField: kinds.Uuid,
}

TAKES_MANY = (
    forms.JSONField,
    forms.ModelMultipleChoiceField,
    forms.MultipleChoiceField,
    forms.MultiValueField,
)

WRITTEN: dict[type, kinds.Kind] = {
    datetime: moments.DateTime(),
    date: moments.Date(),
    time: moments.Time(),
    timedelta: moments.Duration(),
    Decimal: numbers.DecimalNumber(),
    UUID: kinds.Uuid(),
}


class GivenWidget(forms.Widget):
    """Hands the form a value as it came, whatever the page would have made of it."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        return data.get(name)


class Custom(Rules):
    """Each argument goes through the author's form.

    What is stored is the form's `cleaned_data` as JSON, and goes through the
    form again when it is bound. So cleaning must give the same for its own
    result: lower-casing does, adding one does not and is refused.
    """

    def __init__(self, form_class: type[forms.Form]) -> None:
        self.form_class = form_class
        self.fields: dict[str, forms.Field] = form_class().fields

    def clean(self, args: Mapping[str, Any]) -> dict[str, Any]:
        given = checked_mapping(args)
        self._check_types(given)
        return self.jsonable(self._cleaned(given))

    def clean_some(self, args: Mapping[str, Any], present: Mapping[str, Any]) -> dict[str, Any]:
        """Cleaned with the others, so that the form may compare; what it makes of those is not kept."""
        self._check_types(args)
        cleaned = self.jsonable(self._cleaned({**present, **args}))
        return {name: cleaned[name] for name in args}

    def bind(self, args: Mapping[str, Any]) -> dict[str, Any]:
        with timezone.override(UTC):  # stored moments are
            return self._cleaned(checked_mapping(args))

    def jsonable(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        stored = self._stored(cleaned)
        again = self._stored(self.bind(stored))
        differing = {
            name: [
                _("The form gives %(again)s for its own %(first)s; cleaning must give the same again.")
                % {"first": kinds.got(value), "again": kinds.got(again[name])}
            ]
            for name, value in stored.items()
            if again[name] != value
        }
        if differing:
            raise bad_args(differing)
        return stored

    def _check_types(self, given: Mapping[str, Any]) -> None:
        errors: Fields = dict(surplus(given, self.fields))
        for name, field in self.fields.items():
            try:
                _check_type(field, given.get(name))
            except ValidationError as exc:
                errors[name] = texts_of(exc)
        if errors:
            raise bad_args(errors)

    def _cleaned(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """`cleaned_data` for such arguments; what is missing has its initial value."""
        form = self.form_class({})
        form.data = {
            form.add_prefix(name): _raw(field, given.get(name, form.get_initial_for_field(field, name)))
            for name, field in form.fields.items()
        }
        for field in form.fields.values():
            field.widget, field.localize = GivenWidget(), False
        if not form.is_valid():
            raise bad_args({name: [str(error) for error in errors] for name, errors in form.errors.items()})
        return dict(form.cleaned_data)

    def jsonable_some(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        return self._stored(cleaned, cleaned)

    def _stored(self, cleaned: Mapping[str, Any], names: Iterable[str] | None = None) -> dict[str, Any]:
        stored: dict[str, Any] = {}
        errors: Fields = {}
        for name in self.fields if names is None else names:
            try:
                stored[name] = copy(_json(self.fields[name], cleaned.get(name)))
            except ValidationError as exc:
                errors[name] = texts_of(exc)
        if errors:
            raise bad_args(errors)
        return stored

    def parse_value(self, name: str, text: str) -> Any:
        field = self.fields.get(name)
        if isinstance(field, TAKES_MANY):
            return Anything().parse(text)
        kind = STRICT.get(type(field)) if field else None
        return kind().parse(text) if kind else text

    def schema(self) -> dict[str, Any]:
        required = [name for name, field in self.fields.items() if must_be_given(field)]
        return object_schema({name: _schema(name, field) for name, field in self.fields.items()}, required)


def check(form_class: Any, place: str) -> None:
    """Raise RegistrationError unless `form_class` is a form whose values can be stored."""
    if not (isinstance(form_class, type) and issubclass(form_class, forms.Form)):
        raise RegistrationError(
            f"{place}: the form is {form_class!r}. Expected: a subclass of django.forms.Form."
        )
    for name, field in form_class.base_fields.items():
        if isinstance(field, forms.FileField):
            raise RegistrationError(
                f"{place}: the field {name!r} is a {type(field).__name__}, and files cannot be stored with "
                f"a run. Expected: a field of plain values, such as the key of a file stored elsewhere."
            )


def _check_type(field: forms.Field, value: Any) -> None:
    """Raise ValidationError for a given value that the field would bend."""
    strict = STRICT.get(type(field))
    if strict and value is not None:
        strict().read(value)
    else:
        copy(written(value))


def written(value: Any) -> Any:
    """A cleaned value as plain JSON, as far as there is a usual way to write it."""
    if isinstance(value, enum.Enum):
        return written(value.value)
    if isinstance(value, Promise):
        return str(value)
    if isinstance(value, str):
        return str.__str__(value)
    kind = WRITTEN.get(type(value))
    if kind is not None:
        return kind.write(kind.read(value))
    if isinstance(value, Mapping):
        return {key: written(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(map(written, value), key=repr)
    if isinstance(value, Iterable) and not isinstance(value, bytes):
        return [written(item) for item in value]
    return value


def _json(field: forms.Field, value: Any) -> Any:
    """The JSON of what `field` cleaned, such that it can clean it again."""
    if isinstance(field, forms.ModelChoiceField):
        return written(field.prepare_value(value))
    if _in_parts(field) and value is not None:
        return written(field.widget.decompress(value))
    return written(value)


def _raw(field: forms.Field, value: Any) -> Any:
    """What `field.clean` takes, of JSON or of a Python value."""
    if value is None:
        return None
    if isinstance(field, forms.JSONField):
        return json.dumps(value, cls=field.encoder)
    kind = next((kind for base, kind in TEMPORAL.items() if isinstance(field, base)), None)
    if kind:
        with suppress(ValidationError):  # the field says what it expects
            value = kind().read(value)
    if isinstance(field, forms.MultiValueField) and not isinstance(value, list | tuple | str):
        return field.widget.decompress(value)
    return value


def _in_parts(field: forms.Field) -> bool:
    """Whether the field's value is stored as its widget takes it apart."""
    return isinstance(field, forms.MultiValueField) and not isinstance(field, forms.SplitDateTimeField)


def must_be_given(field: forms.Field) -> bool:
    return field.required and field.initial is None and not isinstance(field, forms.BooleanField)


def _kind(field: forms.Field) -> kinds.Kind:
    if type(field) is forms.ChoiceField:
        keys = [str(key) for key, _label in _flat(field.choices) if key != ""]
        return Choice([Member(key, key, key) for key in keys]) if keys else Anything()
    if isinstance(field, forms.MultipleChoiceField | forms.ModelMultipleChoiceField):
        return Items(Anything())
    return SCHEMAS.get(type(field), Anything)()


def _flat(choices: Any) -> Iterable[tuple[Any, Any]]:
    """Choices without their groups."""
    for key, label in choices:
        if isinstance(label, list | tuple):
            yield from label
        else:
            yield key, label


def _schema(name: str, field: forms.Field) -> dict[str, Any]:
    kind = _kind(field)
    schema = kind.schema()
    if not field.required and schema:
        schema = {"anyOf": [schema, {"type": "null"}]}
    schema = described(schema, field.label or pretty_name(name), field.help_text)
    initial = field.initial() if callable(field.initial) else field.initial
    return schema if initial is None else schema | {"default": _json(field, initial)}
