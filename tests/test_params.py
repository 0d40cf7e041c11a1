from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType
from uuid import UUID
from zoneinfo import ZoneInfo

import jsonschema
import pytest
from django import forms
from django.core.validators import MaxValueValidator, RegexValidator
from django.db import models
from django.http import QueryDict
from django.utils import timezone, translation
from hypothesis import given
from hypothesis import strategies as st

from django_livesim import Limits, params
from django_livesim.protocol.errors import BadArgs, RegistrationError
from django_livesim.simulation import CommandSpec, Loop, Simulation, command

if TYPE_CHECKING:
    from nowhere import Absent


class Colour(StrEnum):
    RED = "red"
    DARK_BLUE = "dark-blue"


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Shape(Enum):
    DOT = (0, 0)
    LINE = (0, 1)


class Planet(models.TextChoices):
    MARS = "M", "the red one"
    EARTH = "E", "ours"


EntityId = NewType("EntityId", str)
DAY = date(2030, 12, 31)
MOMENT = datetime(2030, 12, 31, 23, 59, 30, tzinfo=UTC)
ID = UUID("12345678-1234-5678-1234-567812345678")


AT_LEAST = "Ensure this value is greater than or equal to {}."
AT_LEAST_LONG = "Ensure this value has at least {} character (it has {})."
AT_LEAST_ONE_ITEM = "Ensure there is at least 1 item (there are 0)."
NO_WORD = "Expected plain JSON data; {}, which JSON has no word for."
AT_MOST_LONG = "Ensure this value has at most {} character (it has {})."


def make(function: Callable[..., Any]) -> Any:
    """The form of a plain function's arguments."""
    return params.form_class(CommandSpec(name="c", label="C", help="", function=function))


def of(annotation: Any, default: Any = ...) -> Any:
    """The form of one parameter `x`."""

    def function(self: Any, x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    if default is not ...:
        function.__defaults__ = (default,)
    return make(function)


def clean(annotation: Any, value: Any) -> Any:
    return params.clean(of(annotation), {"x": value})["x"]


def errors(form: Any, args: Any) -> dict[str, list[str]]:
    with pytest.raises(BadArgs) as caught:
        params.clean(form, args)
    return caught.value.fields


def refusal(annotation: Any, default: Any = ...) -> str:
    with pytest.raises(RegistrationError) as caught:
        of(annotation, default)
    return str(caught.value)


KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "int": (int, st.integers(-(2**53), 2**53)),
    "float": (float, st.floats(allow_nan=False, allow_infinity=False)),
    "str": (str, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))),
    "bool": (bool, st.booleans()),
    "date": (date, st.dates()),
    "time": (time, st.times()),
    "datetime": (datetime, st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))),
    "timedelta": (timedelta, st.timedeltas()),
    "decimal": (
        Decimal,
        st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30),
    ),
    "uuid": (UUID, st.uuids()),
    "str enum": (Colour, st.sampled_from(Colour)),
    "int enum": (Size, st.sampled_from(Size)),
    "enum": (Shape, st.sampled_from(Shape)),
    "choices": (Planet, st.sampled_from(Planet)),
    "literal": (Literal["a", 1, True, None], st.sampled_from(["a", 1, True, None])),
    "optional": (int | None, st.none() | st.integers(-9, 9)),
    "optional bool": (bool | None, st.sampled_from([None, True, False])),
    "list": (list[date], st.lists(st.dates(), max_size=3)),
    "nested list": (
        list[list[Size | None]],
        st.lists(st.lists(st.none() | st.sampled_from(Size), max_size=2)),
    ),
    "dict of decimals": (
        dict[str, Decimal],
        st.dictionaries(
            st.text(st.characters(codec="ascii", min_codepoint=32)), st.decimals(-9, 9), max_size=3
        ),
    ),
    "plain dict": (
        dict,
        st.dictionaries(st.sampled_from("abc"), st.none() | st.booleans() | st.integers(0, 9)),
    ),
    "plain list": (list, st.lists(st.none() | st.booleans() | st.sampled_from(["", "ß"]), max_size=3)),
}


FORMS = [(annotation, of(annotation)) for annotation, _strategy in KINDS.values()]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cleaned_survives_the_database_and_binds_to_the_same_value(kind: str) -> None:
    annotation, strategy = KINDS[kind]
    form = of(annotation)
    schema = params.schema(form)
    jsonschema.Draft202012Validator.check_schema(schema)

    @given(strategy)
    def there_and_back(value: Any) -> None:
        stored = params.clean(form, {"x": value})
        loaded = json.loads(json.dumps(stored, allow_nan=False))
        bound = params.bind(form, loaded)["x"]
        assert bound == value and type(bound) is type(value)
        assert params.clean(form, loaded) == stored
        assert params.jsonable(form, {"x": value}) == stored
        jsonschema.validate(loaded, schema, jsonschema.Draft202012Validator)

    there_and_back()


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    )
)
def test_any_json_is_either_stored_or_refused_with_reasons_and_what_is_stored_fits_the_schema(
    value: Any,
) -> None:
    reasons = {}
    for annotation, form in FORMS:
        try:
            stored = params.clean(form, {"x": value})
        except BadArgs as refused:
            reasons[str(annotation)] = refused.fields["x"]
            continue
        assert "\0" not in walk(stored)
        json.dumps(stored, allow_nan=False).encode()
        jsonschema.validate(stored, params.schema(form), jsonschema.Draft202012Validator)
        assert params.clean(form, stored) == stored
    assert all(reasons.values())


def walk(value: Any) -> str:
    """Every text in plain data."""
    if isinstance(value, dict):
        return "".join(map(walk, [*value, *value.values()]))
    return "".join(map(walk, value)) if isinstance(value, list) else str(value)


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (int, "3", 'Expected an integer. Got: "3".'),
        (int, 3.0, "Expected an integer. Got: 3.0."),
        (int, True, "Expected an integer. Got: true."),
        (int, None, "Expected an integer. Got: null."),
        (int, 2**53 + 1, "Ensure this value is less than or equal to 9007199254740992."),
        (float, "1.5", 'Expected a finite number. Got: "1.5".'),
        (float, True, "Expected a finite number. Got: true."),
        (float, math.nan, "Expected a finite number. Got: NaN."),
        (float, 10**400, "Expected a finite number. Got: 1" + "0" * 58 + "…."),
        (str, 5, "Expected a string. Got: 5."),
        (str, "a\0b", 'Expected a string. Got: "a\\u0000b".'),
        (str, "\ud800", 'Expected a string. Got: "\\ud800".'),
        (bool, 1, "Expected true or false. Got: 1."),
        (bool, "yes", 'Expected true or false. Got: "yes".'),
        (date, "31.12.2030", 'Expected a date, such as "2030-12-31". Got: "31.12.2030".'),
        (date, MOMENT, 'Expected a date, such as "2030-12-31". Got: datetime datetime.datetime(…'),
        (time, "12:00:00+01:00", 'Expected a time, such as "23:59:30". Got: "12:00:00+01:00".'),
        (timedelta, "long", 'Expected a duration, such as "00:01:30", "PT90S" or 90 (seconds). Got: "long".'),
        (timedelta, 1e300, 'Expected a duration, such as "00:01:30", "PT90S" or 90 (seconds). Got: 1e+300.'),
        (Decimal, "1e999", 'Expected a decimal number, such as "1.50". Got: "1e999".'),
        (Decimal, "NaN", 'Expected a decimal number, such as "1.50". Got: "NaN".'),
        (UUID, "1", 'Expected a UUID. Got: "1".'),
        (Colour, "green", 'Expected one of: "red", "dark-blue". Got: "green".'),
        (Size, True, "Expected one of: 1, 2. Got: true."),
        (Literal[1, "a"], 1.0, 'Expected one of: 1, "a". Got: 1.0.'),
        (int | None, "3", 'Expected an integer or null. Got: "3".'),
        (list[int], (1,), "Expected a list. Got: [1]."),
        (list[int], [1, "2"], 'Item 1: Expected an integer. Got: "2".'),
        (list[list[int]], [[], [True]], "Item 1: Item 0: Expected an integer. Got: true."),
        (dict, [], "Expected an object. Got: []."),
        (dict, {1: 2}, 'Expected a string. Got: 1.'),
        (dict, {"a": {"b": [math.inf]}}, "Item a: " + NO_WORD.format('value["b"][0] is inf')),
        (dict, {"a": "\0"}, "Item a: Null characters are not allowed."),
        (dict[str, int], {"a": "b"}, 'Item a: Expected an integer. Got: "b".'),
    ],
)  # fmt: skip
def test_a_wrong_value_is_told_what_came_and_what_was_expected(
    annotation: Any, value: Any, text: str
) -> None:
    found = errors(of(annotation), {"x": value})["x"][0]
    assert found.startswith(text[:-1]) if text.endswith("…") else found == text


def test_nesting_is_limited() -> None:
    value: Any = []
    for _ in range(40):
        value = [value]
    assert errors(of(Any), {"x": value}) == {"x": ["Expected at most 16 levels of nesting."]}
    value.append(value)
    assert "nested more than" in errors(of(Any), {"x": value})["x"][0]


def test_every_wrong_argument_is_reported_at_once() -> None:
    def paint(self: Any, colour: Colour, width: int, *, dashes: list[int] = []) -> None: ...  # noqa: B006

    with pytest.raises(BadArgs) as caught:
        params.clean(make(paint), {"width": "1", "colours": "red"})
    assert caught.value.code == "bad_args"
    assert caught.value.fields == {
        "colour": ['Missing. Expected one of: "red", "dark-blue".'],
        "width": ['Expected an integer. Got: "1".'],
        "colours": ["Unknown name. Expected one of: colour, width, dashes."],
    }
    assert caught.value.message == (
        'Wrong arguments. colour: Missing. Expected one of: "red", "dark-blue". '
        'width: Expected an integer. Got: "1". '
        "colours: Unknown name. Expected one of: colour, width, dashes."
    )


def test_a_function_without_parameters_takes_none() -> None:
    def clear(self: Any) -> None: ...

    assert params.clean(make(clear), {}) == {}
    assert errors(make(clear), {"x": 1}) == {"x": ["Unknown name. No arguments are expected."]}


@pytest.mark.parametrize("args", [None, [], "x", {1: 2}])
def test_arguments_are_an_object(args: Any) -> None:
    for form in (of(int), None):
        with pytest.raises(BadArgs, match="Expected an object of arguments"):
            params.clean(form, args)


def test_errors_speak_the_language_of_the_one_who_asks() -> None:
    form = of(Annotated[int, Limits(ge=3)])
    with translation.override("de"):
        assert errors(form, {"x": 1}) == {"x": ["Dieser Wert muss größer oder gleich 3 sein."]}


def test_missing_arguments_have_their_default_as_a_new_object_each_time() -> None:
    default: dict[str, Any] = {"a": [1]}
    form = of(dict, default)
    first, second = (params.bind(form, params.clean(form, {}))["x"] for _ in range(2))
    first["a"].append(2)
    assert second == default == {"a": [1]}


def test_what_is_bound_is_not_what_is_stored() -> None:
    form = of(dict)
    stored = params.clean(form, {"x": {"a": []}})
    params.bind(form, stored)["x"]["a"].append(1)
    assert stored == {"x": {"a": []}}


def test_stored_arguments_bind_although_limits_and_parameters_have_changed() -> None:
    def later(self: Any, x: Annotated[int, Limits(le=5)], y: int = 7) -> None: ...

    assert params.bind(make(later), {"x": 10}) == {"x": 10, "y": 7}
    with pytest.raises(BadArgs, match="gone: Unknown name"):
        params.bind(make(later), {"x": 1, "gone": 2})


def test_numbers_are_normalised() -> None:
    assert repr(clean(float, 3)) == "3.0"
    assert clean(Decimal, 0.1) == "0.1"
    assert clean(timedelta, 90) == clean(timedelta, "00:01:30") == "P0DT00H01M30S"
    assert type(params.bind(of(int), {"x": clean(int, Size.LARGE)})["x"]) is int


def test_moments_are_stored_in_utc_and_naive_ones_are_of_the_current_zone() -> None:
    with timezone.override(ZoneInfo("Europe/Berlin")):
        assert clean(datetime, "2030-07-01T12:00") == "2030-07-01T10:00:00+00:00"
        assert clean(datetime, "2030-07-01T12:00Z") == "2030-07-01T12:00:00+00:00"
        assert errors(of(datetime), {"x": "0001-01-01T00:00"})


def test_without_time_zones_moments_are_naive(settings: Any) -> None:
    settings.USE_TZ = False
    settings.TIME_ZONE = "Europe/Berlin"
    assert clean(datetime, "2030-07-01T12:00") == "2030-07-01T12:00:00"
    assert clean(datetime, "2030-07-01T12:00Z") == "2030-07-01T14:00:00"


@pytest.mark.parametrize(
    ("annotation", "good", "bad", "text"),
    [
        (Annotated[int, Limits(ge=1)], 1, 0, "Ensure this value is greater than or equal to 1."),
        (Annotated[int, Limits(gt=1)], 2, 1, "Ensure this value is greater than 1."),
        (Annotated[float, Limits(le=0.5)], 0.5, 0.6, "Ensure this value is less than or equal to 0.5."),
        (Annotated[float, Limits(lt=0.5)], 0.4, 0.5, "Ensure this value is less than 0.5."),
        (Annotated[int, Limits(multiple_of=5)], 10, 11, "Ensure this value is a multiple of step size 5."),
        (Annotated[Decimal, Limits(ge=Decimal("0.5"))], "0.5", "0.4", AT_LEAST.format("0.5")),
        (Annotated[str, Limits(min_length=1)], "a", "", AT_LEAST_LONG.format(1, 0)),
        (Annotated[str | None, Limits(max_length=1)], "a", "ab", AT_MOST_LONG.format(1, 2)),
        (Annotated[list, Limits(max_length=1)], [1], [1, 2], "Ensure there is at most 1 item (there are 2)."),
        (Annotated[list[int], Limits(min_length=1)], [1], [], AT_LEAST_ONE_ITEM),
        (Annotated[date, Limits(ge=DAY)], "2031-01-01", "2030-01-01", AT_LEAST.format(DAY)),
        (list[Annotated[int, Limits(ge=0)]], [0], [0, -1], "Item 1: " + AT_LEAST.format(0)),
        (dict[str, Annotated[int, Limits(ge=0)]], {}, {"a": -1}, "Item a: " + AT_LEAST.format(0)),
        (Annotated[int, Limits(ge=0)] | None, None, -1, "Ensure this value is greater than or equal to 0."),
        (Annotated[int, MaxValueValidator(3)], 3, 4, "Ensure this value is less than or equal to 3."),
        (Annotated[str, RegexValidator("^a+$", "only a")], "aa", "b", "only a"),
    ],
)  # fmt: skip
def test_limits_hold_in_json_and_on_a_page(annotation: Any, good: Any, bad: Any, text: str) -> None:
    form = of(annotation)
    assert params.clean(form, {"x": good}) == {"x": good}
    assert errors(form, {"x": bad}) == {"x": [text]}
    if bad not in ("", []):
        posted = form(QueryDict(mutable=True) | {"x": bad if isinstance(bad, str) else json.dumps(bad)})
        assert posted.errors == {"x": [text]}


@pytest.mark.parametrize("kind", [int, float, Decimal])
@pytest.mark.parametrize("huge", ["9" * 400, "1e999", "1E+999999999"])
def test_what_is_too_large_to_be_divided_is_an_error_of_its_field(kind: Any, huge: str) -> None:
    form = of(Annotated[kind, Limits(multiple_of=3)])
    assert form({"x": huge}).errors["x"]
    assert errors(form, {"x": huge})["x"]
    assert errors(form, {"x": 10**400})["x"]


def test_a_limit_of_a_moment_may_be_naive() -> None:
    form = of(Annotated[datetime, Limits(ge=datetime(2030, 1, 1))])
    assert params.clean(form, {"x": "2030-01-01T12:00Z"})
    assert errors(form, {"x": "2029-01-01T12:00Z"})


def test_objects_like_those_of_annotated_types_are_limits() -> None:
    @dataclass
    class Interval:
        gt: Any = None
        le: Any = None

    form = of(Annotated[int, Interval(gt=0, le=9), Limits(multiple_of=3), "in metres", "or so"])
    assert params.schema(form)["properties"]["x"] == {
        "title": "X",
        "description": "in metres or so",
        "type": "integer",
        "minimum": -(2**53),
        "maximum": 9,
        "exclusiveMinimum": 0,
        "multipleOf": 3,
    }


def test_the_schema_names_defaults_and_what_is_required() -> None:
    def send(self: Any, to: EntityId, on: date = DAY, colour: Colour | None = None) -> None: ...

    schema = params.schema(make(send))
    assert schema["required"] == ["to"]
    assert schema["additionalProperties"] is False
    assert schema["properties"] == {
        "to": {"title": "To", "type": "string"},
        "on": {"title": "On", "type": "string", "format": "date", "default": "2030-12-31"},
        "colour": {
            "title": "Colour",
            "anyOf": [{"enum": ["red", "dark-blue"]}, {"type": "null"}],
            "default": None,
        },
    }


class Page(HTMLParser):
    """What a browser would post of a form that nobody has touched."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.data = QueryDict(mutable=True)
        self.name = self.area = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.data[given["name"] or ""] = given.get("value") or "" if "value" in given else ""
            if given.get("type") == "checkbox":
                self.data[given["name"] or ""] = "on"
        elif tag == "select":
            self.name = given["name"] or ""
        elif tag == "option" and "selected" in given:
            self.data[self.name] = given["value"] or ""
        elif tag == "textarea":
            self.area = given["name"] or ""
            self.data[self.area] = ""

    def handle_data(self, data: str) -> None:
        if self.area:
            self.data[self.area] = self.data[self.area] + data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self.data[self.area] = self.data[self.area].removeprefix("\r\n").removeprefix("\n")
            self.area = ""


def everything(
    self: Any,
    whole: Annotated[int, Limits(ge=1, le=500)] = 50,
    number: float = 0.1,
    exact: Decimal = Decimal("1.50"),
    entity_id: Annotated[str, "whom"] = "ann",
    nothing: str | None = None,
    yes: bool = True,
    no: bool = False,
    perhaps: bool | None = True,
    day: date = DAY,
    hour: time = time(23, 59, 30),
    moment: datetime = MOMENT,
    length: timedelta = timedelta(seconds=90),
    id: UUID = ID,
    colour: Colour = Colour.DARK_BLUE,
    shape: Shape | None = None,
    size: Size = Size.LARGE,
    level: Literal[1, "a"] = 1,
    days: list[date] = [DAY],  # noqa: B006
    data: dict[str, Any] = {"a": [1, None, "ß"]},  # noqa: B006
) -> None: ...


DEFAULTS = dict(zip([*everything.__annotations__][1:-1], everything.__defaults__ or (), strict=True))


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
@pytest.mark.parametrize("language", ["en", "de"])
def test_a_page_posted_untouched_gives_the_defaults(zone: str, language: str) -> None:
    form_class = make(everything)
    with timezone.override(ZoneInfo(zone)), translation.override(language):
        posted = form_class(Page(form_class().as_p()).data)
        assert posted.is_valid(), posted.errors
        assert posted.cleaned_data == DEFAULTS
        stored = params.jsonable(form_class, posted.cleaned_data)
    assert stored == params.clean(form_class, {}) == params.clean(form_class, stored)
    assert params.bind(form_class, stored) == DEFAULTS


def test_stored_arguments_may_fill_a_page_again() -> None:
    form_class = make(everything)
    given = params.clean(
        form_class, {"colour": "red", "moment": "2020-01-02T03:04:05Z", "shape": "DOT", "yes": False}
    )
    posted = form_class(Page(form_class(initial=given).as_p()).data)
    assert posted.is_valid(), posted.errors
    assert params.jsonable(form_class, posted.cleaned_data) == given


def test_a_page_with_errors_shows_again_what_was_typed() -> None:
    form_class = make(everything)
    typed = {
        "whole": "9999",
        "colour": "red",
        "data": '{"a": NaN}',
        "days": "[",
        "moment": "soon",
        "size": "SMALL",
    }
    page = form_class(QueryDict(mutable=True) | typed)
    assert not page.is_valid()
    assert page.errors["data"] == page.errors["days"] == ["Enter a valid JSON."]
    assert Page(page.as_p()).data.dict().items() >= typed.items()


def test_what_a_page_does_not_post_is_the_default_except_a_box_not_ticked() -> None:
    posted = make(everything)(QueryDict())
    assert posted.is_valid(), posted.errors
    assert posted.cleaned_data == DEFAULTS | {"yes": False}
    assert params.clean(make(everything), {})["yes"] is True


def test_a_page_shows_names_limits_help_and_ticks() -> None:
    html = make(everything)().as_p()
    assert '<label for="id_entity_id">Entity id:</label>' in html
    assert "whom" in html
    assert 'min="1" max="500"' in html
    assert 'name="yes" id="id_yes" checked' in html
    assert "the red one" in of(Planet)().as_p()


def test_a_page_emptied_of_an_optional_value_gives_none_and_of_a_text_gives_none_at_all() -> None:
    posted = make(everything)(
        QueryDict(mutable=True) | {"nothing": "", "perhaps": "", "entity_id": "", "shape": ""}
    )
    assert posted.is_valid(), posted.errors
    assert posted.cleaned_data | {"yes": True} == DEFAULTS | {"entity_id": "", "perhaps": None}


def test_a_page_must_fill_what_has_no_default() -> None:
    for annotation in (int, str, dict, Colour, date):
        assert of(annotation)(QueryDict("x=")).errors == {"x": ["This field is required."]}
        assert of(annotation)(QueryDict("")).errors == {"x": ["This field is required."]}
    assert of(dict)(QueryDict("x={}")).is_valid()


def test_a_choice_without_a_default_chooses_nothing_by_itself() -> None:
    assert '<option value="" selected>---------</option>' in of(Colour)().as_p()
    assert "---------" not in of(Colour, Colour.RED)().as_p()
    assert of(Colour)(QueryDict("x=green")).errors == {
        "x": ["Select a valid choice. green is not one of the available choices."]
    }


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "9" * 5000, "1e999", "NaN", '"\\ud800"', "{'a': 1}", '[{"a": "\\u0000"}]']
)
def test_hostile_json_on_a_page_is_an_error_of_its_field(text: str) -> None:
    page = of(list)({"x": text})
    assert list(page.errors) == ["x"]
    assert "x" in page.as_p()


def test_a_widget_may_be_given_with_the_annotation() -> None:
    assert "<textarea" in of(Annotated[str, forms.Textarea()])().as_p()
    optional = of(Annotated[str, forms.Textarea(), "at length"] | None)().as_p()
    assert "<textarea" in optional and "at length" in optional


@pytest.mark.parametrize(
    ("annotation", "default", "text"),
    [
        (tuple[int, int], ..., "tuple[int, int] cannot be a parameter. Expected one of: int, float, str,"),
        (set, ..., "set cannot be a parameter. Expected one of: int,"),
        (int | str, ..., "int | str cannot be a parameter."),
        (list[set], ..., "set cannot be a parameter."),
        (dict[int, str], ..., "JSON has string keys only. Expected: dict[str, T]."),
        (Literal[1.5], ..., "a Literal takes texts, integers, True and False. Got: 1.5"),
        (Literal[1, "1"], ..., "look alike on a page: 1"),
        (Enum("Empty", []), ..., "has no members to choose from"),
        ("Absent", ..., "'Absent' cannot be resolved: name 'Absent' is not defined. Expected: names"),
        (int, "3", "the default is '3'. Expected an integer."),
        (int, None, "the default is None. Expected an integer. To allow None, annotate it X | None."),
        (bool, 1, "the default is 1. Expected true or false."),
        (date, "2030-12-31", "the default is '2030-12-31'. Expected a date"),
        (list[int], ["a"], "the default is ['a']. Expected a list."),
        (dict, {"a": object}, "value is of type type; only dict"),
        (Annotated[int, Limits(ge=1)], 0, "the default is 0. " + AT_LEAST.format(1)),
        (Annotated[bool, Limits(ge=1)], ..., "ge does not apply to true or false. Expected one of: none."),
        (Annotated[str, Limits(ge=1)], ..., "ge does not apply to a string. Expected one of: min_length,"),
        (Annotated[int, Limits(ge="1")], ..., "the limit ge of an integer cannot be '1'."),
        (Annotated[int, Limits(multiple_of=0)], ..., "the limit multiple_of of an integer cannot be 0."),
        (Annotated[str, Limits(max_length=-1)], ..., "the limit max_length of a string cannot be -1."),
    ],
)  # fmt: skip
def test_what_makes_no_parameter_is_refused_when_it_is_declared(
    annotation: Any, default: Any, text: str
) -> None:
    found = refusal(annotation, default)
    assert found.startswith("tests.test_params.of.<locals>.function, parameter 'x': ")
    assert text in found


def test_a_parameter_is_annotated_and_passed_by_name() -> None:
    def bare(self: Any, x) -> None: ...  # type: ignore[no-untyped-def]
    def variadic(self: Any, *x: int) -> None: ...
    def keywords(self: Any, **x: int) -> None: ...
    def positional(self: Any, x: int, /) -> None: ...
    def nobody() -> None: ...

    for function, text in [
        (bare, "parameter 'x' has no annotation. Expected, for example: x: int."),
        (variadic, "parameter 'x' is variadic positional, of which no form field can be made."),
        (keywords, "parameter 'x' is variadic keyword, of which no form field can be made."),
        (positional, "parameter 'x' is positional-only, of which no form field can be made."),
        (nobody, "takes no first parameter. Expected: self, or sim in a loop."),
    ]:
        with pytest.raises(RegistrationError) as caught:
            make(function)
        assert text in str(caught.value)


def test_annotations_of_the_first_parameter_and_of_the_result_need_not_exist() -> None:
    def function(sim: Absent, x: int) -> Absent: ...

    assert params.clean(make(function), {"x": 1}) == {"x": 1}


class Garden(Simulation):
    class Flower(StrEnum):
        ROSE = "rose"

    def setup(self, flower: Flower = Flower.ROSE, data: int = 1) -> None: ...

    @command
    def list(self, int: int, fields: bool, flower: Flower = Flower.ROSE) -> None: ...

    @command(durable=False)
    def water(self, amounts: list[int]) -> None: ...  # type: ignore[valid-type]


def test_annotations_may_name_what_the_class_holds_and_parameters_may_be_called_anything() -> None:
    assert params.clean(params.form_class(Garden), {}) == {"flower": "rose", "data": 1}
    form = params.form_class(Garden.commands["list"])
    assert params.clean(form, {"int": 3, "fields": True}) == {"int": 3, "fields": True, "flower": "rose"}
    assert params.clean(params.form_class(Garden.commands["water"]), {"amounts": [1]}) == {"amounts": [1]}


def test_a_form_is_made_once() -> None:
    assert params.form_class(Garden) is params.form_class(Garden)


def test_a_simulation_without_setup_has_no_parameters_and_a_loop_has_those_of_its_function() -> None:
    class Bare(Simulation): ...

    async def loop(sim, benches: int = 3) -> None: ...  # type: ignore[no-untyped-def]

    assert params.clean(params.form_class(Bare), {}) == {}
    assert params.clean(params.form_class(Loop(loop)), {}) == {"benches": 3}


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "3", 3),
        (int, "three", "three"),
        (float, "3", 3.0),
        (str, "3", "3"),
        (str, "a=b", "a=b"),
        (bool, "Yes", True),
        (bool, "0", False),
        (bool, "perhaps", "perhaps"),
        (int | None, "null", None),
        (int | None, "", None),
        (str | None, "null", "null"),
        (bool | None, "true", True),
        (list[int], "[1, 2]", [1, 2]),
        (dict, '{"a": 1}', {"a": 1}),
        (dict, "{", "{"),
        (Colour, "red", "red"),
        (Size, "SMALL", 1),
        (Size, "1", 1),
        (Literal[1, "a"], "1", 1),
        (date, "2030-12-31", "2030-12-31"),
    ],
)
def test_typed_text_is_read_by_the_kind_of_its_parameter(annotation: Any, text: str, value: Any) -> None:
    assert params.parse(of(annotation), [f"x={text}"]) == {"x": value}


def test_typed_pairs_that_are_none_are_refused() -> None:
    with pytest.raises(BadArgs, match='Expected name=value. Got: "x".'):
        params.parse(of(int), ["x"])
    with pytest.raises(BadArgs, match="x: Given twice."):
        params.parse(of(int), ["x=1", "x=2"])
    assert params.parse(of(int), ["y=1"]) == {"y": "1"}


def test_a_loop_without_commands_takes_any_plain_json() -> None:
    args = {"a": [1, {"b": None}], "c": "d"}
    assert params.clean(None, args) == params.bind(None, args) == params.jsonable(None, args) == args
    assert params.clean(None, args)["a"] is not args["a"]
    assert params.parse(None, ["a=1", "b=x", "c={}"]) == {"a": 1, "b": "x", "c": {}}
    assert params.schema(None)["type"] == "object"
    with pytest.raises(BadArgs) as caught:
        params.clean(None, {"a": math.nan, "b": "\0", "c": 1, "d": (1,)})
    assert list(caught.value.fields) == ["a", "b", "d"]


class Booking(forms.Form):
    name = forms.CharField(max_length=5)
    seats = forms.IntegerField(initial=2, min_value=1)
    on = forms.DateField(initial=lambda: DAY, input_formats=["%d.%m.%Y"])
    at = forms.SplitDateTimeField(required=False, initial=MOMENT)
    colours = forms.TypedMultipleChoiceField(choices=[(c, c) for c in Colour], coerce=Colour, required=False)
    paid = forms.BooleanField(required=False, initial=True)
    price = forms.DecimalField(localize=True, initial=Decimal("1.50"))
    length = forms.DurationField(required=False)
    extra = forms.JSONField(required=False)

    def clean_name(self) -> str:
        return str(self.cleaned_data["name"]).lower()

    def clean(self) -> dict[str, Any]:
        if self.cleaned_data.get("name") == "bad":
            raise forms.ValidationError("No %(name)s here.", params={"name": "bad"})
        return self.cleaned_data | {"added": 1}


def test_a_form_of_the_authors_own_cleans_what_is_given_and_fills_its_initial_values() -> None:
    stored = params.clean(Booking, {"name": "Ann", "colours": ["red"], "extra": "text", "length": "P1DT0S"})
    assert stored == json.loads(json.dumps(stored)) == params.clean(Booking, stored)
    assert stored == {
        "name": "ann",
        "seats": 2,
        "on": "2030-12-31",
        "at": "2030-12-31T23:59:30+00:00",
        "colours": ["red"],
        "paid": True,
        "price": "1.50",
        "length": "P1DT00H00M00S",
        "extra": "text",
    }
    bound = params.bind(Booking, stored)
    assert bound == {
        "name": "ann",
        "seats": 2,
        "on": DAY,
        "at": MOMENT,
        "colours": [Colour.RED],
        "paid": True,
        "price": Decimal("1.50"),
        "length": timedelta(days=1),
        "extra": "text",
        "added": 1,
    }


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_form_of_the_authors_own_may_be_posted(language: str) -> None:
    with translation.override(language):
        posted = Booking(Page(Booking(initial={"name": "Ann", "extra": {"a": 1}}).as_p()).data)
        posted.data["on"] = "31.12.2030"
        assert posted.is_valid(), posted.errors
        stored = params.jsonable(Booking, posted.cleaned_data)
    assert stored == params.clean(Booking, {"name": "ann", "extra": {"a": 1}})


def test_a_form_of_the_authors_own_bends_no_types_either() -> None:
    assert errors(Booking, {"name": 5, "seats": "2", "paid": 1, "extra": math.nan, "other": 1}) == {
        "other": ["Unknown name. Expected one of: name, seats, on, at, colours, paid, price, length, extra."],
        "name": ["Expected a string. Got: 5."],
        "seats": ["Expected an integer. Got: \"2\"."],
        "paid": ["Expected true or false. Got: 1."],
        "extra": ["Expected plain JSON data; value is nan, which JSON has no word for."],
    }  # fmt: skip
    assert errors(Booking, {"seats": 0}) == {
        "name": ["This field is required."],
        "seats": ["Ensure this value is greater than or equal to 1."],
    }


def test_errors_of_the_whole_form_come_without_a_name() -> None:
    with pytest.raises(BadArgs) as caught:
        params.clean(Booking, {"name": "bad"})
    assert caught.value.fields == {"__all__": ["No bad here."]}
    assert caught.value.message == "Wrong arguments. No bad here."


def test_a_form_that_changes_its_own_result_is_found_out() -> None:
    class Growing(forms.Form):
        n = forms.IntegerField()

        def clean_n(self) -> int:
            return int(self.cleaned_data["n"]) + 1

    assert errors(Growing, {"n": 1}) == {
        "n": ["The form gives 3 for its own 2; cleaning must give the same again."]
    }


def test_a_form_of_the_authors_own_has_a_schema_and_reads_typed_text() -> None:
    schema = params.schema(Booking)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["required"] == ["name"]
    assert schema["properties"]["seats"]["default"] == 2
    jsonschema.validate(params.clean(Booking, {"name": "ann"}), schema, jsonschema.Draft202012Validator)
    typed = ["seats=3", "name=4", "paid=no", 'colours=["red"]', "on=2030-12-31", "q=1"]
    assert list(params.parse(Booking, typed).values()) == [3, "4", False, ["red"], "2030-12-31", "1"]


def test_rows_of_the_database_are_stored_by_their_key(db: None, django_user_model: Any) -> None:
    ann = django_user_model.objects.create(username="ann")

    class Invite(forms.Form):
        guest = forms.ModelChoiceField(django_user_model.objects.all())
        others = forms.ModelMultipleChoiceField(django_user_model.objects.all(), required=False)

    stored = params.clean(Invite, {"guest": ann.pk, "others": [ann.pk]})
    assert stored == {"guest": ann.pk, "others": [ann.pk]}
    bound = params.bind(Invite, stored)
    assert bound["guest"] == ann and list(bound["others"]) == [ann]


def test_a_form_of_the_authors_own_takes_the_place_of_the_annotations() -> None:
    class Own(Simulation):
        class Params(forms.Form):
            n = forms.IntegerField()

        def setup(self, n) -> None: ...  # type: ignore[no-untyped-def]

        @command(form=Booking)
        def book(self, **booking: Any) -> None: ...

    def loop(sim, n) -> None: ...  # type: ignore[no-untyped-def]

    assert params.form_class(Own) is Own.Params
    assert params.form_class(Own.commands["book"]) is Booking
    assert params.form_class(Loop(loop, params_form=Own.Params)) is Own.Params


def test_what_is_no_form_or_takes_files_is_refused() -> None:
    class Upload(forms.Form):
        picture = forms.ImageField()

    def function(self) -> None: ...  # type: ignore[no-untyped-def]

    for form, text in [(Upload, "the field 'picture' is a ImageField"), (int, "the form is <class 'int'>.")]:
        with pytest.raises(RegistrationError, match=text):
            params.form_class(CommandSpec(name="c", label="C", help="", function=function, form=form))


def test_a_stored_parameter_that_the_code_no_longer_has_is_passed_over() -> None:
    def setup(self: Any, size: int = 5) -> None: ...

    form = params.form_of(setup, None)
    assert params.bind_stored(form, {"size": 7, "gone": 3}) == {"size": 7}
    with pytest.raises(BadArgs):
        params.bind(form, {"size": 7, "gone": 3})
    assert params.bind_stored(None, {"any": 1}) == {"any": 1}
