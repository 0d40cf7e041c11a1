"""What a person sees of a job."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site
from tests.browser.test_live_page import part

Visit = Callable[..., Visitor]


def test_a_job_is_watched_on_a_phone_until_it_ends_with_its_result(site: Site, visit: Visit) -> None:
    ada = visit(site, viewport={"width": 390, "height": 844}, color_scheme="dark").log_in()
    page = ada.page
    ada.start("encode", lines="150")  # long enough to be looked at
    card = page.locator(".ls-job")
    expect(card.locator("[data-job=percent]")).to_have_text(re.compile(r"^[1-9]\d? %$"))
    expect(card.locator("[data-job=text]")).to_have_text(re.compile(r"^frame \d+$"))
    expect(card.locator("[data-job=left]")).to_have_text(re.compile(r"^about \d+ (s|minutes) left$"))
    expect(card.locator("pre")).to_contain_text("frame 1 of <")
    assert page.locator("progress").evaluate("bar => bar.value") > 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.get_by_role("button", name="Step")).to_have_count(0)
    expect(part(page, "pill")).to_have_text("finished")
    expect(page.locator(".ls-outcome")).to_contain_text("150")


def test_a_job_is_stopped_by_its_button(site: Site, visit: Visit) -> None:
    ada = visit(site).log_in()
    page = ada.page
    ada.start("encode", lines="1000")
    expect(page.locator("[data-job=text]")).to_have_text(re.compile(r"^frame [1-9]"))
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("button:has-text('Stop')")
    expect(part(page, "pill")).to_have_text("stopped")
