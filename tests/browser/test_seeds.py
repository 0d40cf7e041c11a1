"""The sandbox's pages of the seed documents as a person uses them; a document's own script at our socket."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, opened
from tests.browser.site import Site

Visit = Callable[..., Visitor]

SEEDS = Path(__file__).resolve().parent.parent / "seeds"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The sandbox as `manage.py runserver` has it with no Redis, under a strict policy."""
    site = Site(tmp_path_factory.mktemp("sandbox"))
    site.env["DJANGO_SETTINGS_MODULE"] = "tests.sandbox.settings"
    site.env.pop("REDIS_URL", None)
    yield from opened(site)


def opened_page(visitor: Visitor, name: str) -> Page:
    visitor.page.goto(f"{visitor.site.url}/documents/{name}/")
    expect(visitor.page.locator("[data-doc=connection]")).to_have_text("connected to")
    return visitor.page


def test_the_script_of_the_progress_document_drives_its_socket(sandbox: Site, visit: Visit) -> None:
    page = visit(sandbox).page
    page.route("**/prog/progress.js", lambda route: route.fulfill(path=SEEDS / "progrock.js"))
    heard: list[str] = []
    page.on("websocket", lambda socket: socket.on("framereceived", lambda text: heard.append(str(text))))
    page.goto(f"{sandbox.url}/documents/progress/")
    value = page.locator("#prog-val")
    expect(value).to_have_text("0%")
    while not heard:
        page.wait_for_timeout(50)
    assert heard == ['{"accept":true}']
    page.click("#go-button")
    expect(value).to_have_text(re.compile(r"^[1-9]\d?%$"))
    expect(value).not_to_have_class(re.compile("complete"))
    expect(value).to_have_text("100%")
    expect(value).to_have_class(re.compile("complete"))


def test_a_job_of_ones_own_is_started_stopped_and_found_again(sandbox: Site, visit: Visit) -> None:
    visitor = visit(sandbox, viewport={"width": 390, "height": 844}, color_scheme="dark")
    page = opened_page(visitor, "progress")
    card = page.locator("[data-socket='/prog/hour/']")
    card.get_by_role("button", name="Start").click()
    expect(card.locator(".doc-percent")).to_have_text(re.compile(r"^0\.\d+%$"))
    page = opened_page(visitor, "progress")  # it went on
    expect(card.locator(".doc-percent")).to_have_text(re.compile(r"^0\.\d+%$"))
    card.get_by_role("button", name="Stop").click()
    expect(card.locator("[data-part=said]")).to_have_text("Stopped.")
    card.get_by_role("button", name="Stop").click()
    expect(card.locator("[data-part=said]")).to_have_text("No job of yours is running. Start one.")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    card.get_by_role("link").click()
    expect(page.locator(".ls-live-head .ls-pill")).to_have_text("stopped")


def test_before_a_start_there_is_no_link_to_a_job(sandbox: Site, visit: Visit) -> None:
    page = opened_page(visit(sandbox), "progress")
    card = page.locator("[data-socket='/prog/hour/']")
    expect(card.get_by_role("link")).to_have_count(0)
    card.get_by_role("button", name="Start").click()
    expect(card.get_by_role("link", name="The job's own page")).to_be_visible()
    card.get_by_role("button", name="Stop").click()
    expect(card.locator("[data-part=said]")).to_have_text("Stopped.")


def test_without_javascript_pages_say_where_to_go_and_nothing_looks_alive(
    sandbox: Site, visit: Visit
) -> None:
    page = visit(sandbox, java_script_enabled=False).page
    for name, link in (("simulation", "the run's own page"), ("progress", "the list of simulations")):
        page.goto(f"{sandbox.url}/documents/{name}/")
        expect(page.locator("noscript .ls-notice").get_by_role("link", name=link)).to_be_visible()
        expect(page.locator("main button:visible")).to_have_count(0)
        expect(page.locator("[data-doc=connection]")).to_be_hidden()


def test_visitors_steer_one_simulation(sandbox: Site, visit: Visit) -> None:
    visitor = visit(sandbox, viewport={"width": 390, "height": 844})
    page = opened_page(visitor, "simulation")
    page.click("[data-part=start]")
    time = page.locator("[data-part=time]")
    expect(time).to_have_text(re.compile(r"^\d+0$"))
    page.fill("#entity_id", "comet")
    page.click("text=Add >> nth=-1")
    other = opened_page(visit(sandbox), "simulation")
    expect(other.locator("[data-part=heard]")).to_contain_text('"comet"')
    page.fill("#dx", "1000")
    page.click("text=Add >> nth=-1")
    expect(page.locator("[data-part=error]")).to_contain_text("two numbers from -100 to 100; got 1000")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.click("[data-part=stop]")
    page.click("text=Its own page")
    expect(page.locator(".ls-live-head .ls-pill")).to_have_text("stopped")


def test_an_echo_comes_back_where_there_is_a_route(sandbox: Site, visit: Visit) -> None:
    page = opened_page(visit(sandbox), "chat")
    heard = page.locator("[data-part=heard]")
    page.click("text=Send")
    expect(heard).to_have_text("You said: hello world")
    for path, said in {
        "/anywhere/you/like": "You said at /anywhere/you/like: hello world",
        "/elsewhere/": "/elsewhere/ was refused: 4404",
    }.items():
        page.select_option("#path", path)
        page.click("text=Send")
        expect(heard).to_contain_text(said)


def test_the_pages_are_found_from_the_list_of_runs(sandbox: Site, visit: Visit) -> None:
    page = visit(sandbox).page
    page.goto(sandbox.url)
    page.click("footer a")
    expect(page.get_by_role("heading", name="Examples, one by one")).to_be_visible()
    page.click("text=An echo")
    expect(page.get_by_role("heading", name="An echo")).to_be_visible()


def test_a_run_told_as_html_is_watched_and_steered_by_a_page_without_a_script(
    sandbox: Site, visit: Visit
) -> None:
    starter = opened_page(visit(sandbox), "simulation")
    starter.click("[data-part=start]")
    expect(starter.locator("[data-part=time]")).to_have_text(re.compile(r"^\d+0$"))
    page = visit(sandbox, viewport={"width": 390, "height": 844}).page
    sent: list[str] = []
    page.on("websocket", lambda socket: socket.on("framesent", lambda text: sent.append(str(text))))
    page.goto(f"{sandbox.url}/documents/html/")
    time = page.locator("[id^=livesim-frame-] .ls-muted")
    expect(time).to_have_text(re.compile(r"^Time \d+, tick \d+$"))
    seen = time.inner_text()
    expect(time).not_to_have_text(seen)
    hostile = "<b id=bold>moon</b>"
    page.fill("#id_add_entity_entity_id", hostile)
    page.fill("#id_add_entity_entity_data", '{"position": [0, 0], "velocity": [1, 0.5]}')
    page.click("#send-add_entity")
    row = page.locator("[id^=livesim-frame-] tr", has_text=hostile)
    expect(row).to_contain_text(re.compile(r"\d+, \d+\.5"))
    expect(page.locator("#bold")).to_have_count(0)
    starter.click("[data-part=stop]")
    expect(page.locator("[id^=livesim-status-]")).to_have_text("stopped")
    starter.click("[data-part=start]")
    expect(page.locator("[id^=livesim-status-]")).to_contain_text("running")
    page.click("#send-clear")
    expect(page.locator("[id^=livesim-frame-]")).to_contain_text("None yet")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert sent == []
