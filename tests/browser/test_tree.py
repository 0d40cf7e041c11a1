"""The state of a run, searched, marked where it changes, and copied from."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, part, state_of

Visit = Callable[..., Visitor]


@pytest.fixture
def atlas(ada: Visitor) -> Page:
    """The page of a run with a state of a megabyte."""
    ada.start("atlas")
    expect(state_of(ada.page)).to_contain_text("regions: {100}")
    return ada.page


def test_a_search_opens_what_it_finds_and_goes_from_one_to_the_next(atlas: Page) -> None:
    state, count = state_of(atlas), part(atlas, "found")
    atlas.fill("#ls-find", "town of 73 and 5")
    expect(count).to_have_text("1 of 11")
    expect(state.locator(".ls-hit")).to_have_count(11)
    now = state.locator(".ls-hit-now")
    expect(now).to_have_text("name: The town of 73 and 5")
    expect(now).to_be_in_viewport()
    atlas.press("#ls-find", "Enter")
    expect(count).to_have_text("2 of 11")
    expect(now).to_have_text("name: The town of 73 and 50")
    atlas.press("#ls-find", "Shift+Enter")
    atlas.press("#ls-find", "Shift+Enter")
    expect(count).to_have_text("11 of 11")
    atlas.get_by_role("button", name="Next hit").click()
    expect(count).to_have_text("1 of 11")
    atlas.press("#ls-find", "Escape")
    expect(count).to_have_text("")
    expect(atlas.locator("#ls-find")).to_have_value("")
    expect(state.locator(".ls-hit")).to_have_count(0)
    expect(state).not_to_contain_text("town-73-5:")  # folded as it was before


def test_a_search_keeps_the_document_small_however_much_it_finds(atlas: Page) -> None:
    atlas.fill("#ls-find", "TOWN")
    expect(part(atlas, "found")).to_have_text("1 of 500+")
    assert state_of(atlas).locator("li").count() < 3000
    expect_moving(atlas)
    atlas.fill("#ls-find", "no such thing")
    expect(part(atlas, "found")).to_have_text("nothing found")
    expect(atlas.get_by_role("button", name="Next hit")).to_be_disabled()


def test_a_search_finds_what_is_beyond_the_members_that_are_shown(ada: Visitor) -> None:
    page = ada.page
    ada.start("painted", members="3000")
    expect(state_of(page)).to_contain_text("members: {3000}")
    page.fill("#ls-find", "member-2999")
    expect(state_of(page).locator(".ls-hit-now")).to_contain_text("member-2999:")
    assert state_of(page).locator("li").count() < 130


def test_a_search_goes_on_with_what_changes(atlas: Page) -> None:
    atlas.fill("#ls-find", "1103")
    expect(part(atlas, "found")).to_have_text("nothing found")
    for town in ("100", "99"):
        atlas.fill("#id_grow_region", "4")
        atlas.fill("#id_grow_town", "99")
        atlas.click("#send-grow")
        if town == "100":
            expect(part(atlas, "found")).to_have_text("1 of 1")
    expect(part(atlas, "found")).to_have_text("nothing found")


def test_what_has_changed_is_marked_for_a_moment_and_where_it_is_folded_too(atlas: Page) -> None:
    state = state_of(atlas)
    expect(state.locator("li", has_text=re.compile(r"^clock:")).locator(".ls-changed")).to_have_count(1)
    still = state.locator("li", has_text=re.compile(r"^still:"))
    expect(still.locator(".ls-changed")).to_have_count(0)
    region = state.locator("summary", has_text=re.compile(r"^region-4:"))
    atlas.evaluate(
        """() => {
            const seen = (window.seen = []);
            new MutationObserver((changes) => {
                for (const { target } of changes) {
                    if (!target.classList.contains("ls-changed")) continue;
                    seen.push(target.parentElement.firstChild.textContent);
                }
            }).observe(document.querySelector(".ls-state"), { attributeFilter: ["class"], subtree: true });
            return seen;
        }"""
    )
    atlas.fill("#id_grow_region", "4")
    atlas.fill("#id_grow_town", "7")
    atlas.click("#send-grow")
    expect(atlas.locator("#command-grow-answer .ls-answer")).to_contain_text("Applied")
    deadline = time.monotonic() + 60
    while "region-4:" not in (marks := atlas.evaluate("window.seen")):
        assert time.monotonic() < deadline, marks
        atlas.wait_for_timeout(100)
    assert "region-5:" not in marks
    assert "still:" not in marks
    expect(region.locator(".ls-changed")).to_have_count(0)  # and then no more


def test_a_path_and_a_value_are_copied(site: Site, visit: Visit) -> None:
    ada = visit(site, permissions=["clipboard-read", "clipboard-write"]).log_in()
    page = ada.page
    ada.start("atlas", regions="2", towns="2")
    expect(state_of(page)).to_contain_text("region-1:")
    expect(part(page, "chosen")).to_be_hidden()
    page.fill("#ls-find", "town-1-0")
    expect(part(page, "chosen-path")).to_have_text('regions["region-1"]["town-1-0"]')
    page.get_by_role("button", name="Copy path").click()
    expect(part(page, "copied")).to_have_text("copied")
    assert page.evaluate("navigator.clipboard.readText()") == 'regions["region-1"]["town-1-0"]'
    page.get_by_role("button", name="Copy value").click()
    expect(part(page, "copied")).to_have_text("copied")
    assert '"people":1' in page.evaluate("navigator.clipboard.readText()")
    state_of(page).get_by_text("still:", exact=True).click()
    expect(part(page, "chosen-path")).to_have_text("still")
    page.locator("summary", has_text="region-0:").focus()
    expect(part(page, "chosen-path")).to_have_text('regions["region-0"]')


def test_tab_reaches_one_line_of_the_state_and_arrow_keys_the_others(ada: Visitor) -> None:
    page = ada.page
    ada.start("atlas", regions="2", towns="2")
    state = state_of(page)
    expect(state).to_contain_text("region-1:")
    page.focus("#ls-find")
    page.keyboard.press("Tab")
    focused = state.locator(":focus")
    expect(focused).to_have_text(re.compile(r"^clock:"))
    for key, line in [
        ("ArrowUp", "clock:"),
        ("ArrowDown", "still:"),
        ("End", "region-1:"),
        ("ArrowRight", "region-1:"),  # which unfolds it
        ("ArrowRight", "town-1-0:"),
        ("ArrowLeft", "region-1:"),
        ("ArrowUp", "region-0:"),
        ("ArrowLeft", "regions:"),
        ("ArrowLeft", "regions:"),  # which folds it
        ("End", "regions:"),
        ("Enter", "regions:"),
        ("ArrowDown", "region-0:"),
        ("Home", "clock:"),
        ("ArrowDown", "still:"),
    ]:
        page.keyboard.press(key)
        expect(focused).to_have_text(re.compile(f"^{line}"))
        if key == "Enter":  # the browser unfolds it, and tells of it a moment later
            expect(state).to_contain_text("region-0:")
    expect(part(page, "chosen-path")).to_have_text("still")
    assert state.locator('[tabindex="0"]').count() == 1
    page.keyboard.press("Tab")
    expect(part(page, "copy-path")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(focused).to_have_text(re.compile(r"^still:"))
