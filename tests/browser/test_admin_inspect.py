"""Somebody of the staff looks into a run, and sends it a command, in the admin."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import LOST, WITHIN, Visitor
from tests.browser.simulations import HOSTILE
from tests.browser.site import Site

NOW = re.compile(r"part=now$")
"""Where the page asks for what is new."""

Visit = Callable[..., Visitor]


def inspect(visitor: Visitor, simulation: str, **params: str) -> Page:
    """Start a run, and look into it."""
    address = visitor.start(simulation, **params)
    found = re.search(r"runs/([0-9a-f-]+)/", address)
    assert found is not None
    visitor.page.goto(f"{visitor.site.url}/admin/livesim/run/{found[1]}/inspect/")
    return visitor.page


def tick(page: Page) -> int:
    return int(page.locator("#livesim-tick").inner_text())


def expect_renewed(page: Page) -> None:
    """The tick that is shown grows."""
    shown = page.locator("#livesim-tick").inner_text()
    expect(page.locator("#livesim-tick")).not_to_have_text(shown)
    assert tick(page) > int(shown)


def expect_answered(page: Page) -> None:
    """No answer is under way any more."""
    expect(page.locator("#livesim-now")).not_to_have_class(re.compile("htmx-(request|settling)"))


def questions(page: Page) -> list[str]:
    """The addresses that the page asks for from now on, to renew itself."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "part=now" in request.url else None)
    return asked


def test_the_page_renews_itself_and_keeps_what_is_unfolded_and_focused(ada: Visitor) -> None:
    page = inspect(ada, "painted")
    expect(page.locator("#livesim-renewal")).to_have_text("Renews itself every 2 s.")
    member = page.locator("#livesim-state details", has_text="member-0:").last
    member.locator("summary").click()
    value = member.locator(".ls-number")
    shown = value.inner_text()
    member.locator("summary").focus()
    expect_renewed(page)
    expect(value).not_to_have_text(shown)
    expect(member).to_have_attribute("open", "")
    expect(member.locator("summary")).to_be_focused()
    expect(page.locator("#livesim-state")).to_contain_text(HOSTILE)
    assert "site admin" in page.title()


def test_held_it_stands_still_until_it_is_to_go_on(ada: Visitor) -> None:
    page = inspect(ada, "counter")
    hold = page.locator("#livesim-hold")
    hold.click()
    expect(hold).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#livesim-renewal")).to_have_text("Held.")
    expect_answered(page)
    asked, shown = questions(page), tick(page)
    page.wait_for_timeout(2500)
    assert asked == [] and tick(page) == shown
    page.locator("#livesim-renew").click()
    expect_renewed(page)
    expect(page.locator("#livesim-renewal")).to_have_text("Held.")
    hold.click()
    expect_renewed(page)


def test_a_page_that_nobody_sees_asks_nothing(ada: Visitor) -> None:
    page = inspect(ada, "counter")
    expect_renewed(page)
    page.evaluate("""() => {
        Object.defineProperty(document, "hidden", { configurable: true, get: () => window.away });
        window.away = true;
        document.dispatchEvent(new Event("visibilitychange"));
    }""")
    expect(page.locator("#livesim-renewal")).to_have_text("Held while it is not seen.")
    expect_answered(page)
    asked = questions(page)
    page.wait_for_timeout(2500)
    assert asked == []
    page.evaluate("() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')) }")
    expect_renewed(page)


def test_while_an_answer_is_awaited_nothing_more_is_asked(ada: Visitor) -> None:
    held: list[Route] = []
    ada.page.route(NOW, lambda route: route.continue_() if held else held.append(route))
    asked = questions(ada.page)
    page = inspect(ada, "counter")
    deadline = time.monotonic() + WITHIN / 1000
    while not held:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    page.wait_for_timeout(5000)
    assert len(asked) == 1
    held[0].continue_()
    expect_renewed(page)


def test_a_run_that_has_ended_is_not_asked_any_more(ada: Visitor) -> None:
    page = inspect(ada, "counter")
    page.get_by_role("link", name="Send a command").click()
    page.locator("#send-end [type=submit]").click()
    expect(page.locator(".messagelist")).to_contain_text("End: applied at tick")
    page.get_by_role("link", name="Inspect").click()
    expect(page.locator("#livesim-now")).to_contain_text("finished")
    expect(page.locator("#livesim-renewal")).to_contain_text("nothing is renewed by itself")
    expect(page.locator("#livesim-hold")).to_be_hidden()
    asked = questions(page)
    page.wait_for_timeout(2500)
    assert asked == []


def test_it_says_when_it_could_not_be_renewed_and_goes_on_when_it_can(visit: Visit, own_site: Site) -> None:
    ada = visit(own_site).log_in()
    ada.allowed += [LOST, re.compile("^htmx:afterRequest")]  # what htmx writes of an answer that never came
    page = inspect(ada, "counter")
    expect_renewed(page)
    own_site.stop()
    expect(page.locator("#livesim-renewal")).to_contain_text("Could not be renewed")
    assert tick(page) > 0
    own_site.start()
    expect(page.locator("#livesim-renewal")).to_have_text("Renews itself every 2 s.")
    expect_renewed(page)


def test_a_page_to_log_in_is_no_answer(ada: Visitor) -> None:
    page = inspect(ada, "counter")
    expect_renewed(page)
    ada.context.clear_cookies()
    expect(page.locator("#livesim-renewal")).to_contain_text("log in anew if it lasts")
    expect(page.locator("#livesim-now")).to_contain_text("Facts")
    expect(page.locator("#id_password")).to_have_count(0)


def test_a_command_is_sent_and_its_outcome_told(ada: Visitor) -> None:
    page = inspect(ada, "counter", start="1000")
    page.get_by_role("link", name="Send a command").click()
    page.fill("#id_add_n", "99999999999999999999")
    page.locator("#send-add [type=submit]").click()
    expect(page.locator(".errornote")).to_contain_text("Nothing was sent.")
    page.fill("#id_add_n", "50000")
    page.locator("#send-add [type=submit]").click()
    expect(page.locator(".messagelist")).to_have_text(re.compile(r"Add: applied at tick \d+\. → 51\d\d\d"))
    page.locator(".livesim-tools").get_by_role("link", name="Commands").click()
    page.get_by_role("link", name="Back to the run").click()
    page.get_by_role("link", name="Inspect").click()
    expect(page.locator("#livesim-commands")).to_contain_text("50000")


def test_without_scripts_the_state_is_there_and_a_link_renews_it(visit: Visit, site: Site) -> None:
    ada = visit(site).log_in()
    address = ada.start("counter", start="1000")
    found = re.search(r"runs/([0-9a-f-]+)/", address)
    assert found is not None
    plain = visit(site, java_script_enabled=False).log_in()
    page = plain.page
    page.goto(f"{site.url}/admin/livesim/run/{found[1]}/inspect/")
    expect(page.locator("#livesim-state pre")).to_contain_text(re.compile(r'"value": 1\d\d\d'))
    expect(page.locator("#livesim-hold")).to_be_hidden()
    expect(page.locator("#livesim-renewal")).to_be_empty()
    shown = tick(page)
    page.locator("#livesim-renew").click()
    expect(page.locator("#livesim-tick")).not_to_have_text(str(shown))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(visit: Visit, site: Site, scheme: str) -> None:
    ada = visit(site, viewport={"width": 390, "height": 844}, color_scheme=scheme).log_in()
    page = inspect(ada, "painted")
    expect_renewed(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
