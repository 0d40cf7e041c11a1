"""Real browsers on real servers. These tests use no ORM: what they see is what a person sees."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests import services
from tests.browser.site import Site

WITHIN = 60_000
"""Milliseconds in which what a test expects must be on the page, on a machine with much else to do."""
expect.set_options(timeout=WITHIN)

EXPECTED = re.compile(r"status of 4(22|04)|favicon")
"""Lines that Chromium writes by itself about answers to bad input, which a test asks for on purpose."""

LOST = re.compile(
    r"WebSocket connection|ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_INTERNET_DISCONNECTED"
    r"|htmx:(sendError|afterRequest)"
)
"""What it writes while a server is away."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    path = services.executable("chromium", "chromium", "chromium-browser", "google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(site: Site) -> Iterator[Site]:
    site.set_up()
    site.start()
    try:
        yield site
    finally:
        site.close()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site that runs its simulations in the server; shared by the tests, so each starts its own runs."""
    yield from opened(Site(tmp_path_factory.mktemp("site")))


@pytest.fixture
def own_site(tmp_path: Path) -> Iterator[Site]:
    """The same, for a test that stops it."""
    yield from opened(Site(tmp_path))


@pytest.fixture
def redis_site(tmp_path: Path, redis_url: str) -> Iterator[Site]:
    """A site with a channel layer, and no worker until the test starts one."""
    yield from opened(Site(tmp_path, redis_url))


class Visitor:
    """One person's browser; what it complains of is kept and must be expected."""

    def __init__(self, browser: Browser, site: Site, **options: Any) -> None:
        self.site = site
        self.allowed = [EXPECTED]
        self.said: list[str] = []
        self.started: list[str] = []
        self.context: BrowserContext = browser.new_context(**options)
        self.context.set_default_timeout(WITHIN)
        self.context.on("console", lambda message: self._hear(message.type, message.text))
        self.context.on("weberror", lambda error: self._hear("error", str(error.error)))
        self.page: Page = self.context.new_page()

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.said.append(text)

    def log_in(self, name: str = "ada") -> Visitor:
        """As a user whose password is the name."""
        self.page.goto(f"{self.site.url}/admin/login/?next=/livesim/")
        self.page.fill("#id_username", name)
        self.page.fill("#id_password", name)
        self.page.click("[type=submit]")
        return self

    def start(self, simulation: str, public: bool = False, **params: str) -> str:
        """Start a run as a person does; its address."""
        page = self.page
        page.goto(f"{self.site.url}/livesim/")
        page.click(f"#start-{simulation}")
        for name, value in params.items():
            page.fill(f"#id_param_{name}", value)
        if public:
            page.select_option("#id_run-visibility", "public")
        page.click("#ls-start button:has-text('Start')")
        page.wait_for_url("**/runs/**")
        self.started.append(page.url)
        return page.url

    def leave(self) -> None:
        """Stop the runs that were started, which would take the server's time from the tests that follow."""
        cookies = {each["name"]: each["value"] for each in self.context.cookies()} if self.started else {}
        while self.started and self.site.server is not None:
            self.context.request.post(
                f"{self.started.pop()}control/stop/",
                headers={"X-CSRFToken": cookies.get("csrftoken", "")},
                form={"confirmed": "yes"},
                max_redirects=0,
            )
        self.context.close()

    def complaints(self) -> list[str]:
        return [text for text in self.said if not any(each.search(text) for each in self.allowed)]


@pytest.fixture
def visit(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Callable[..., Visitor]]:
    """`visit(site, **context options)` opens a browser of its own; at the end none may have complained."""
    visitors: list[Visitor] = []

    def open_one(site: Site, **options: Any) -> Visitor:
        visitors.append(Visitor(chromium, site, **options))
        return visitors[-1]

    yield open_one
    complaints = [text for visitor in visitors for text in visitor.complaints()]
    for visitor in visitors:
        visitor.leave()
    assert complaints == []


@pytest.fixture
def ada(visit: Callable[..., Visitor], site: Site) -> Visitor:
    """Somebody who may do everything."""
    return visit(site).log_in()
