"""The examples of docs/testing.md, run as they stand."""

from __future__ import annotations

import sys
import threading
import unittest
from types import ModuleType
from typing import Any

import pytest

from django_livesim import registry
from tests.documents import block, blocks

PAGE = "docs/testing.md"
NAMES = {"BASE_DIR": None, "DATABASES": None}


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The names of the page's examples, beside the README's pond."""
    before = {definition.name for definition in registry.all()}
    shop = ModuleType("shop.simulations")
    exec(compile(block("README.md", "class Pond"), "README", "exec", dont_inherit=True), vars(shop))
    monkeypatch.setitem(sys.modules, "shop", ModuleType("shop"))
    monkeypatch.setitem(sys.modules, "shop.simulations", shop)
    names: dict[str, Any] = {"__name__": __name__}
    for each in blocks(PAGE, "python"):
        if "DATABASES" not in each.text:
            exec(compile(each.text, str(each), "exec", dont_inherit=True), names)
    yield names
    for definition in registry.all():
        if definition.name not in before:
            registry.unregister(definition.name)


def names_of(prefix: str) -> list[str]:
    lines = (line for each in blocks(PAGE, "python") for line in each.text.splitlines())
    return [line.split("(")[0].removeprefix("def ") for line in lines if line.startswith(prefix)]


@pytest.mark.parametrize("name", names_of("def test_"))
def test_each_test_of_the_page_passes(page, name):
    page[name]()


@pytest.mark.django_db(transaction=True)
def test_the_test_case_of_the_page_passes(page):
    case = page["PondTests"]("test_a_run_goes_on_by_itself")
    result = unittest.TestResult()
    getattr(case, case._testMethodName)()
    assert result.errors == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("livesim-steps")]
