"""The quickstart, typed by a newcomer: what it says is what happens."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
from html.parser import HTMLParser

import pytest

from scripts.check_sandbox import Visitor, receive
from tests.acceptance.conftest import PASSWORD
from tests.acceptance.walking import sections
from tests.documents import blocks

PAGE = "docs/quickstart.md"
WALKED = [
    "A new project",
    "Four pieces of wiring",
    "Run it",
    "Steer it from a terminal",
    "Take it away and bring it back",
    "A page to log in",
    "With Redis and a worker",
]


def visitor_of(walk):
    """Somebody with a browser, once the server answers, who logs in as the page says."""
    visitor = Visitor(walk.site)
    deadline = time.monotonic() + 30
    while True:
        try:
            visitor.get("/admin/login/")
            break
        except OSError:
            said = (walk.logs / "runserver").read_text()
            assert walk.going["runserver"].poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)
    visitor.log_in("admin", PASSWORD)
    return visitor


MAKE_KERMIT = (
    f"from django.contrib.auth.models import User; User.objects.create_user('kermit', password='{PASSWORD}')"
)


class FormReader(HTMLParser):
    """The fields of the form that posts to `action`, with the values that a browser would send."""

    def __init__(self, action, page):
        super().__init__()
        self.action, self.inside, self.select, self.fields = action, False, None, {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "form":
            self.inside = given.get("action") == self.action
        elif self.inside and tag == "input" and given.get("type") not in ("checkbox", "radio"):
            self.fields[given["name"]] = given.get("value") or ""
        elif self.inside and tag == "select":
            self.select = given["name"]
        elif self.inside and tag == "option" and ("selected" in given or self.select not in self.fields):
            self.fields[self.select] = given["value"]


def start_by_form(visitor, simulation, **values):
    """Choose it on the page, fill in its form, press the button; gives the run's page."""
    form = FormReader("/livesim/start/", visitor.get(f"/livesim/?simulation={simulation}"))
    assert values.keys() <= form.fields.keys()
    data = urllib.parse.urlencode(form.fields | values).encode()
    with visitor.opener.open(visitor.base + form.action, data, timeout=10) as answer:
        return urllib.parse.urlsplit(answer.url).path


def log_in_as_told(visitor):
    """One who is not staff logs in where the list says; gives where that leads."""
    (told,) = set(re.findall(r'href="(/accounts/login/[^"]*)"', visitor.get("/livesim/")))
    form = FormReader(None, visitor.get(told))
    data = urllib.parse.urlencode(form.fields | {"username": "kermit", "password": PASSWORD}).encode()
    with visitor.opener.open(visitor.base + told, data, timeout=10) as answer:
        assert "Log out" in answer.read().decode()
        return urllib.parse.urlsplit(answer.url).path


def frame(visitor, run, *, after=0):
    """The first frame past this tick."""
    with visitor.socket(run) as socket:
        while (shown := receive(socket, "snapshot"))["tick"] <= after:
            pass
        return shown


@pytest.fixture
def page():
    found = sections(PAGE)
    assert list(found) == [*WALKED, "From here"]
    return found


@pytest.mark.timeout(300)  # it installs all that the page installs
def test_the_page_does_what_it_says(walk, second_terminal, page, redis_url):
    walk.follow(page["Four pieces of wiring"])
    walk.follow(page["Run it"])
    visitor = visitor_of(walk)
    run = start_by_form(visitor, "pond", frogs="4").strip("/").rpartition("/")[2]
    assert len(frame(visitor, run, after=3)["state"]["frogs"]) == 4

    walk.terminal = second_terminal
    walk.follow(page["Steer it from a terminal"])
    again = walk.terminal.run("python manage.py livesim send pond:demo add name=Kermit")
    assert (again.returncode, "Kermit is in the pond already" in again.stderr) == (1, True)
    listed = walk.terminal.run("python manage.py livesim list --json").stdout
    (demo,) = [each["run"] for each in json.loads(listed) if each["key"] == "demo"]
    shown = frame(visitor, demo)
    assert "Kermit" in shown["state"]["frogs"]

    walk.end("runserver")
    walk.type("$ python manage.py runserver".replace("runserver", walk.replaced["runserver"]))
    visitor = visitor_of(walk)
    later = frame(visitor, demo, after=shown["tick"])
    assert "Kermit" in later["state"]["frogs"]

    walk.end("runserver")
    walk.follow(page["A page to log in"])
    walk.terminal.run('python manage.py shell -c "' + MAKE_KERMIT + '"')
    walk.replaced |= {"redis://localhost:6379": redis_url}
    walk.follow(page["With Redis and a worker"])
    visitor = visitor_of(walk)
    assert "Kermit" in frame(visitor, demo, after=later["tick"])["state"]["frogs"]
    assert log_in_as_told(Visitor(walk.site)) == "/livesim/"


def test_the_readme_wires_as_the_quickstart_does():
    ours = [block.text for block in blocks(PAGE, "python")]
    ours = [text for text in ours if text not in sections(PAGE)["A page to log in"]]
    theirs = [block.text for block in blocks("README.md", "python")]
    assert [text for text in ours if text not in theirs] == []
