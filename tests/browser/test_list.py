"""The list of runs in real browsers: filters and the way back, rows that change, many at once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import LOST, Visitor
from tests.browser.site import Site

Visit = Callable[..., Visitor]

NO_POLL = """
const real = setTimeout;
window.setTimeout = (f, ms) => (ms === 2500 ? 0 : real(f, ms));
window.WebSocket = class extends WebSocket {
    constructor(...given) {
        super(...given);
        this.addEventListener("open", () => (document.documentElement.dataset.hears = "yes"));
    }
};
"""
NO_SOCKET = "window.WebSocket = class { constructor() { setTimeout(() => this.onclose({ code: 1006 })); } };"


def rows(page: Page) -> Any:
    return page.locator("table.ls-runs tbody tr")


def row(page: Page, name: str) -> Any:
    return rows(page).filter(has=page.get_by_role("link", name=name, exact=True))


def choose(page: Page, name: str) -> None:
    page.get_by_role("checkbox", name=f"Choose {name}", exact=True).check()


def start(visitor: Visitor, name: str, simulation: str = "counter") -> str:
    """A run of that name, through the page's own form."""
    page = visitor.page
    page.goto(f"{visitor.site.url}/livesim/?simulation={simulation}")
    page.fill("#id_run-name", name)
    page.click("#ls-start button:has-text('Start')")
    page.wait_for_url("**/runs/**")
    visitor.started.append(page.url)
    return page.url


@pytest.fixture
def word() -> str:
    """In the names of one test's runs, and of no others."""
    return f"w{uuid4().hex[:8]}"


@pytest.fixture
def three(ada: Visitor, word: str) -> list[str]:
    names = [f"{word} {name}" for name in ("one", "two", "three")]
    for name in names:
        start(ada, name)
    return names


def open_list(visitor: Visitor, query: str) -> Page:
    visitor.page.goto(f"{visitor.site.url}/livesim/?{query}")
    return visitor.page


def open_to_choose(visitor: Visitor, query: str) -> Page:
    """The same, once its script is there, which begins with none chosen."""
    page = open_list(visitor, query)
    expect(page.locator("#ls-all")).to_be_visible()
    return page


def test_filters_are_in_the_address_and_the_way_back_leads_through_them(
    ada: Visitor, three: list[str], word: str
) -> None:
    page = open_list(ada, "")
    page.fill("#ls-q", word)
    expect(rows(page)).to_have_count(3)
    expect(page).to_have_url(re.compile(rf"\?q={word}$"))
    expect(page.locator("#ls-found")).to_have_text("3 runs.")
    page.locator("label.ls-chip", has_text="paused").click()
    expect(page.get_by_text("No run matches.")).to_be_visible()
    expect(page).to_have_url(re.compile(rf"\?q={word}&status=paused$"))
    page.locator("label.ls-chip", has_text="paused").click()
    expect(rows(page)).to_have_count(3)
    page.go_back()
    expect(page).to_have_url(re.compile(r"status=paused$"))
    expect(page.locator("#ls-status-paused")).to_be_checked()
    expect(page.get_by_text("No run matches.")).to_be_visible()
    page.go_back()
    expect(page.locator("#ls-q")).to_have_value(word)
    expect(rows(page)).to_have_count(3)
    page.reload()
    expect(page.locator("#ls-q")).to_have_value(word)
    page.click("#ls-clear")
    expect(page).to_have_url(re.compile(r"/livesim/$"))


def test_the_rows_that_are_renewed_keep_the_filters(ada: Visitor, three: list[str], word: str) -> None:
    page = open_list(ada, f"q={word}+two")
    expect(rows(page)).to_have_count(1)
    with page.expect_response(lambda response: "part=rows" in response.url):
        pass
    page.wait_for_timeout(200)
    expect(rows(page)).to_have_count(1)
    assert word in page.url and "part=" not in page.url


def test_another_person_sees_a_change_by_the_socket_alone(
    ada: Visitor, visit: Visit, site: Site, three: list[str], word: str
) -> None:
    other = visit(site).log_in()
    other.page.add_init_script(NO_POLL)
    page = open_list(other, f"q={word}")
    expect(page.locator("html")).to_have_attribute("data-hears", "yes")
    expect(row(page, three[0]).locator(".ls-pill")).to_have_text("running")
    ada.page.goto(ada.started[0])
    ada.page.get_by_role("button", name="Pause").click()
    expect(row(page, three[0]).locator(".ls-pill")).to_have_text("paused")
    start(ada, f"{word} four")
    expect(rows(page)).to_have_count(4)


def test_a_worker_in_another_process_is_heard_by_the_socket_alone(
    visit: Visit, redis_site: Site, word: str
) -> None:
    redis_site.start_worker()
    ada, other = visit(redis_site).log_in(), visit(redis_site).log_in()
    other.page.add_init_script(NO_POLL)
    page = open_list(other, "")
    expect(page.locator("html")).to_have_attribute("data-hears", "yes")
    address = start(ada, word)
    expect(row(page, word).locator(".ls-pill")).to_have_text("running")
    for button, status in (("Pause", "paused"), ("Resume", "running")):
        assert ada.page.url == address
        ada.page.get_by_role("button", name=button).click()
        expect(row(page, word).locator(".ls-pill")).to_have_text(status)


def test_without_a_socket_the_rows_are_polled(
    visit: Visit, site: Site, ada: Visitor, three: list[str], word: str
) -> None:
    other = visit(site).log_in()
    other.allowed.append(LOST)
    other.page.add_init_script(NO_SOCKET)
    page = open_list(other, f"q={word}")
    ada.page.goto(ada.started[0])
    ada.page.get_by_role("button", name="Pause").click()
    expect(row(page, three[0]).locator(".ls-pill")).to_have_text("paused")


def told(verb: str) -> re.Pattern[str]:
    """What is told of an act on several: done, or under way on a machine with much else to do."""
    ways = {"pause": "paus", "resume": "resum", "stop": "stopp"}
    return re.compile(rf"\b\d runs? ({ways[verb]}ed|(is|are) {ways[verb]}ing)\.")


def test_many_are_stopped_after_a_question(ada: Visitor, three: list[str], word: str) -> None:
    page = open_list(ada, f"q={word}")
    buttons = page.locator("#ls-bulk button")
    for number in range(3):
        expect(buttons.nth(number)).to_be_disabled()
    choose(page, three[0])
    choose(page, three[2])
    expect(page.locator('[data-ls="chosen"]')).to_have_text("2 chosen")
    asked: list[str] = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.click("#ls-bulk-stop")
    page.wait_for_timeout(300)
    expect(page.locator("#ls-bulk-answer")).to_be_empty()
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.accept()))
    page.click("#ls-bulk-stop")
    expect(page.locator("#ls-bulk-answer")).to_have_text(told("stop"))
    assert len(asked) == 2 and asked[0].startswith("Stop 2 runs? Their states are stored,")
    for name, status in zip(three, ("stopped", "running", "stopped"), strict=True):
        expect(row(page, name).locator(".ls-pill")).to_have_text(status)
    expect(page.locator('[data-ls="chosen"]')).to_have_text("None chosen")
    page.check("#ls-all")
    page.click("#ls-bulk-resume")
    expect(page.locator("#ls-bulk-answer")).to_contain_text(told("resume"))
    for name in three:
        expect(row(page, name).locator(".ls-pill")).to_have_text("running")


def test_the_same_act_twice_is_done_twice(ada: Visitor, three: list[str], word: str) -> None:
    page = open_to_choose(ada, f"q={word}+one")
    page.on("dialog", lambda dialog: dialog.accept())
    for verb, status in 2 * [("pause", "paused"), ("resume", "running")]:
        choose(page, three[0])
        page.click(f"#ls-bulk-{verb}")
        expect(row(page, three[0]).locator(".ls-pill")).to_have_text(status)
        expect(page.locator('[data-ls="chosen"]')).to_have_text("None chosen")  # the answer may come later


def test_what_is_chosen_and_where_the_focus_is_outlive_new_rows(
    ada: Visitor, three: list[str], word: str
) -> None:
    page = open_to_choose(ada, f"q={word}")
    choose(page, three[1])
    page.get_by_role("link", name=three[0], exact=True).focus()
    for _ in range(2):
        with page.expect_response(lambda response: "part=rows" in response.url):
            pass
        page.wait_for_timeout(300)
    expect(page.get_by_role("checkbox", name=f"Choose {three[1]}")).to_be_checked()
    expect(page.get_by_role("link", name=three[0], exact=True)).to_be_focused()
    expect(page.locator("#ls-bulk-stop")).to_be_enabled()


def test_by_the_keyboard_alone(ada: Visitor, three: list[str], word: str) -> None:
    page = open_to_choose(ada, f"q={word}")
    page.on("dialog", lambda dialog: dialog.accept())
    page.focus("#ls-q")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "ls-all":
            break
    page.keyboard.press("Space")
    expect(page.locator('[data-ls="chosen"]')).to_have_text("3 chosen")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "ls-bulk-pause"
    page.keyboard.press("Enter")
    expect(page.locator("#ls-bulk-answer")).to_have_text(told("pause"))
    expect(page.locator("#ls-all")).to_be_focused()


def test_without_javascript_filters_and_acts_are_forms(
    visit: Visit, site: Site, ada: Visitor, three: list[str], word: str
) -> None:
    plain = visit(site, java_script_enabled=False).log_in()
    page = open_list(plain, "")
    page.fill("#ls-q", word)
    page.check("#ls-status-running")
    page.get_by_role("button", name="Filter").click()
    expect(page).to_have_url(re.compile(rf"q={word}"))
    expect(rows(page)).to_have_count(3)
    choose(page, three[0])
    choose(page, three[1])
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("main")).to_contain_text("Stop 2 runs?")
    expect(page.locator(".ls-chosen li")).to_have_count(2)
    page.click("#confirm")
    expect(page.locator(".ls-messages")).to_contain_text(told("stop"))
    expect(page).to_have_url(re.compile(rf"q={word}&status=running"))
    expect(rows(page)).to_have_count(1)


def test_on_a_phone_nothing_is_wider_than_the_screen(
    visit: Visit, site: Site, three: list[str], word: str
) -> None:
    phone = visit(site, viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True).log_in()
    page = open_to_choose(phone, f"q={word}")
    expect(rows(page)).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    choose(page, three[0])
    page.once("dialog", lambda dialog: dialog.accept())
    page.tap("#ls-bulk-pause")
    expect(row(page, three[0]).locator(".ls-pill")).to_have_text("paused")


def test_rows_tell_the_rate_and_who_watches(ada: Visitor, visit: Visit, site: Site, word: str) -> None:
    start(ada, f"{word} watched")
    other = visit(site).log_in()
    page = open_list(other, f"q={word}")
    expect(row(page, f"{word} watched").locator('[data-label="Rate"]')).to_have_text(re.compile(r"^\d+\.\d$"))
    expect(row(page, f"{word} watched").locator('[data-label="Viewers"]')).to_have_text("1")


def test_a_job_shows_its_progress(ada: Visitor, word: str) -> None:
    ada.start("encode", lines="200")
    page = open_list(ada, "sim=encode&status=running")
    bar = rows(page).first.locator("progress")
    expect(bar).to_be_visible()
    expect(rows(page).first).to_contain_text("left")
