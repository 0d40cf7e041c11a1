"""The list of templates in the documents, against the folder."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.template import engines
from django.template.loader_tags import BlockNode

BASE = Path(__file__).resolve().parent.parent
FOLDER = BASE / "django_livesim" / "templates" / "django_livesim"
HOST = BASE / "tests" / "unusual" / "app" / "templates" / "django_livesim"
TEXT = (BASE / "docs" / "overriding-templates.md").read_text()
ROWS = dict(re.findall(r"^\| `([\w/]+\.html)`[^|]*\| ([^|]*) \|", TEXT, re.MULTILINE))


def names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.html"))


def test_every_template_is_in_the_list_and_none_that_is_not_there():
    assert sorted(ROWS) == names(FOLDER)


@pytest.mark.parametrize("name", [name for name in names(FOLDER) if "/" not in name])
def test_the_blocks_of_a_page_are_those_in_the_list(name):
    template = engines["django"].get_template(f"django_livesim/{name}").template
    blocks = [node.name for node in template.nodelist.get_nodes_by_type(BlockNode)]
    assert sorted(re.findall(r"`(\w+)`", ROWS[name])) == sorted(blocks)


@pytest.mark.parametrize("name", names(HOST))
def test_the_examples_are_what_a_host_of_the_tests_does(name):
    assert f"```html\n{(HOST / name).read_text()}```" in TEXT


def test_what_the_scripts_look_for_is_in_the_templates():
    scripts = "".join(path.read_text() for path in (BASE / "django_livesim/static").rglob("*.js"))
    wanted = set(re.findall(r'[.#](?:find|part|write)\("([\w-]+)"', scripts))
    there = set(re.findall(r'data-ls="([\w-]+)"', "".join(p.read_text() for p in FOLDER.rglob("*.html"))))
    assert wanted <= there
    figures = (FOLDER / "includes/figures.html").read_text()
    plots = (BASE / "django_livesim/static/django_livesim/plots.js").read_text()
    assert set(re.findall(r'#of\("([\w-]+)"', plots)) <= set(re.findall(r'data-figures="([\w-]+)"', figures))
    named = set(
        re.findall(r"`([\w-]+)`", TEXT.split("## What the scripts look for")[1].split("data-show")[0])
    )
    assert named <= there
