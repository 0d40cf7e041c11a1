"""The examples of docs/testing.md and of the README, run as they stand."""

from __future__ import annotations

import sys
import threading
import unittest
from types import ModuleType
from typing import Any

import pytest

from django_livesim import registry
from django_livesim.background import handlers
from tests.documents import Block, block, blocks

PAGE = "docs/testing.md"


def examples() -> list[Block]:
    """Of both, in order."""
    of_readme = [each for each in blocks("README.md", "python") if "django_livesim.testing" in each.text]
    return of_readme + [each for each in blocks(PAGE, "python") if "DATABASES" not in each.text]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The names of the page's examples, beside the README's pond."""
    before = {definition.name for definition in registry.all()}
    shop = ModuleType("shop.simulations")
    exec(compile(block("README.md", "class Pond"), "README", "exec", dont_inherit=True), vars(shop))
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.simulations", shop)
    monkeypatch.setattr(handlers, "tasks", dict(handlers.tasks))
    names: dict[str, Any] = {"__name__": __name__}
    for each in examples():
        exec(compile(each.text, str(each), "exec", dont_inherit=True), names)
    yield names
    for definition in registry.all():
        if definition.name not in before:
            registry.unregister(definition.name)


def names_of_tests() -> list[str]:
    lines = (line for each in examples() for line in each.text.splitlines())
    return [line.split("(")[0].removeprefix("def ") for line in lines if line.startswith("def test_")]


@pytest.mark.parametrize("name", names_of_tests())
def test_each_test_of_the_page_passes(page, name):
    page[name]()


@pytest.mark.django_db(transaction=True)
def test_the_test_case_of_the_page_passes(page):
    case = page["PondTests"]("test_a_run_goes_on_by_itself")
    result = unittest.TestResult()
    getattr(case, case._testMethodName)()
    assert result.errors == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("livesim-steps")]


@pytest.mark.django_db
def test_the_tasks_of_the_page_are_called(page):
    page["WelcomeTests"]("test_a_new_user_is_welcomed").test_a_new_user_is_welcomed()
