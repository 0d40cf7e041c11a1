"""The status of Celery's tasks in a browser: the sandbox's own page, and the script of celery-progress.

That script is the one of the installed wheel. A strict policy holds for both pages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Locator, Page, Response, WebSocket, expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site
from tests.contrib import site as celery_site

Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def sandbox(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The sandbox with a worker of Celery; shared by the tests."""
    site = Site(tmp_path_factory.mktemp("sandbox"))
    site.env = celery_site.environment(site.env["DATABASE_URL"], redis_url) | {
        "DJANGO_SETTINGS_MODULE": "tests.contrib.settings",
        "DJANGO_SUPERUSER_PASSWORD": "ada",
    }
    site.set_up()
    with celery_site.running(site.env, site.folder) as site.url:
        yield site


def start(visitor: Visitor, example: str, private: bool = False) -> Page:
    """Start a task by the form; its page."""
    page = visitor.page
    page.goto(f"{visitor.site.url}/documents/celery/")
    page.check(f"input[value={example}]")
    if private:
        page.check("[name=private]")
    page.click("button:has-text('Start')")
    page.wait_for_url(re.compile(r"/documents/celery/[0-9a-f-]{36}/"))
    return page


def part(page: Page, name: str) -> Locator:
    return page.locator(f"[data-part={name}]")


def test_a_task_is_started_and_watched_to_its_end(sandbox: Site, visit: Visit) -> None:
    somebody = visit(sandbox)
    page = start(somebody, "count")
    expect(part(page, "state")).to_have_text("PROGRESS")
    expect(part(page, "description")).to_contain_text("number")
    expect(part(page, "state")).to_have_text("SUCCESS")
    expect(part(page, "result")).to_have_text('{"counted":20}')
    assert part(page, "bar").evaluate("bar => bar.value") == 100
    page.click("text=Its run")
    expect(page.locator(".ls-pill").first).to_have_text("finished")


def test_the_script_of_celery_progress_comes_to_a_hundred_percent(sandbox: Site, visit: Visit) -> None:
    somebody = visit(sandbox)
    task_id = start(somebody, "count").url.rstrip("/").rpartition("/")[2]
    page, sockets = somebody.context.new_page(), list[WebSocket]()
    page.on("websocket", lambda socket: sockets.append(socket))
    page.goto(f"{sandbox.url}/seed/#/ws/progress/{task_id}/")
    bar, message = page.locator("#progress-bar"), page.locator("#progress-bar-message")
    expect(message).to_contain_text("20 processed. number")
    expect(message).to_have_text("Success! ")
    assert bar.evaluate("bar => bar.style.width") == "100%"
    expect(page.locator("#celery-result")).to_have_text("[object Object]")
    assert [socket.url.partition("/ws/")[2] for socket in sockets] == [f"progress/{task_id}/"]
    if not sockets[0].is_closed():
        sockets[0].wait_for_event("close")


@pytest.mark.parametrize(
    ("example", "said"),
    [
        ("fail", "Uh-Oh, something went wrong!"),
        ("try_again", "Retrying after 2s: its code raised ConnectionError"),
    ],
)
def test_the_script_of_celery_progress_shows_what_goes_wrong(
    sandbox: Site, visit: Visit, example: str, said: str
) -> None:
    somebody = visit(sandbox)
    task_id = start(somebody, example).url.rstrip("/").rpartition("/")[2]
    somebody.page.goto(f"{sandbox.url}/seed/#/ws/progress/{task_id}/")
    expect(somebody.page.locator("#progress-bar-message")).to_contain_text(said)


def test_a_private_task_is_for_whoever_sent_it(sandbox: Site, visit: Visit) -> None:
    ada, eve = visit(sandbox).log_in(), visit(sandbox)
    page = start(ada, "fail", private=True)
    expect(part(page, "error")).to_have_text("ValueError: it cannot be divided")
    response: Response | None = eve.page.goto(page.url)
    assert response and response.ok
    expect(part(eve.page, "state")).to_have_text("PENDING")
    expect(eve.page.locator("text=Its run")).to_have_count(0)
