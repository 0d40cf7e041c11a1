"""Background tasks and a channel of one's own, in the sandbox: pages of one process, work of another.

The web server is started without a worker; each test brings its own, which ends with it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.error
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from django_livesim.testing import wait_until
from scripts.check_sandbox import BASE, Visitor, wait_for_pages
from scripts.sandbox import MANAGE, uvicorn
from scripts.services import dies_with_us, free_port, stop

DEADLINE = 60.0
"""Seconds within which what a test waits for must have come, on a machine with much else to do."""

Work = Callable[[], AbstractContextManager[Path]]


@pytest.fixture(scope="module")
def env(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of all processes of the site, whose database is there."""
    path = tmp_path_factory.mktemp("site") / "sandbox.sqlite3"
    told = {"DATABASE_URL": f"sqlite:///{path}", "REDIS_URL": redis_url}
    env = os.environ | told
    env.pop("DJANGO_SETTINGS_MODULE", None)
    subprocess.run([*MANAGE, "migrate", "--verbosity", "0"], env=env, cwd=BASE, check=True)
    return env


@pytest.fixture(scope="module")
def visitor(env: dict[str, str]) -> Iterator[Visitor]:
    """Somebody at a web server that has no worker."""
    port = free_port()
    process = subprocess.Popen(uvicorn("127.0.0.1", port), env=env, cwd=BASE, preexec_fn=dies_with_us())
    try:
        somebody = Visitor(f"http://127.0.0.1:{port}")
        wait_for_pages(somebody, process)
        yield somebody
    finally:
        stop(process)


@pytest.fixture
def worker(env: dict[str, str], tmp_path: Path) -> Work:
    """`with worker() as log:` a worker is there, and what it prints is in that file."""

    @contextmanager
    def work() -> Iterator[Path]:
        log = tmp_path / "worker.log"
        with log.open("wb") as output:
            command = [*MANAGE, "livesim_worker"]
            process = subprocess.Popen(
                command, env=env, cwd=BASE, stdout=output, stderr=output, preexec_fn=dies_with_us()
            )
        try:
            yield log
        finally:
            stop(process)
            sys.stdout.write(log.read_text())

    return work


def post(visitor: Visitor, path: str, **fields: str) -> None:
    """Send the form of this page, as its button does."""
    visitor.get(path)
    data = fields | {"csrfmiddlewaretoken": visitor.cookie("csrftoken")}
    visitor.opener.open(visitor.base + path, urllib.parse.urlencode(data).encode(), timeout=30).close()


def statuses(page: str) -> list[str]:
    return re.findall(r'data-status="(\w+)"', page)


def test_what_is_fired_waits_visibly_without_a_worker_and_is_printed_by_it_when_it_comes(
    visitor: Visitor, worker: Work
) -> None:
    post(visitor, "/documents/hello/", words="pear apple fig")
    page = visitor.get("/documents/hello/")
    assert statuses(page) == ["waiting"]
    assert "waits for a worker" in page
    with worker() as log:
        wait_until(lambda: statuses(visitor.get("/documents/hello/")) == ["finished"], timeout=DEADLINE)
        printed = log.read_text().splitlines()
    assert printed.count("Hello, Channels!") == 1
    assert "Sorted: ['apple', 'fig', 'pear']" in printed


def made(page: str) -> list[tuple[int, str]]:
    """The pictures whose thumbnails are there, by when these were made."""
    found = re.findall(r'data-image="(\d+)" data-made="([^"]+)"', page)
    return sorted(((int(image), when) for image, when in found), key=lambda each: each[1])


def test_a_channel_of_ones_own_carries_ids_of_images_to_a_worker_in_order(
    visitor: Visitor, worker: Work
) -> None:
    post(visitor, "/documents/pictures/", several="")
    post(visitor, "/documents/pictures/", one="")
    page = visitor.get("/documents/pictures/")
    sent = sorted(int(image) for image in re.findall(r'data-image="(\d+)"', page))
    assert len(sent) == 7
    assert made(page) == []
    with worker():
        wait_until(lambda: len(made(visitor.get("/documents/pictures/"))) == 7, timeout=DEADLINE)
    page = visitor.get("/documents/pictures/")
    assert [image for image, _ in made(page)] == sent
    for path in (f"{sent[0]}.png", f"{sent[0]}/thumbnail.png"):
        with visitor.opener.open(f"{visitor.base}/documents/pictures/{path}", timeout=30) as answer:
            assert answer.read(8) == b"\x89PNG\r\n\x1a\n"


CANCEL = """
from django_livesim.models import Task
from django_livesim.store import tasks
for message in Task.objects.filter(name="thumbnails", status="waiting"):
    tasks.cancel(message.pk)
"""


def test_only_so_many_pictures_wait_and_those_whose_messages_were_cancelled_do_not(
    visitor: Visitor, env: dict[str, str]
) -> None:
    for _six in range(4):
        post(visitor, "/documents/pictures/", several="")
    with pytest.raises(urllib.error.HTTPError, match="429"):
        post(visitor, "/documents/pictures/", one="")
    subprocess.run([*MANAGE, "shell", "--command", CANCEL], env=env, cwd=BASE, check=True)
    post(visitor, "/documents/pictures/", one="")
