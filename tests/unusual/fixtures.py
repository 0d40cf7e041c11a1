"""The fixtures of the unusual host."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client

from tests.browser.conftest import chromium
from tests.unusual.site import Host, Person

__all__ = ["chromium", "client", "host", "visit"]


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[Host]:
    """The host as people meet it: a server, a worker and two databases."""
    made = Host(tmp_path_factory.mktemp("host"), redis_url)
    made.set_up()
    made.start()
    made.start_worker()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Person]]:
    """`visit(host, **context options)` opens a browser of its own; at the end none may have complained."""
    people: list[Person] = []

    def open_one(site: Host, **options: Any) -> Person:
        people.append(Person(chromium, site, **options))
        return people[-1]

    yield open_one
    complaints = [text for person in people for text in person.complaints()]
    for person in people:
        person.context.close()
    assert complaints == []


class MountedClient(Client):
    """Asks as the server does that the host is mounted in: what is before the path is not part of it."""

    def generic(self, method: str, path: Any, *args: Any, **kwargs: Any) -> Any:
        return super().generic(method, str(path).removeprefix("/sub"), *args, **kwargs)


@pytest.fixture
def client() -> MountedClient:
    return MountedClient()
