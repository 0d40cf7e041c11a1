"""Live parameters: how they are declared, and how what is to be set is checked."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

import jsonschema
import pytest
from django import forms
from django.http import QueryDict

from django_livesim import (
    BadArgs,
    RegistrationError,
    Simulation,
    command,
    declarations,
    job,
    param,
    params,
)
from django_livesim.jobs import Job, of_class
from django_livesim.simulation import Loop
from tests.bath import Bath

PRESENT = {"litres": 80.0, "room": 20.0, "stirred": False, "scent": None, "soak": "P0DT00H05M00S"}


class Still(Simulation):
    def setup(self, size: int = 3) -> None: ...

    def step(self, dt: float) -> None: ...


class FormBath(Still):
    class Params(forms.Form):
        low = forms.FloatField(initial=1.0)
        high = forms.FloatField(initial=5.0, max_value=10)
        name = forms.CharField()

        live = ("low", "high")

        def clean_name(self) -> str:
            return str(self.cleaned_data["name"]).lower()

        def clean(self) -> dict[str, Any]:
            cleaned = super().clean() or {}
            if "high" in cleaned and cleaned.get("low", 0) > cleaned["high"]:
                raise forms.ValidationError("low is above high")
            return cleaned

    def setup(self, low: float, high: float, name: str) -> None: ...


def cleaned(simulation: Any, args: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    return params.clean(set_form(simulation), args, present=present)


def set_form(simulation: Any) -> Any:
    return params.form_class(params.commands(simulation)["set"])


def wrong(simulation: Any, args: dict[str, Any], present: dict[str, Any]) -> dict[str, Any]:
    with pytest.raises(BadArgs) as caught:
        cleaned(simulation, args, present)
    return dict(caught.value.fields)


class TestDeclaring:
    def test_live_are_those_that_say_so_in_a_class_a_loop_and_a_job(self) -> None:
        def loop(sim: Any, pace: Annotated[int, param(live=True)] = 1, size: int = 2) -> None: ...

        class Work(Job):
            def work(self, pace: Annotated[int, param(live=True)] = 1) -> None: ...

        assert params.live(Bath) == ("room", "stirred", "scent", "soak")
        assert params.live(Loop(loop)) == ("pace",)
        assert params.live(of_class(Work, {})) == ("pace",)
        assert params.live(FormBath) == ("low", "high")
        assert params.live(Still) == ()

    def test_what_may_be_none_may_be_live_however_that_is_written(self) -> None:
        def loop(
            sim: Any,
            inside: Annotated[int, param(live=True)] | None = None,
            around: Annotated[int | None, param(live=True)] = None,
            fixed: Annotated[int, param()] | None = None,
        ) -> None: ...

        assert params.live(Loop(loop)) == ("inside", "around")

    def test_set_is_among_the_commands_where_something_is_live(self) -> None:
        assert list(params.commands(Bath)) == ["pour", "set"]
        assert list(params.commands(Still)) == []
        assert list(Bath.commands) == ["pour"]
        assert params.commands(Bath)["set"].durable

    def test_a_loop_that_declares_no_commands_still_takes_any(self) -> None:
        def loop(sim: Any, pace: Annotated[int, param(live=True)] = 1) -> None: ...

        assert Loop(loop).takes_any_message
        assert list(params.commands(Loop(loop))) == ["set"]

    def test_a_command_set_beside_live_parameters_is_refused(self) -> None:
        class Clash(Bath):
            @command(name="set")
            def put(self, room: float) -> None: ...

        with pytest.raises(RegistrationError) as caught:
            declarations.check(Clash)
        assert str(caught.value).partition("<locals>.")[2] == (
            "Clash has live parameters (room, stirred, scent, soak), which the built-in command 'set'"
            " changes, and declares a command of that name. Expected: another name for its own."
        )

    def test_a_command_set_alone_is_an_authors_own(self) -> None:
        class Own(Still):
            @command
            def set(self, size: int) -> None: ...

        declarations.check(Own)
        assert params.commands(Own) == Own.commands

    def test_an_argument_of_a_command_cannot_be_live(self) -> None:
        class Strange(Still):
            @command
            def put(self, size: Annotated[int, param(live=True)]) -> None: ...

        with pytest.raises(RegistrationError, match="parameter 'size' is live, which an argument cannot be"):
            declarations.check(Strange)

    def test_what_a_list_holds_cannot_be_live(self) -> None:
        def loop(sim: Any, sizes: list[Annotated[int, param(live=True)]]) -> None: ...

        with pytest.raises(RegistrationError, match="what it holds is marked live"):
            params.live(Loop(loop))

    @pytest.mark.parametrize(
        ("live", "told"),
        [
            (
                ("size", "age", "weight"),
                "names age, weight, of which it has no field. Expected some of: size.",
            ),
            ("size", "is 'size'. Expected: a tuple of the names of fields."),
            (True, "is True. Expected: a tuple of the names of fields."),
        ],
    )
    def test_a_form_that_names_what_it_has_not_is_refused(self, live: Any, told: str) -> None:
        members = {"size": forms.IntegerField(initial=3), "live": live}
        simulation = type("Odd", (Still,), {"Params": type("Params", (forms.Form,), members)})
        with pytest.raises(RegistrationError) as caught:
            declarations.check(simulation)
        assert told in str(caught.value)

    def test_changed_must_be_a_plain_def(self) -> None:
        class Waiting(Bath):
            async def changed(self, names: set[str]) -> None: ...  # type: ignore[override]

        class Work(Job):
            def work(self) -> None: ...

            async def changed(self, names: set[str]) -> None: ...  # type: ignore[override]

        for wrong in (Waiting, of_class(Work, {})):
            with pytest.raises(RegistrationError, match="is a coroutine or a generator"):
                declarations.check(wrong)

    def test_param_is_for_everybody_to_import(self) -> None:
        assert param(live=True).live
        assert not param().live
        assert callable(job)


class TestChecking:
    def test_what_is_given_is_cleaned_and_nothing_else_comes_with_it(self) -> None:
        assert cleaned(Bath, {"room": 25}, PRESENT) == {"room": 25.0}
        given = {"scent": "pine", "stirred": True, "soak": "00:01:00"}
        assert cleaned(Bath, given, PRESENT) == {"stirred": True, "scent": "pine", "soak": "P0DT00H01M00S"}
        assert cleaned(Bath, {"scent": None}, PRESENT) == {"scent": None}

    def test_types_and_limits_are_those_of_the_start(self) -> None:
        too_much = {"room": ["Ensure this value is less than or equal to 40."]}
        assert wrong(Bath, {"room": 41}, PRESENT) == too_much
        assert wrong(Bath, {"room": "25"}, PRESENT).keys() == {"room"}
        assert wrong(Bath, {"room": True, "scent": "x" * 11}, PRESENT).keys() == {"room", "scent"}

    def test_what_is_not_live_and_what_is_unknown_is_said_apart(self) -> None:
        found = wrong(Bath, {"litres": 3.0, "depth": 1, "room": 3}, PRESENT)
        names = "room, stirred, scent, soak"
        assert found == {
            "litres": [f"Cannot be changed while the run goes on. Expected one of: {names}."],
            "depth": [f"Unknown name. Expected one of: {names}."],
        }

    def test_nothing_at_all_is_refused(self) -> None:
        with pytest.raises(
            BadArgs, match="There is nothing to set. Expected some of: room, stirred, scent, soak"
        ):
            cleaned(Bath, {}, PRESENT)

    def test_a_form_of_ones_own_compares_with_what_the_others_are_now(self) -> None:
        present = {"low": 1.0, "high": 5.0, "name": "ada"}
        assert cleaned(FormBath, {"low": 4.0}, present) == {"low": 4.0}
        assert wrong(FormBath, {"low": 6.0}, present) == {"__all__": ["low is above high"]}
        assert cleaned(FormBath, {"low": 6.0}, present | {"high": 7.0}) == {"low": 6.0}
        assert wrong(FormBath, {"high": 11.0}, present).keys() == {"high"}
        assert wrong(FormBath, {"name": "bob"}, present).keys() == {"name"}

    def test_the_schema_takes_what_clean_takes(self) -> None:
        schema = params.schema(set_form(Bath))
        jsonschema.Draft202012Validator.check_schema(schema)
        assert list(schema["properties"]) == ["room", "stirred", "scent", "soak"]
        assert schema["properties"]["room"] == {
            "title": "Room",
            "description": "How warm the room is",
            "type": "number",
            "minimum": 0,
            "maximum": 40,
        }
        valid = jsonschema.Draft202012Validator(schema).is_valid
        assert valid({"room": 25})
        assert not any(map(valid, [{}, {"room": 50}, {"litres": 3.0}, {"room": 1, "depth": 1}]))
        assert list(params.schema(set_form(FormBath))["properties"]) == ["low", "high"]

    def test_what_is_typed_on_a_command_line_is_read_by_its_type(self) -> None:
        assert params.parse(set_form(Bath), ["room=25", "stirred=yes", "scent="]) == {
            "room": 25.0,
            "stirred": True,
            "scent": "",
        }


def posted(**values: str) -> QueryDict:
    data = QueryDict(mutable=True)
    data.update(values)
    return data


SHOWN = {"initial-room": "20.0", "initial-stirred": "False", "initial-scent": "", "initial-soak": "00:05:00"}
SAME = {"room": "20.0", "scent": "", "soak": "00:05:00"}


class TestForm:
    def test_it_shows_the_present_values_and_posts_them_along(self) -> None:
        html = str(set_form(Bath)(initial=PRESENT | {"room": 31.5, "stirred": True}))
        assert 'name="room" value="31.5"' in html
        assert 'type="hidden" name="initial-room" value="31.5"' in html
        assert 'type="hidden" name="initial-stirred" value="True"' in html
        assert 'name="litres"' not in html

    def test_set_is_what_differs_from_what_was_shown_whatever_holds_now(self) -> None:
        form = set_form(Bath)(posted(**SHOWN, **(SAME | {"scent": "pine"})), initial=PRESENT | {"room": 33.0})
        assert form.is_valid(), form.errors
        assert form.cleaned_data == {"scent": "pine"}
        assert params.jsonable(type(form), form.cleaned_data) == {"scent": "pine"}

    def test_a_tick_that_is_taken_away_is_a_change(self) -> None:
        form = set_form(Bath)(posted(**(SHOWN | {"initial-stirred": "True"}), **SAME))
        assert form.is_valid(), form.errors
        assert form.cleaned_data == {"stirred": False}

    def test_every_kind_goes_through_its_field(self) -> None:
        form = set_form(Bath)(posted(**SHOWN, room="3", stirred="on", scent="rose", soak="00:10:00"))
        assert form.is_valid(), form.errors
        stored = params.jsonable(type(form), form.cleaned_data)
        assert stored == {"room": 3.0, "stirred": True, "scent": "rose", "soak": "P0DT00H10M00S"}

    def test_nothing_that_differs_is_an_error(self) -> None:
        form = set_form(Bath)(posted(**SHOWN, **SAME))
        told = ["Nothing is different from what it was. Change a value, then set it."]
        assert form.errors == {"__all__": told}

    def test_a_wrong_value_is_told_at_its_field_and_marked_as_somebodys_own(self) -> None:
        form = set_form(Bath)(posted(**SHOWN, **(SAME | {"room": "99"})))
        assert form.errors == {"room": ["Ensure this value is less than or equal to 40."]}
        html = str(form)
        assert 'data-edited=""' in str(form["room"])
        assert 'data-edited=""' not in str(form["scent"])
        assert 'name="initial-room" value="20.0"' in html

    def test_lists_of_what_json_has_not_are_compared(self) -> None:
        def loop(sim: Any, days: Annotated[list[date], param(live=True)]) -> None: ...

        form_class = set_form(Loop(loop))
        html = str(form_class(initial={"days": ["2030-01-02"]}))
        assert "2030-01-02" in html
        same = posted(days='["2030-01-02"]', **{"initial-days": '[ "2030-01-02" ]'})
        assert form_class(same).errors.keys() == {"__all__"}
        other = form_class(posted(days='["2030-01-03"]', **{"initial-days": '["2030-01-02"]'}))
        assert other.is_valid()
        assert params.jsonable(form_class, other.cleaned_data) == {"days": ["2030-01-03"]}

    def test_a_form_of_ones_own_gives_its_fields(self) -> None:
        form = set_form(FormBath)(
            posted(low="2", high="5.0", **{"initial-low": "1.0", "initial-high": "5.0"})
        )
        assert form.is_valid(), form.errors
        assert params.jsonable(type(form), form.cleaned_data) == {"low": 2.0}
