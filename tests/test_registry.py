from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django import forms
from django.utils import autoreload, translation

from django_livesim import Simulation, command, declarations, params, registry
from django_livesim.protocol.errors import RegistrationError, UnknownSimulation
from django_livesim.registry import Registry, register
from django_livesim.simulation import OPTIONS, Loop
from tests.app import simulations


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """An empty registry in place of the process's own."""
    own = Registry()
    monkeypatch.setattr(registry, "_registry", own)
    monkeypatch.setattr(registry, "get", own.get)
    monkeypatch.setattr(registry, "all", own.all)
    monkeypatch.setattr(registry, "unregister", own.remove)
    return own


def simulation(name: str = "Orbit", module: str = "shop.simulations", **attributes: Any) -> Any:
    """A class as it would stand in a module."""

    def step(self: Any, dt: float) -> None: ...

    return type(name, (Simulation,), {"step": step, "__module__": module, "__qualname__": name} | attributes)


def refusal(target: Any, /, **options: Any) -> str:
    with pytest.raises(RegistrationError) as caught:
        register(**options)(target)
    return str(caught.value)


def names() -> list[str]:
    return [target.name for target in registry.all()]


def test_a_class_is_found_by_its_name_in_snake_case() -> None:
    @register
    class RollerCoaster(Simulation):
        def step(self, dt: float) -> None: ...

    assert registry.get("roller_coaster") is RollerCoaster
    assert registry.all() == [RollerCoaster]


def test_options_are_attributes_of_the_class() -> None:
    cls = register(tick_rate=20, name="planets", params_form=None)(simulation())
    assert (cls.tick_rate, cls.name, cls.label) == (20, "planets", "Planets")
    assert registry.get("planets") is cls


def test_a_label_that_the_author_chose_stays() -> None:
    cls = register(name="planets")(simulation(label="In orbit"))
    assert cls.label == "In orbit"


def test_a_function_becomes_a_loop() -> None:
    @register(label="The workshop", tick_rate=2)
    async def workshop(sim: Any, benches: int = 3) -> None: ...

    assert isinstance(workshop, Loop) and registry.get("workshop") is workshop
    assert (workshop.label, workshop.tick_rate, workshop.is_async) == ("The workshop", 2, True)
    assert params.clean(params.form_class(workshop), {}) == {"benches": 3}


def test_an_unknown_name_is_told_what_there_is() -> None:
    with pytest.raises(UnknownSimulation, match="There is no simulation 'x': none is registered"):
        registry.get("x")
    register(simulation("Orbit"))
    register(simulation("Life"))
    with pytest.raises(UnknownSimulation) as caught:
        registry.get("x")
    assert caught.value.message == "There is no simulation 'x'. Expected one of: life, orbit."
    assert caught.value.code == "unknown_simulation"


def test_two_apps_that_share_a_default_name_have_it_prefixed() -> None:
    first = register(simulation(module="shop.simulations"))
    assert names() == ["orbit"]
    second = register(simulation(module="lab.simulations"))
    assert names() == ["lab.orbit", "shop.orbit"]
    assert registry.get("shop.orbit") is first and registry.get("lab.orbit") is second
    assert first.label == "Orbit"
    with pytest.raises(UnknownSimulation) as caught:
        registry.get("orbit")
    assert caught.value.message == "There is no simulation 'orbit'. Expected one of: lab.orbit, shop.orbit."

    third = register(simulation(module="zoo.simulations"))
    assert third.name == "zoo.orbit"
    registry.unregister("zoo.orbit")
    registry.unregister("lab.orbit")
    assert names() == ["orbit"] and registry.get("orbit") is first


def test_the_prefix_is_the_label_of_the_app() -> None:
    assert registry._app_of("django_livesim.contrib.anything") == "livesim"
    assert registry._app_of("django.contrib.auth.simulations") == "auth"
    assert registry._app_of("elsewhere.simulations") == "elsewhere"


def test_one_app_cannot_use_a_name_twice_and_a_chosen_name_is_nobody_elses() -> None:
    first = register(simulation(module="shop.one"))
    assert refusal(simulation(module="shop.two")) == (
        "shop.two.Orbit: the name 'shop.orbit' is taken by shop.one.Orbit. "
        'Expected a name of its own: @register(name="...").'
    )
    chosen = simulation("Planets", module="lab.simulations")
    assert "lab.simulations.Planets: the name 'orbit' is taken by shop.one.Orbit." in refusal(
        chosen, name="orbit"
    )
    assert names() == ["orbit"] and registry.get("orbit") is first


def test_a_module_that_is_loaded_again_replaces_its_simulations() -> None:
    register(simulation())
    again = register(simulation())
    assert registry.all() == [again]
    assert register(again) is again and registry.all() == [again]


def test_registering_again_what_has_a_prefix_changes_nothing() -> None:
    first = register(simulation(module="shop.simulations"))
    register(simulation(module="lab.simulations"))
    register(first)
    assert names() == ["lab.orbit", "shop.orbit"]


def test_what_is_refused_leaves_no_trace() -> None:
    first = register(simulation(module="shop.one"))
    refusal(simulation(module="shop.two"))
    refusal(simulation("Broken", tick_rate=0))
    assert registry.all() == [first]


@pytest.mark.parametrize("target", [int, 3, "orbit", object(), simulation()()])
def test_only_simulations_and_functions_are_registered(target: Any) -> None:
    assert "Expected: a subclass of django_livesim.Simulation or of Job, or a function." in refusal(target)


def test_unknown_options_are_refused_with_those_that_there_are() -> None:
    def loop(sim: Any) -> None: ...

    for target in (simulation(), loop):
        text = refusal(target, tickrate=3)
        assert ": unknown options tickrate. Expected some of: autostart, deterministic," in text


def test_every_option_has_a_check_and_every_default_passes() -> None:
    assert set(declarations.EXPECTED) == set(OPTIONS)
    register(simulation())


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("name", "a b", "letters, digits, '_', '-' and '.', at most 200, beginning with a letter"),
        ("name", "x" * 201, "letters, digits"),
        ("label", 3, "a text"),
        ("version", 0, "an integer from 1"),
        ("version", True, "an integer from 1"),
        ("tick_rate", 0, "steps per simulated second, a number above 0"),
        ("tick_rate", float("inf"), "steps per simulated second"),
        ("tick_rate", "10", "steps per simulated second"),
        ("frame_rate", -1, "frames a second, a number above 0, or None"),
        ("report_every", 0.5, "a number of ticks, an integer from 1, or None"),
        ("queue", "", "a text of 1 to 64 characters"),
        ("deterministic", 1, "True or False"),
        ("recovery", "none", "one of: 'checkpoint', 'replay'"),
        ("sharing", "mine", "one of: 'shared', 'per_user', 'per_session'"),
        ("autostart", None, "True or False"),
        ("when_unwatched", "sleep", "one of: 'run', 'pause', 'stop'"),
        ("may_start", "all", "one of: 'permitted', 'users', 'anyone'"),
        ("open_commands", "yes", "True or False"),
        ("step_timeout", 0, "seconds, a number above 0, or None"),
        ("report_to", "livesim.runs", "a group of your own"),
        ("report_to", "a b", "a group of your own"),
        ("script", None, "the static path of a script"),
    ],
)
def test_an_option_with_a_bad_value_is_refused(option: str, value: Any, expected: str) -> None:
    text = refusal(simulation(), **{option: value})
    assert text.startswith(f"shop.simulations.Orbit: {option} is {value!r}. Expected {expected}")


@pytest.mark.parametrize("option", ["name", "label", "queue"])
def test_a_method_that_has_the_name_of_an_option_is_refused(option: str) -> None:
    body = {option: command(lambda self: None), "step": lambda self, dt: None}
    text = refusal(type("Orbit", (Simulation,), {**body, "__module__": "shop.simulations"}))
    assert text.startswith(f"shop.simulations.Orbit: {option} is <function ")


def test_what_starts_by_itself_has_a_default_for_each_parameter() -> None:
    class Size(forms.Form):
        width = forms.IntegerField()
        depth = forms.IntegerField(initial=3)

    def by_signature(self: Any, width: int, on: bool, depth: int = 3) -> None: ...
    def by_form(self: Any, width: int, depth: int) -> None: ...
    async def loop(sim: Any, width: int) -> None: ...

    for target, options, names in (
        (simulation(setup=by_signature), {}, "width, on"),
        (simulation(setup=by_form), {"params_form": Size}, "width"),
        (loop, {}, "width"),
    ):
        text = refusal(target, autostart=True, **options)
        assert f"autostart is True, and nobody is there to give it {names}. Expected: a default" in text
    register(autostart=True, name="free")(simulation())
    register(name="wants")(simulation(setup=by_signature))


def test_a_lazy_label_is_a_text() -> None:
    register(label=translation.gettext_lazy("running"))(simulation())


def test_replay_needs_determinism() -> None:
    def loop(sim: Any) -> None: ...

    for target, options in ((loop, {}), (simulation(), {"deterministic": False})):
        assert "recovery is 'replay', which needs a deterministic" in refusal(
            target, recovery="replay", **options
        )
    assert "deterministic is True, which a loop of your own cannot be." in refusal(loop, deterministic=True)
    register(recovery="replay")(simulation())


def test_a_class_needs_a_step_that_returns() -> None:
    class Still(Simulation): ...

    async def later(self: Any, dt: float) -> None: ...
    def bit_by_bit(self: Any, dt: float) -> Iterator[None]:
        yield

    assert "Still has no step. Expected: def step(self, dt: float)." in refusal(Still)
    for step in (later, bit_by_bit):
        assert f"{step.__name__} is a coroutine or a generator. Expected: a plain def;" in refusal(
            simulation(step=step)
        )


def test_a_loop_is_no_generator_and_takes_sim() -> None:
    def generator(sim: Any) -> Iterator[None]:
        yield

    async def nothing() -> None: ...

    assert "generator is a generator. Expected: a def or async def" in refusal(generator)
    assert "nothing takes no first parameter. Expected: self, or sim in a loop." in refusal(nothing)


def test_parameters_that_make_no_form_are_refused() -> None:
    def setup(self: Any, place: tuple[int, int]) -> None: ...

    text = refusal(simulation(setup=setup))
    assert "setup, parameter 'place': tuple[int, int] cannot be a parameter. Expected one of: int," in text


def test_commands_that_make_no_form_are_refused() -> None:
    @command
    def paint(self: Any, colour) -> None: ...  # type: ignore[no-untyped-def]

    @command
    async def wait(self: Any) -> None: ...

    @command(name="a b")
    def strange(self: Any) -> None: ...

    assert "paint, parameter 'colour' has no annotation." in refusal(simulation(paint=paint))
    assert "wait is a coroutine or a generator." in refusal(simulation(wait=wait))
    assert "strange: 'a b' cannot be a command's name. Expected letters" in refusal(
        simulation(strange=strange)
    )


def test_a_class_cannot_have_two_commands_of_one_name() -> None:
    @command
    def add(self: Any) -> None: ...

    @command(name="add")
    def other(self: Any) -> None: ...

    assert "Orbit has more than one command named 'add'." in refusal(simulation(add=add, other=other))


class Size(forms.Form):
    width = forms.IntegerField()
    height = forms.IntegerField()


@pytest.mark.parametrize("given_by", ["inner class", "option"])
def test_a_form_and_its_function_must_agree(given_by: str) -> None:
    def attempt(setup: Callable[..., None]) -> str:
        if given_by == "option":
            return refusal(simulation(setup=setup), params_form=Size)
        return refusal(simulation(setup=setup, Params=Size))

    def too_few(self: Any, width) -> None: ...  # type: ignore[no-untyped-def]
    def too_many(self: Any, width, height, depth) -> None: ...  # type: ignore[no-untyped-def]

    assert attempt(too_few) == (
        "shop.simulations.Orbit: too_few does not take height, which its form Size gives."
    )
    assert attempt(too_many) == (
        "shop.simulations.Orbit: too_many wants depth, which its form Size does not give."
    )


def test_a_function_that_takes_whatever_comes_agrees_with_any_form() -> None:
    def setup(self: Any, **size: Any) -> None: ...
    def exact(self: Any, width, height, depth=1) -> None: ...  # type: ignore[no-untyped-def]

    for function in (setup, exact):
        cls = register(simulation(function.__name__.title(), setup=function, Params=Size))
        assert params.form_class(cls) is Size


def test_autodiscovery_imports_each_apps_simulations_and_checks_the_commands_of_loops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "tests.app.simulations")
    monkeypatch.setattr("tests.app.simulations", simulations)  # put back when the test ends
    registry.autodiscover()
    assert "counter" in names() and "echo" in names()

    @register
    def workshop(sim: Any) -> None: ...

    @workshop.command
    def hire(sim: Any, name) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(RegistrationError, match="hire, parameter 'name' has no annotation"):
        registry.autodiscover()


def test_errors_of_authors_are_in_english_whatever_the_language() -> None:
    def setup(self: Any, n: int = "3") -> None: ...  # type: ignore[assignment]

    with translation.override("de"):
        assert "the default is '3'. Expected an integer." in refusal(simulation(setup=setup))
        assert translation.get_language() == "de"


def test_simulations_may_be_declared_where_django_is_not_configured(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from django_livesim import Simulation, register, registry\n"
        "@register\n"
        "class Orbit(Simulation):\n"
        "    def setup(self, n: int = 3, b: bool | None = None): ...\n"
        "    def step(self, dt): ...\n"
        "print([s.name for s in registry.all()])\n"
    )
    environment = {"PYTHONPATH": ".", "PATH": ""}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert done.stdout == "['orbit']\n", done.stderr


def test_runserver_watches_the_file_of_a_bad_simulation_and_starts_again_when_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = tmp_path / "bad_pond.py"
    bad.write_text(
        "from django_livesim import Simulation, register\n@register\nclass Pond(Simulation):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(autoreload, "_error_files", [])
    monkeypatch.setattr(autoreload, "_exception", None)
    with pytest.raises(RegistrationError, match="Pond has no step"):
        autoreload.check_errors(importlib.import_module)("bad_pond")
    assert autoreload._error_files == [str(bad)]


def test_the_file_of_a_loop_whose_command_cannot_work_is_told_too(
    own: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    @register
    def shop(sim: Any) -> None: ...

    @shop.command
    def hire(sim: Any, name) -> None: ...  # type: ignore[no-untyped-def]

    monkeypatch.setattr(registry, "autodiscover_modules", lambda name: None)
    with pytest.raises(RegistrationError) as caught:
        registry.autodiscover()
    assert caught.value.filename == __file__


def test_upgrade_takes_a_state_and_a_version(own: Registry) -> None:
    def short(self: Any, state: dict[str, Any]) -> dict[str, Any]:
        return state

    async def later(self: Any, state: dict[str, Any], from_version: int) -> dict[str, Any]:
        return state

    def anew(state: dict[str, Any], from_version: int) -> dict[str, Any]:
        return state

    expected = "short does not take a state and a version. Expected: def upgrade(self, state, from_version)."
    assert expected in refusal(simulation(upgrade=short))
    assert "later is a coroutine" in refusal(simulation(upgrade=later))
    register(simulation(upgrade=staticmethod(anew)))


def test_the_upgrade_of_a_loop_is_checked_with_its_commands(
    own: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    @register
    def shop(sim: Any) -> None: ...

    @shop.upgrade
    def brought_up(sim: Any, state: dict[str, Any], from_version: int) -> dict[str, Any]:
        return state

    monkeypatch.setattr(registry, "autodiscover_modules", lambda name: None)
    with pytest.raises(RegistrationError, match=r"Expected: def upgrade\(state, from_version\)"):
        registry.autodiscover()
