from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections

from django_livesim import registry
from django_livesim.worker import Engine
from tests.documents import block


@pytest.fixture
def engine(transactional_db: None) -> Iterator[Callable[..., Engine]]:
    """`engine()` starts a worker in a thread of this process; the test's end drains it."""
    started: list[tuple[Engine, threading.Thread]] = []

    def run(engine: Engine) -> None:
        try:
            engine.run()
        finally:
            connections.close_all()

    def start(**options: Any) -> Engine:
        engine = Engine(**options)
        thread = threading.Thread(target=run, args=[engine])
        started.append((engine, thread))
        thread.start()
        return engine

    yield start
    for engine, _ in started:
        engine.drain()
    for _, thread in started:
        thread.join(20)
        assert not thread.is_alive()


@pytest.fixture
def of_document() -> Iterator[Callable[..., Any]]:
    """`of_document("docs/authoring.md", "class Tank")` runs that block; what it registers goes at the end."""
    before = {definition.name for definition in registry.all()}

    def run(document: str, holding: str) -> Any:
        names: dict[str, Any] = {"__name__": "tests.app.simulations"}
        exec(compile(block(document, holding), document, "exec", dont_inherit=True), names)
        return SimpleNamespace(**names)

    yield run
    for definition in registry.all():
        if definition.name not in before:
            registry.unregister(definition.name)
