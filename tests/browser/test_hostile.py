"""Texts of people and simulations that want to be markup, code or another direction are shown as texts."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.simulations import LONG, WORST
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, part, state_of

Visit = Callable[..., Visitor]

NAME = "".join(WORST)[:150]
PERSON = """
from django.contrib.auth import get_user_model
get_user_model().objects.create_superuser({name!r}, password="ada")
"""


def expect_texts(page: Page) -> None:
    """Nothing has become an element, and nothing is wider than the screen."""
    for selector in ("img", "svg", "script:not([src]):not([type='application/json'])", "b:has-text('bold')"):
        expect(page.locator(f"main {selector}")).to_have_count(0)
    expect(page.locator("a[href^='javascript:']")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_on_the_live_page_and_in_the_list(own_site: Site, visit: Visit) -> None:
    own_site.manage("shell", "-c", PERSON.format(name=NAME))
    visitor = visit(own_site, viewport={"width": 390, "height": 844})
    page = visitor.page
    shown: list[str] = []
    page.on("dialog", lambda dialog: (shown.append(dialog.message), dialog.dismiss()))
    page.goto(f"{own_site.url}/admin/login/?next=/livesim/")
    page.fill("#id_username", NAME)
    page.fill("#id_password", "ada")
    page.click("[type=submit]")
    page.click("#start-hostile")
    expect_texts(page)
    page.fill("#id_run-name", NAME)
    page.fill("#id_param_text", "".join(WORST))
    page.select_option("#id_run-visibility", "public")
    page.click("#ls-start button:has-text('Start')")
    page.wait_for_url("**/runs/**")
    visitor.started.append(page.url)
    expect_moving(page)
    expect(page.locator("h1")).to_have_text(NAME)
    expect(page.locator(".ls-live-head bdi")).to_have_text(f"started by {NAME}")
    for text in WORST:
        expect(state_of(page)).to_contain_text(f"{text}: {text}")
        page.fill("#id_tell_text", text)
        page.click("#send-tell")
        expect(part(page, "log").locator("li[data-kind=event]").first).to_contain_text(f'{text} {{"')
        page.fill("#id_decline_text", text)
        page.click("#send-decline")
        expect(page.locator("#command-decline-answer .ls-answer")).to_have_text(f"Refused: {text}")
        expect(part(page, "log")).to_contain_text(f"Decline refused: {text}")
        page.fill("#ls-find", text)
        expect(part(page, "found")).not_to_have_text("nothing found")
        expect(part(page, "chosen-path")).not_to_be_empty()
    expect_texts(page)

    page.click("#send-tell_long")
    page.click("#send-decline_long")
    expect(part(page, "log")).to_contain_text("Decline long refused: WWW")
    expect(page.locator("#command-tell_long-answer .ls-answer")).to_contain_text("Applied at tick")
    expect_texts(page)
    expect_moving(page)
    assert len(part(page, "log").inner_text()) < len(LONG)
    page.reload()
    expect_moving(page)
    expect(part(page, "log")).to_contain_text("Decline long refused: WWW")
    expect_texts(page)
    page.goto(f"{own_site.url}/livesim/")
    expect(page.locator("#ls-runs")).to_contain_text(NAME)
    expect_texts(page)
    assert shown == []


def test_without_javascript(own_site: Site, visit: Visit) -> None:
    own_site.manage("shell", "-c", PERSON.format(name=NAME))
    visitor = visit(own_site, java_script_enabled=False)
    page = visitor.page
    page.goto(f"{own_site.url}/admin/login/?next=/livesim/?simulation=hostile")
    page.fill("#id_username", NAME)
    page.fill("#id_password", "ada")
    page.click("[type=submit]")
    page.fill("#id_run-name", NAME)
    page.click("#ls-start button:has-text('Start')")
    page.wait_for_url("**/runs/**")
    for text in WORST:
        page.fill("#id_decline_text", text)
        page.click("#send-decline")
        expect(page.locator(".ls-message").first).to_have_text(f"Decline: refused: {text}")
    page.click("#send-decline_long")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("h1")).to_have_text(NAME)
    page.click("#confirm")
    expect(page.locator(".ls-log")).to_contain_text("Decline long refused: WWW")
    expect(page.locator("main img, main svg, main b:has-text('bold')")).to_have_count(0)
