"""What authors declare of a picture, what of it is refused, and what the page is told."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.template.loader import select_template
from django.test import RequestFactory

import django_livesim
from django_livesim import Click, Grid, Network, Points, Simulation, command, job, register, registry
from django_livesim.portrayal import layers_of
from django_livesim.protocol.errors import RegistrationError
from django_livesim.registry import Registry
from django_livesim.testing import Trial
from django_livesim.views import pictures
from tests import services
from tests.documents import BASE, block


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """An empty registry in place of the process's own."""
    own = Registry()
    monkeypatch.setattr(registry, "_registry", own)
    monkeypatch.setattr(registry, "get", own.get)
    monkeypatch.setattr(registry, "all", own.all)
    return own


def portrayed(*layers: Any, **attributes: Any) -> Any:
    """A class as an author writes it, that portrays these layers."""

    class Harbour(Simulation):
        """Ships."""

        def step(self, dt: float) -> None: ...

        @command
        def hail(self, ship: str, loud: bool = False) -> None: ...

        @command(label="Drop a buoy")
        def drop(self, x: float, y: float, kind: str = "red") -> None: ...

        @command
        def dig(self, column: int, row: int) -> None: ...

        @classmethod
        def portray(cls) -> Any:
            return list(layers)

    for name, value in attributes.items():
        setattr(Harbour, name, value)
    return Harbour


def refusal(target: Any) -> str:
    with pytest.raises(RegistrationError) as caught:
        register(target)
    return str(caught.value).partition("Harbour: ")[2]


@pytest.mark.parametrize(
    ("declare", "said"),
    [
        (lambda: Points("a b"), "Points(path='a b'): expected a path in the view, as \"entities\""),
        (lambda: Points(3), "Points(path=3): expected a path in the view"),  # type: ignore[arg-type]
        (lambda: Points("a..b"), "Points(path='a..b'): expected a path"),
        (lambda: Points("a", x=None), "Points(x=None): expected a member of an entry, as"),  # type: ignore[arg-type]
        (lambda: Points("a", x=1), "Points(x=1): expected a member"),  # type: ignore[arg-type]
        (lambda: Points("a", color="#12"), "Points(color='#12'): expected a colour, as \"teal\" or"),
        (lambda: Points("a", size=0), "Points(size=0): expected a number above 0, a member"),
        (lambda: Points("a", size=True), "Points(size=True): expected a number above 0"),
        (lambda: Points("a", label=2), "Points(label=2): expected a member of an entry, True for its id"),  # type: ignore[arg-type]
        (lambda: Points("a", shape="star"), "Points(shape='star'): expected one of: 'circle', 'square'"),
        (lambda: Points("a", heading=1), "Points(heading=1): expected a member"),  # type: ignore[arg-type]
        (lambda: Points("a", smooth=1), "Points(smooth=1): expected True or False."),  # type: ignore[arg-type]
        (lambda: Points("a", range=(1, 1)), "Points(range=(1, 1)): expected the lowest and the highest"),
        (
            lambda: Points("a", colors={"a": "nice"}),
            "Points(colors={'a': 'nice'}): expected a dict of colours",
        ),
        (lambda: Points("a", colors={(): "red"}), "Points(colors={(): 'red'}): expected a dict of colours"),
        (lambda: Grid("a", palette=["red", "blue"]), "Grid(palette=['red', 'blue']): expected two colours"),
        (lambda: Grid("a", bounds=(0, 0, 0, 1)), "Grid(bounds=(0, 0, 0, 1)): expected (x0, y0, x1, y1)"),
        (lambda: Grid("a", bounds=(0, 0, 1)), "Grid(bounds=(0, 0, 1)): expected (x0, y0, x1, y1)"),
        (lambda: Grid("a", width=0), "Grid(width=0): expected cells in a row, an integer from 1 to 4096"),
        (lambda: Grid("a", click="dig"), "Grid(click='dig'): expected Click(\"command\"), or None."),  # type: ignore[arg-type]
        (lambda: Network("a", "b", x="x"), "Network(x='x', y=None): expected both or neither."),
        (lambda: Network("a", "b", source=0), "Network(source=0): expected a member"),  # type: ignore[arg-type]
        (lambda: Network("a", "b", click=Click("drop")), "Expected Click(..., id=...) without x and y."),
        (lambda: Grid("a", names={"#": ""}), "Grid(names={'#': ''}): expected a dict of texts by value"),
        (lambda: Grid("a", names=["#"]), "Grid(names=['#']): expected a dict of texts by value"),  # type: ignore[arg-type]
        (lambda: Grid("a", legend=""), "Grid(legend=''): expected a title for what the colours mean"),
        (lambda: Click(""), "Click(command=''): expected the name of a command."),
        (lambda: Click("a", id=3), "Click(id=3): expected the name of an argument of the command"),  # type: ignore[arg-type]
        (lambda: Click("a", args={"b": {1}}), "Click(args={'b': {1}}): expected a dict of plain JSON data."),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_what_was_expected(declare: Any, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        declare()
    cls = portrayed()
    cls.portray = classmethod(lambda cls: declare())
    told = refusal(cls)
    assert told.startswith("portray: ") and said in told


@pytest.mark.parametrize(
    ("click", "said"),
    [
        (Click("dance"), "there is no command 'dance'. Expected one of: 'hail', 'drop', 'dig'."),
        (
            Click("hail"),
            "Click('hail') sends x, y, which the command does not take. Expected some of: ship, loud.",
        ),
        (Click("hail", id="ship", args={"soft": 1}), "Click('hail') sends soft, which the command does not"),
        (Click("dig", x="column"), "Click('dig') sends no row, which the command wants. Expected it as the"),
    ],
)
def test_a_click_that_its_command_cannot_take_is_refused(click: Click, said: str) -> None:
    assert refusal(portrayed(Points("ships", click=click))).startswith(f"portray: {said}")


def test_clicks_that_fit_are_taken() -> None:
    clicks = [
        Click("hail", id="ship"),
        Click("hail", id="ship", args={"loud": True}),
        Click("drop"),
        Click("drop", x="x", y="y", id="kind"),
        Click("dig", x="column", y="row"),
    ]
    register(portrayed(*(Points("ships", click=click) for click in clicks)))
    assert [click.names() for click in clicks] == [
        ["ship"],
        ["ship", "loud"],
        ["x", "y"],
        ["x", "y", "kind"],
        ["column", "row"],
    ]


@pytest.mark.parametrize(
    ("portray", "said"),
    [
        (lambda self: [], "portray cannot be called, or "),
        (classmethod(lambda cls: 1 / 0), "division by zero (ZeroDivisionError). Expected: Points, Grid or"),
        (classmethod(lambda cls: "ab"), "it returned 'a' (TypeError). Expected: Points, Grid or Network"),
        (classmethod(lambda cls: Points("a", colour="x")), "unexpected keyword argument 'colour'"),  # type: ignore[call-arg]
    ],
)
def test_a_method_that_portrays_nothing_is_refused(portray: Any, said: str) -> None:
    assert said in refusal(portrayed(portray=portray))


def test_one_layer_or_several_or_none_are_portrayed() -> None:
    ships = Points("ships")
    assert layers_of(portrayed(ships, Grid("sea"))) == (ships, Grid("sea"))
    assert layers_of(portrayed(portray=classmethod(lambda cls: ships))) == (ships,)
    assert layers_of(portrayed(portray=classmethod(lambda cls: None))) == ()
    assert layers_of(Simulation) == ()


def test_a_loop_declares_its_picture_after_its_commands() -> None:
    @register
    async def harbour(sim: Any) -> None: ...

    @harbour.command
    def hail(sim: Any, ship: str) -> None: ...

    @harbour.portray
    def drawn() -> Any:
        return Points("ships", click=Click("hail", id="boat"))

    assert layers_of(harbour)[0].kind == "points"
    with pytest.raises(RegistrationError, match="sends boat, which the command does not take"):
        registry.autodiscover()
    with pytest.raises(RegistrationError, match="sends boat"):
        Trial(harbour)


def test_a_loop_that_takes_any_message_takes_any_click() -> None:
    @register
    async def harbour(sim: Any) -> None: ...

    harbour.portray(lambda: Points("ships", click=Click("anything")))
    registry.autodiscover()
    assert pictures.picture(harbour)["clicks"] == ["anything"]  # type: ignore[index]


def test_a_job_has_no_picture() -> None:
    @job
    def work(job: Any) -> None: ...

    work.portray(lambda: Points("ships"))
    with pytest.raises(RegistrationError, match="the page of a job shows its progress, and no picture"):
        registry.autodiscover()


class TestPage:
    def test_it_is_told_what_to_draw_and_what_clicks_send(self) -> None:
        hail, dig = Click("hail", id="ship"), Click("dig", x="column", y="row", args={})
        colors, names = {0: "navy", True: "teal", None: "#fff"}, {0: "deep", True: "shoal"}
        sea = Grid("sea", colors=colors, names=names, width="wide", click=dig)
        picture = pictures.picture(
            portrayed(sea, Points("ships", x="at.0", y="at.1", color="teal", click=hail))
        )
        assert picture is not None
        assert picture["script"] == "django_livesim/portrayal.js"
        assert picture["clicks"] == ["Dig", "Hail"]
        sea_told, ships_told = picture["layers"]
        assert sea_told["colors"] == {"0": "navy", "true": "teal", "null": "#fff"}
        assert sea_told["names"] == {"0": "deep", "true": "shoal"}
        assert (sea_told["path"], sea_told["width"]) == (["sea"], ["wide"])
        assert sea_told["click"] == {
            "command": "dig",
            "x": "column",
            "y": "row",
            "id": None,
            "args": {},
            "whole": True,
        }
        assert (ships_told["x"], ships_told["color"]) == (["at", "0"], {"css": "teal"})
        assert ships_told["click"]["whole"] is False
        json.dumps(picture)

    def test_bounds_are_fixed_or_read_from_the_view(self) -> None:
        told = [Grid("sea", bounds=bounds).tell()["bounds"] for bounds in ((0, 0, 1, 2), "box.all", None)]
        assert told == [{"fixed": [0.0, 0.0, 1.0, 2.0]}, ["box", "all"], None]

    def test_a_script_wins(self) -> None:
        drawn = portrayed(Points("ships"), script="harbour/harbour.js")
        assert pictures.picture(drawn) == {"script": "harbour/harbour.js", "layers": [], "clicks": []}

    def test_what_portrays_nothing_and_what_is_not_installed_have_no_picture(self) -> None:
        assert pictures.picture(portrayed()) is None
        assert pictures.picture(None) is None

    def test_a_template_of_the_simulations_own_is_looked_for_first(self) -> None:
        assert pictures.templates(portrayed()) == [
            "django_livesim/simulations/harbour.html",
            "django_livesim/run_detail.html",
        ]
        assert (
            select_template(pictures.templates(portrayed())).template.name == "django_livesim/run_detail.html"
        )
        assert pictures.templates(None) == ["django_livesim/run_detail.html"]

    def test_what_an_author_writes_cannot_end_the_script_it_stands_in(self) -> None:
        hostile = "</script><script>"
        click = Click("hail", id="ship", args={"loud": hostile})
        context = {"picture": pictures.picture(portrayed(Points("ships", click=click))), "run": "x"}
        template = select_template(["django_livesim/includes/picture.html"])
        page = template.render(context, RequestFactory().get("/"))
        assert hostile not in page and "\\u003C/script\\u003E" in page


def test_what_authors_need_is_exported() -> None:
    assert {"Points", "Grid", "Network", "Click"} <= set(django_livesim.__all__)


def test_the_scripts_by_themselves() -> None:
    node = services.executable("node")
    tests = Path(__file__).with_name("portrayal.test.mjs")
    done = subprocess.run([node, "--test", str(tests)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_no_script_of_a_picture_is_long_or_builds_html_from_texts() -> None:
    folder = BASE / "django_livesim" / "static" / "django_livesim"
    for path in [folder / "portrayal.js", *(folder / "portrayal").glob("*.js")]:
        text = path.read_text()
        assert len(text.splitlines()) < 300, path
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text), path


def test_the_example_of_the_authors_reference_is_drawn_and_clicked() -> None:
    names: dict[str, Any] = {"__name__": "tests.app.simulations"}
    exec(compile(block("docs/authoring.md", "class Harbour"), "authoring", "exec", dont_inherit=True), names)
    harbour = names["Harbour"]
    assert [layer.kind for layer in layers_of(harbour)] == ["points", "points"]
    trial = Trial(harbour)
    trial.send("drop", {"x": 1.5, "y": 2})
    trial.step(10)
    assert trial.state["buoys"] == [[1.5, 2]]
    assert trial.state["ships"]["s1"]["at"] == [pytest.approx(21), 30]


def test_the_example_of_a_template_is_that_of_the_sandbox() -> None:
    folder = BASE / "sandbox/epidemic"
    text = (BASE / "docs/overriding-templates.md").read_text()
    for path, language in (
        (folder / "templates/django_livesim/simulations/epidemic.html", "html"),
        (folder / "static/epidemic/counts.js", "js"),
    ):
        assert f"```{language}\n{path.read_text()}```" in text
