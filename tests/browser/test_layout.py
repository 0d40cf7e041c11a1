"""The live page where it is narrow, and while frames come."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, part

Visit = Callable[..., Visitor]


def lower_edge(page: Page) -> float:
    box = page.locator(".ls-controls").bounding_box()
    assert box is not None
    return box["y"] + box["height"]


def test_on_a_phone_the_controls_stay_at_the_lower_edge(site: Site, visit: Visit) -> None:
    phone = visit(site, viewport={"width": 390, "height": 844}, has_touch=True).log_in()
    page = phone.page
    page.goto(f"{site.url}/livesim/?simulation=painted")
    page.fill("#id_param_members", "300")
    page.fill("#id_run-name", "A name of many words " * 9)
    page.click("#ls-start button:has-text('Start')")
    page.wait_for_url("**/runs/**")
    phone.started.append(page.url)
    expect_moving(page)
    pause = page.get_by_role("button", name="Pause")
    for place in ("0", "300", "document.body.scrollHeight"):
        page.evaluate(f"scrollTo(0, {place})")
        expect(pause).to_be_in_viewport(ratio=1)
        assert abs(lower_edge(page) - 844) <= 1
    name, pill = page.evaluate(  # in one moment: the page grows meanwhile
        """() => {
            const place = (selector) => document.querySelector(selector).getBoundingClientRect().toJSON();
            scrollTo(0, 0);
            return [place("h1"), place('[data-ls="pill"]')];
        }"""
    )
    assert name["width"] > 300 and name["height"] < 90  # three lines, as wide as the card
    assert pill["top"] >= name["bottom"]
    box = page.locator(".ls-controls").bounding_box()
    assert box is not None
    assert box["height"] <= 844 / 4  # and leave the page to what is watched
    pause.tap()
    expect(part(page, "pill")).to_have_text("paused")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    answer = page.locator("#ls-control-answer > .ls-answer")
    expect(answer).to_contain_text("Applied")
    expect(answer).to_be_hidden()  # after a while, and takes no room then
    after = page.locator(".ls-controls").bounding_box()
    assert after is not None
    assert abs(after["height"] - box["height"]) <= 1
    ends = page.evaluate(
        """() => {
            scrollTo(0, document.body.scrollHeight);
            const bottom = (element) => element.getBoundingClientRect().bottom;
            const controls = document.querySelector(".ls-controls").getBoundingClientRect().top;
            return bottom(document.querySelector(".ls-columns")) <= controls;
        }"""
    )
    assert ends, "the controls cover the end of the page"


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_jumps_while_frames_come(site: Site, visit: Visit, width: int) -> None:
    ada = visit(site, viewport={"width": width, "height": 844}).log_in()
    page = ada.page
    ada.start("counter", start="1")
    expect_moving(page)
    expect(part(page, "rate")).not_to_have_text("\N{EN DASH}")
    page.wait_for_load_state("networkidle")  # what comes into view is loaded later
    page.evaluate(
        """() => {
            window.shifts = [];
            const note = (list) => {
                for (const shift of list.getEntries()) {
                    const moved = shift.sources.map(({ node }) => node?.outerHTML ?? node?.data);
                    window.shifts.push([shift.value, ...moved]);
                }
            };
            new PerformanceObserver(note).observe({ type: "layout-shift" });
        }"""
    )
    for _ in range(20):
        expect_moving(page)
    assert page.evaluate("window.shifts") == []
