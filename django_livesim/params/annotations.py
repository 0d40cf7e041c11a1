"""From an annotation to a `Kind`."""

from __future__ import annotations

import enum
import types
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from django import forms
from django.utils.functional import Promise

from django_livesim.params.choices import Choice, Member
from django_livesim.params.containers import Anything, Items, Mapping, optional
from django_livesim.params.kinds import Kind, Text, Truth, Uuid
from django_livesim.params.limits import COMPARISONS, LENGTHS, limits_of
from django_livesim.params.marks import Marks
from django_livesim.params.moments import Date, DateTime, Duration, Time
from django_livesim.params.numbers import DecimalNumber, Integer, Number
from django_livesim.simulation import humanise

SIMPLE: dict[Any, type[Kind]] = {
    int: Integer,
    float: Number,
    str: Text,
    bool: Truth,
    date: Date,
    datetime: DateTime,
    time: Time,
    timedelta: Duration,
    Decimal: DecimalNumber,
    UUID: Uuid,
    Any: Anything,
}

POSSIBLE = (
    "int, float, str, bool, dict, dict[str, T], list, list[T], date, datetime, time, timedelta, "
    "Decimal, UUID, Any, an Enum, Literal[...], X | None, Annotated[X, limits]"
)


class BadAnnotation(Exception):
    """An annotation that makes no parameter; the text says why."""


def kind_of(annotation: Any) -> Kind:
    """The kind that an annotation, already resolved, stands for."""
    annotation = _unwrapped(annotation)
    simple = next((kind for known, kind in SIMPLE.items() if annotation is known), None)
    if simple:
        return simple()
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _enum(annotation)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _annotated(kind_of(args[0]), args[1:])
    if origin is Literal:
        return _literal(args)
    if origin in (Union, types.UnionType):
        return _union(annotation, args)
    if list in (annotation, origin):
        return Items(_inner(args[0]) if args else Anything())
    if dict in (annotation, origin):
        return _dict(annotation, args)
    raise _impossible(annotation)


def _unwrapped(annotation: Any) -> Any:
    """What a NewType or a `type` alias stands for."""
    while not isinstance(annotation, type):
        inner = getattr(annotation, "__supertype__", None) or getattr(annotation, "__value__", None)
        if inner is None:
            break
        annotation = inner
    return annotation


def _impossible(annotation: Any) -> BadAnnotation:
    shown = getattr(annotation, "__name__", None) if isinstance(annotation, type) else None
    return BadAnnotation(f"{shown or repr(annotation)} cannot be a parameter. Expected one of: {POSSIBLE}")


def _union(annotation: Any, args: tuple[Any, ...]) -> Kind:
    inner = [arg for arg in args if arg is not types.NoneType]
    if len(inner) != 1 or len(inner) == len(args):
        raise _impossible(annotation)
    kind = kind_of(inner[0])
    whole = optional(kind)
    whole.live = kind.live
    return whole


def _inner(annotation: Any) -> Kind:
    """The kind of what a list or dict holds."""
    kind = kind_of(annotation)
    if kind.live:
        raise BadAnnotation("what it holds is marked live. Expected: param(live=True) on the whole")
    return kind


def _dict(annotation: Any, args: tuple[Any, ...]) -> Kind:
    if args and args[0] is not str:
        raise BadAnnotation(
            f"{annotation!r} cannot be a parameter: JSON has string keys only. Expected: dict[str, T]"
        )
    return Mapping(_inner(args[1]) if args else Anything())


def _enum(annotation: type[enum.Enum]) -> Kind:
    """By value where the values are all texts or all integers, else by name."""
    members = list(annotation)
    values = [member.value for member in members]
    by_value = any(all(type(value) is kind for value in values) for kind in (str, int))
    return _choice(
        annotation,
        [
            Member(member, member.value if by_value else member.name, _label(member), member.name)
            for member in members
        ],
    )


def _label(member: enum.Enum) -> Any:
    label = getattr(member, "label", None)  # as Django's Choices have it
    return label if isinstance(label, str | Promise) else humanise(member.name.lower())


def _literal(args: tuple[Any, ...]) -> Kind:
    values = [arg for arg in args if arg is not None]
    strange = [value for value in values if type(value) not in (str, int, bool)]
    if strange:
        raise BadAnnotation(
            f"as a parameter, a Literal takes texts, integers, True and False. Got: {strange[0]!r}"
        )
    members = [Member(value, value, str(value)) for value in values]
    kind = _choice(Literal[args], members)
    return optional(kind) if len(values) < len(args) else kind


def _choice(annotation: Any, members: list[Member]) -> Choice:
    keys = [member.key for member in members]
    alike = sorted({key for key in keys if keys.count(key) > 1})
    if alike:
        raise BadAnnotation(f"members of {annotation!r} look alike on a page: {', '.join(alike)}")
    if not members:
        raise BadAnnotation(f"{annotation!r} has no members to choose from")
    return Choice(members)


def _annotated(kind: Kind, metadata: tuple[Any, ...]) -> Kind:
    texts = [kind.help] if kind.help else []
    for item in metadata:
        limits = limits_of(item)
        _check_limits(kind, limits)
        kind.limits.update(limits)
        if isinstance(item, str):
            texts.append(item)
        elif isinstance(item, Marks):
            kind.live = kind.live or item.live
        elif isinstance(item, forms.Widget):
            kind.widget = item
        elif callable(item) and not isinstance(item, type) and not limits:
            kind.validators.append(item)
    kind.help = " ".join(texts)
    return kind


def _check_limits(kind: Kind, limits: dict[str, Any]) -> None:
    for name, limit in limits.items():
        if name not in kind.takes:
            possible = ", ".join(kind.takes) or "none"
            raise BadAnnotation(
                f"the limit {name} does not apply to {kind.expected}. Expected one of: {possible}"
            )
        if name in LENGTHS:
            fits = isinstance(limit, int) and limit >= 0
        else:
            fits = kind.bound(limit) and (name in COMPARISONS or limit > 0)
        if not fits:
            raise BadAnnotation(f"the limit {name} of {kind.expected} cannot be {limit!r}")
