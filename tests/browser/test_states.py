"""What a page says of its connection and of its run: in its strip, beside its figures, in the tab's title."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import LOST, Visitor
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, part, state_of

Visit = Callable[..., Visitor]


def test_the_title_says_how_the_run_is(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter")
    expect(page).to_have_title(re.compile(r"^counter [0-9a-f]{8} · counter$"))
    page.get_by_role("button", name="Pause").click()
    expect(page).to_have_title(re.compile(r"^▮▮ counter"))
    page.get_by_role("button", name="Resume").click()
    expect(page).to_have_title(re.compile(r"^counter"))
    page.click("#send-end")
    expect(page).to_have_title(re.compile(r"^✓ counter"))
    expect(part(page, "connection")).to_have_text("ended")
    expect(state_of(page)).to_have_css("opacity", "1")


def test_the_title_of_a_run_that_fails(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter")
    page.click("#send-explode")
    expect(page).to_have_title(re.compile(r"^✗ counter"))


def test_the_title_of_a_job_counts(ada: Visitor) -> None:
    page = ada.page
    ada.start("encode", lines="1000")
    expect(page).to_have_title(re.compile(r"^\d+ % · encode"))
    page.get_by_role("button", name="Pause").click()
    expect(page).to_have_title(re.compile(r"^▮▮ \d+ % · encode"))


def test_a_server_that_goes_and_comes_back(own_site: Site, visit: Visit) -> None:
    ada = visit(own_site).log_in()
    ada.allowed.append(LOST)
    page = ada.page
    ada.start("counter")
    expect_moving(page)
    page.get_by_text("Latency").click()
    page.evaluate("scrollTo(0, 0)")
    before = page.locator("h1").bounding_box()
    own_site.stop()
    expect(part(page, "lost-text")).to_have_text(re.compile("Connection lost.|The server is restarting."))
    expect(part(page, "lost-count")).to_have_text(re.compile(r"^Reconnecting in \d+ s\.$"))
    expect(part(page, "connection")).to_have_text("lost")
    expect(state_of(page)).to_have_css("opacity", "0.5")
    expect(state_of(page)).to_contain_text("value:")
    expect(page).to_have_title(re.compile(r"^\(!\) counter"))
    page.evaluate("scrollTo(0, 0)")
    assert page.locator("h1").bounding_box() == before  # what tells of it moves nothing
    for old in ("pill", "speed"):
        expect(part(page, old)).to_have_css("opacity", "0.5")
    page.keyboard.press(".")
    expect(page.locator("#ls-control-answer")).to_have_text(
        "The server cannot be reached. Try again when the connection is back: nothing is done twice."
    )
    shown = state_of(page).inner_text()
    page.wait_for_timeout(3000)  # through tries that fail
    assert state_of(page).inner_text() == shown
    expect(state_of(page)).to_have_css("opacity", "0.5")
    own_site.start()
    expect(part(page, "connection")).to_have_text("live")
    expect(state_of(page)).to_have_css("opacity", "1")
    expect(page).to_have_title(re.compile(r"^counter"))
    expect(page.locator('[data-latency="again"]')).not_to_have_text("0")
    expect(part(page, "log")).to_contain_text("Connected again.")
    expect_moving(page)


def test_who_is_offline_is_told_so_and_comes_back_at_once(own_site: Site, visit: Visit) -> None:
    ada = visit(own_site).log_in()
    ada.allowed.append(LOST)
    page = ada.page
    ada.start("counter")
    expect_moving(page)
    ada.context.set_offline(True)
    own_site.stop()
    expect(part(page, "connection")).to_have_text("offline")
    expect(part(page, "lost")).to_contain_text("You are offline.")
    expect(part(page, "lost-count")).to_have_text("The page connects by itself when you are online again.")
    expect(state_of(page)).to_have_css("opacity", "0.5")
    own_site.start()
    page.wait_for_timeout(2000)
    expect(part(page, "connection")).to_have_text("offline")
    ada.context.set_offline(False)
    expect(part(page, "connection")).to_have_text("live")
    expect_moving(page)


CLOSED = """
window.WebSocket = class {
    constructor() {
        const say = (message) => this.onmessage({ data: JSON.stringify(message) });
        setTimeout(() => {
            say({ type: "hello", status: "running", role: "owner", commands: [] });
            say({ type: "snapshot", epoch: 1, seq: 1, tick: 1, state: { kept: "as it was" } });
        }, 50);
        setTimeout(() => this.onclose({ code: CODE }), 400);
    }
    send() {}
    close() {}
};
"""


@pytest.mark.parametrize(
    ("code", "said", "word"),
    [
        (4403, "You may not watch this run any more.", "no right"),
        (4410, "This run has been deleted.", "deleted"),
        (4429, "Too many pages are open. Close some, then load this one again.", "too many pages"),
    ],
)
def test_a_connection_that_is_over_says_why(ada: Visitor, code: int, said: str, word: str) -> None:
    page = ada.page
    page.add_init_script(CLOSED.replace("CODE", str(code)))
    ada.start("counter")
    expect(part(page, "lost-text")).to_have_text(said)
    expect(part(page, "connection")).to_have_text(word)
    expect(part(page, "reconnect")).to_be_hidden()
    expect(page).to_have_title(re.compile(r"^\(!\) "))
    if code != 4403:
        expect(state_of(page)).to_contain_text("as it was")
        expect(state_of(page)).to_have_css("opacity", "0.5")


def test_who_else_watches_is_said_in_words_too(ada: Visitor, visit: Visit) -> None:
    address = ada.start("counter", public=True)
    expect(part(ada.page, "others")).to_have_text("This page alone")
    for number, said in [(1, "This page and one other"), (2, "This page and 2 others")]:
        other = visit(ada.site)
        other.page.goto(address)
        expect(part(ada.page, "others")).to_have_text(said)
        expect(part(ada.page, "viewers")).to_have_text(str(number + 1))
    expect(ada.page.get_by_title("This page and 2 others")).to_be_visible()


def weights(page: Page) -> dict[str, int]:
    """Bytes, before compression, of what a page loads, by address."""
    return dict(
        page.evaluate(
            """async () => {
                const loaded = performance.getEntriesByType("resource").map(({ name }) => name);
                const ours = loaded.filter((name) => /\\.(js|css)(\\?|$)/.test(name));
                const size = async (name) => (await (await fetch(name)).arrayBuffer()).byteLength;
                return await Promise.all([...new Set(ours)].map(async (name) => [name, await size(name)]));
            }"""
        )
    )


def test_the_scripts_and_styles_of_the_page_are_small(ada: Visitor) -> None:
    ada.start("painted", members="3")
    expect_moving(ada.page)
    found = weights(ada.page)
    assert any("htmx" in name for name in found)
    assert any(name.endswith("panel.js") for name in found)
    assert sum(found.values()) <= 200 * 1024, found
