"""An owner shares a run, takes its link back, and deletes it, while somebody watches."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site

Visit = Callable[..., Visitor]


def share(page: Page, visibility: str, said: str) -> None:
    page.select_option("#id_share_visibility", visibility)
    page.click("#share")
    expect(page.locator("#ls-share .ls-answer")).to_have_text(said)


def colour_of(page: Page, name: str) -> str:
    """What the browser makes of a variable of the style sheet."""
    script = """name => {
        const element = document.body.appendChild(document.createElement("i"));
        element.style.color = `var(${name})`;
        const colour = getComputedStyle(element).color;
        element.remove();
        return colour;
    }"""
    return str(page.evaluate(script, name))


def watch(visitor: Visitor, url: str) -> None:
    visitor.page.goto(url)
    expect(visitor.page.locator('[data-ls="connection"]')).to_have_text("live")


def test_a_link_is_given_away_taken_back_and_the_run_deleted(ada: Visitor, visit: Visit, site: Site) -> None:
    page = ada.page
    ada.start("counter")
    page.on("dialog", lambda dialog: dialog.accept())
    expect(page.locator("#ls-visibility")).to_have_text("private")
    share(page, "link", "Whoever has the link may watch this run now.")
    expect(page.locator("#ls-visibility")).to_have_text("shared by link")
    link = page.locator("#share-link").input_value()
    ada.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.locator("#ls-share span[role=status]")).to_have_text("copied")
    assert page.evaluate("navigator.clipboard.readText()") == link
    guest = visit(site)
    watch(guest, link)
    expect(guest.page.locator("#ls-share")).to_have_count(0)

    page.click("#new-link")
    expect(page.locator("#ls-share .ls-answer")).to_have_text(re.compile("^There is a new link."))
    notice = guest.page.locator('[data-ls="lost-text"]')
    expect(notice).to_have_text("You may not watch this run any more.")
    gone = guest.page
    expect(gone.get_by_text("You may watch this run, not steer it.")).to_be_hidden()
    expect(gone.locator('[data-ls="state"]')).to_be_hidden()
    expect(gone.locator('[data-ls="pill"]')).to_have_css("color", colour_of(gone, "--ls-muted"))
    gone.get_by_role("link", name="All runs").click()
    gone.wait_for_url("**/livesim/")
    assert page.locator("#share-link").input_value() not in ("", link)

    share(page, "public", "It is public now.")
    expect(page.locator("#share-link")).to_have_count(0)
    watch(guest, link)
    page.click("#delete")
    page.wait_for_url("**/livesim/")
    expect(page.locator(".ls-message").first).to_have_text(re.compile("^The run .* has been deleted.$"))
    expect(notice).to_have_text("This run has been deleted.")
    expect(gone.get_by_role("link", name="All runs")).to_be_visible()
    expect(gone.locator('[data-ls="state"]')).to_be_visible()


def test_the_same_without_javascript(visit: Visit, site: Site) -> None:
    plain = visit(site, java_script_enabled=False).log_in()
    page = plain.page
    plain.start("counter")
    page.select_option("#id_share_visibility", "link")
    page.click("#share")
    expect(page.locator(".ls-message").first).to_have_text("Whoever has the link may watch this run now.")
    link = page.locator("#share-link").input_value()
    expect(page.get_by_role("button", name="Copy", exact=True)).to_be_hidden()
    page.click("#new-link")
    page.get_by_role("link", name="Go back").click()
    assert page.locator("#share-link").input_value() == link
    page.click("#new-link")
    page.click("#confirm")
    assert page.locator("#share-link").input_value() != link
    page.click("#delete")
    expect(page.get_by_text("Delete this run for good?")).to_be_visible()
    page.click("#confirm")
    expect(page.locator(".ls-message").first).to_have_text(re.compile("^The run .* has been deleted.$"))


def test_who_has_a_run_of_their_own_is_led_to_it(ada: Visitor) -> None:
    page = ada.page
    url = ada.start("diary")
    expect(page.locator("[data-sharing]")).to_have_text(re.compile("^Each person has a run of their own."))
    page.goto(f"{ada.site.url}/livesim/?simulation=diary")
    page.click("#own-run")
    page.wait_for_url(url)
    page.goto(f"{ada.site.url}/livesim/diary/mine/")
    assert page.url == url


def test_the_panel_fits_a_phone(visit: Visit, site: Site) -> None:
    visitor = visit(site, viewport={"width": 390, "height": 800}).log_in()
    visitor.start("counter")
    share(visitor.page, "link", "Whoever has the link may watch this run now.")
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 390
