"""The tutorial, typed by somebody who has never seen this library."""

from __future__ import annotations

import json

import pytest

from django_livesim.testing import wait_until
from scripts.services import free_port
from tests.acceptance.conftest import ANSWERS
from tests.acceptance.test_quickstart import frame, start_by_form, visitor_of
from tests.acceptance.walking import Terminal, Walk, sections
from tests.documents import blocks

PAGE = "docs/tutorial.md"
WALKED = [
    "An empty project",
    "A scaffold to stand on",
    "A kitchen in steps",
    "Its page",
    "The same with a loop of your own",
    "A test",
    "A worker for production",
]
INSTALLED = 3
"""So many first lines are those of the quickstart, whose environment is taken."""


@pytest.fixture
def page():
    found = sections(PAGE)
    assert list(found) == [*WALKED, "From here"]
    return found


@pytest.fixture
def tutorial(walk, tmp_path):
    """Somebody who has typed the first lines in a folder of their own."""
    (lines, *_), (others, *_) = (
        [block.text.splitlines(keepends=True) for block in blocks(name, "console")]
        for name in (PAGE, "docs/quickstart.md")
    )
    assert lines[:INSTALLED] == others[:INSTALLED]
    work = tmp_path / "work"
    work.mkdir()
    (work / "env").symlink_to(walk.terminal.env["VIRTUAL_ENV"])
    address = f"127.0.0.1:{free_port()}"
    there = Walk(
        terminal=Terminal(work, walk.terminal.env),
        logs=tmp_path,
        replaced={"".join(lines[:INSTALLED]): "", "runserver": f"runserver {address}"},
        answers=ANSWERS,
        site=f"http://{address}",
    )
    yield there
    there.close()


def run_of(walk, simulation, key):
    listed = json.loads(walk.terminal.run("python manage.py livesim list --json").stdout)
    (found,) = [each["run"] for each in listed if (each["simulation"], each["key"]) == (simulation, key)]
    return found


def load_until(visitor, name):
    """Load the list of simulations anew until it has this one; the server is away while it starts again."""

    def has_it():
        try:
            return f"simulation={name}" in visitor.get("/livesim/")
        except OSError:
            return False

    wait_until(has_it, timeout=30)


@pytest.mark.timeout(600)  # it may be the first to install
def test_the_page_does_what_it_says(tutorial, page, redis_url):
    for name in WALKED[:3]:
        tutorial.follow(page[name])
    first = Terminal(tutorial.terminal.folder.parent, tutorial.terminal.env)
    server, by_terminal = page["Its page"].split("In a second terminal")
    tutorial.follow(server)
    visitor = visitor_of(tutorial)
    run = start_by_form(visitor, "kitchen", cooks="3").strip("/").rpartition("/")[2]
    assert frame(visitor, run, after=3)["state"]["cooks"] == 3

    tutorial.terminal = first
    tutorial.follow(by_terminal)
    again = tutorial.terminal.run("python manage.py livesim send kitchen:main order dish=soup")
    assert (again.returncode, "refused: soup is ordered already" in again.stderr) == (1, True)
    main = run_of(tutorial, "kitchen", "main")

    code, steering = page["The same with a loop of your own"].split("What is different")
    tutorial.follow(code)
    load_until(visitor, "galley")
    tutorial.follow(steering)
    galley = run_of(tutorial, "galley", "main")
    visitor = visitor_of(tutorial)
    shown = frame(visitor, galley)
    assert (set(shown["state"]), shown["state"]["order"][-1][-4:]) == ({"tasks", "order"}, "stew")

    tutorial.follow(page["A test"])

    tutorial.end("runserver")
    tutorial.replaced |= {"redis://localhost:6379": redis_url}
    tutorial.follow(page["A worker for production"])
    later = frame(visitor_of(tutorial), main)
    assert later["state"]["queue"] == ["soup", "salad"]
