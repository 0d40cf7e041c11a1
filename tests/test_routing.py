"""Sockets of a project that is mounted below the root of its site."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from tests.test_socket import Socket

pytestmark = pytest.mark.django_db(transaction=True)

REFUSED_BY_US, NOWHERE = 4401, 4404


class PlainSocket(Socket):
    """Of the host's own, which speaks as it likes."""

    async def _send(self, message: dict[str, Any]) -> None:
        self.raw.append(message)
        self.accepted = True


async def closed(path: str, root_path: str = "") -> int:
    socket = Socket(path)
    socket.scope["root_path"] = root_path
    async with socket:
        return await socket.closed()


@pytest.mark.parametrize(
    ("before", "root_path", "script_name"),
    [
        ("", "", None),
        ("/sub", "/sub", None),
        ("", "/sub", None),
        ("/sub", "", "/sub"),
        ("", "", "/sub"),
        ("/sub", "/sub", "/sub/"),
    ],
    ids=[
        "at the root",
        "the server puts it back",
        "the server leaves it away",
        "the proxy leaves it",
        "the proxy takes it away",
        "both name it",
    ],
)
async def test_the_socket_is_found_wherever_the_project_is_mounted(settings, before, root_path, script_name):
    settings.FORCE_SCRIPT_NAME = script_name
    assert await closed(f"{before}/ws/livesim/runs/{uuid4()}/", root_path) == REFUSED_BY_US


async def test_another_path_is_nowhere(settings):
    settings.FORCE_SCRIPT_NAME = "/sub"
    assert await closed(f"/subway/ws/livesim/runs/{uuid4()}/") == NOWHERE
    assert await closed(f"/sub/sub/ws/livesim/runs/{uuid4()}/") == NOWHERE


async def test_the_hosts_own_sockets_are_found_below_it_too(settings):
    settings.FORCE_SCRIPT_NAME = "/sub"
    async with PlainSocket("/sub/ws/host/") as socket:
        await socket.until(lambda: len(socket.raw) == 2)
        assert socket.raw[1]["text"] == "hello AnonymousUser"
