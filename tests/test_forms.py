"""The forms of the pages."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from django_livesim import Simulation
from django_livesim.forms import start_forms


def helped(annotation: Any) -> str:
    """The help of a parameter of that annotation."""

    def setup(self, value):  # type: ignore[no-untyped-def]
        pass

    setup.__annotations__ = {"value": annotation}
    simulation = type("Asked", (Simulation,), {"name": "asked", "setup": setup})
    return str(start_forms(simulation)[1].fields["value"].help_text)


@pytest.mark.parametrize(
    ("annotation", "example"),
    [
        (list[int], "[1]"),
        (list[str] | None, '["text"]'),
        (dict[str, float], '{"name": 1.5}'),
        (dict[str, list[Literal["red", "blue"]]], '{"name": ["red"]}'),
    ],
)
def test_a_field_of_json_says_so_with_an_example(annotation, example):
    assert helped(annotation) == f"As JSON, for example {example}."


def test_an_example_that_the_field_would_refuse_is_not_given():
    from datetime import date

    assert helped(list[date]) == "As JSON."


@pytest.mark.parametrize(
    "annotation", [dict, list, Any, dict[str, Any], list[Any], dict[str, dict[str, Any]], dict | None]
)
def test_of_what_may_hold_anything_no_example_is_made_up(annotation):
    assert helped(annotation) == "As JSON."


def test_what_the_author_says_stands_alone():
    told = 'As JSON: {"position": [x, y]}.'
    assert helped(Annotated[dict, told]) == helped(Annotated[dict[str, float], told]) == told


def test_other_fields_say_nothing_of_json():
    assert helped(int) == ""
