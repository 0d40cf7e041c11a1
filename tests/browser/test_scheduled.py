"""Commands for later, taken back by a person on the run's page."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Visitor


def test_commands_for_later_are_listed_and_cancelled_by_keyboard(ada: Visitor) -> None:
    page, site = ada.page, ada.site
    run = ada.start("counter").rstrip("/").rpartition("/")[2]
    card = page.locator(".ls-scheduled")
    expect(card).to_be_hidden()

    site.manage("livesim", "send", run, "add", "n=50000", "--every", "3600")
    site.manage("livesim", "send", run, "decline", "--delay", "3000")
    page.reload()
    expect(card.locator("li")).to_have_count(2)
    expect(card).to_contain_text("every 1 h")

    card.get_by_role("button", name="Cancel “add”").focus()
    page.keyboard.press("Enter")
    expect(card).to_contain_text("“add” was cancelled.")
    expect(card.locator("li")).to_have_count(1)

    button = card.get_by_role("button", name="Cancel “decline”")
    button.focus()
    button.evaluate("button => { button.dataset.seen = 'before'; }")
    expect(button).not_to_have_attribute("data-seen", "before")  # the list renews itself
    expect(page.locator(".htmx-added, .htmx-settling")).to_have_count(0)
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(card).to_contain_text("“decline” was cancelled.")
    expect(card.locator("li")).to_have_count(0)
