"""What a person sees of a run that takes long, and of one in quarantine."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, part

Visit = Callable[..., Visitor]

QUARANTINE = """
from django_livesim.models import Checkpoint, Run
why = "3 strikes: its code took longer than 2 s in one step"
Run.objects.update(status="quarantined", worker=None, reason=why, strikes=3, struck_tick=1, error="in step")
"""


def test_the_page_counts_the_seconds_of_a_long_step_and_stops_when_it_is_over(
    own_site: Site, visit: Visit
) -> None:
    ada = visit(own_site).log_in()
    page = ada.page
    ada.start("ponderer")
    expect_moving(page)
    page.fill("#id_ponder_seconds", "30")
    page.click("#send-ponder")
    notice = page.locator("#ls-facts .ls-notice")
    expect(notice).to_contain_text(re.compile(r"Stepping for \d+ s\."))
    expect(notice).to_contain_text("Nothing breaks it off")
    first = re.search(r"\d+", notice.inner_text())
    assert first is not None
    expect(notice).to_contain_text(re.compile(rf"Stepping for (?!{first[0]} )\d+ s\."))
    expect(notice).to_have_count(0)
    expect_moving(page)


def test_a_run_is_released_from_quarantine_by_its_button_on_a_phone(own_site: Site, visit: Visit) -> None:
    ada = visit(own_site, viewport={"width": 390, "height": 844}).log_in()
    page = ada.page
    address = ada.start("counter")
    page.click("button:has-text('Pause')")
    expect(part(page, "pill")).to_have_text("paused")
    own_site.manage("shell", "-c", QUARANTINE)
    page.goto(address)
    card = page.locator(".ls-outcome")
    expect(card).to_contain_text("3 strikes: its code took longer than 2 s in one step")
    expect(card).to_contain_text("Takes its strikes away")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    card.get_by_role("button", name="Release").click()
    expect(part(page, "pill")).to_have_text("running")
    expect(card).to_have_count(0)
    expect(page.locator(".ls-controls")).to_contain_text("Pause")
