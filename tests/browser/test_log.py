"""The events of a run: who did what, when, and what came of it."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.simulations import HOSTILE
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, part

Visit = Callable[..., Visitor]


def test_a_command_is_told_with_what_it_was_given_what_came_of_it_and_who_sent_it(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter", start="0")
    page.fill("#id_add_n", "5000")
    page.click("#send-add")
    line = part(page, "log").locator("li", has_text="Add applied")
    expect(line).to_have_text(re.compile(r"\d\d:\d\d:\d\d\d+Add applied n: 5000 → 5\d\d\d by you$"))
    expect(line.locator("time")).to_have_attribute("datetime", re.compile(r"^20\d\d-.*Z$"))
    page.fill("#id_decline_why", "not today")
    page.click("#send-decline")
    expect(part(page, "log")).to_contain_text("Decline refused: not today why: not today by you")
    page.reload()
    expect(part(page, "log")).to_contain_text("Decline refused: not today")
    expect(part(page, "log")).to_contain_text(re.compile(r"Add applied n: 5000 → 5\d\d\d by you"))
    expect(part(page, "log").locator("li[data-group=command]")).to_have_count(2)


def test_what_was_done_reads_the_same_after_the_page_is_loaded_again(ada: Visitor) -> None:
    page = ada.page
    ada.start("bath")
    lines = part(page, "log").locator("li[data-group=command]")
    page.select_option("#id_speed_x", "max")
    expect(lines.filter(has_text="Set speed applied x: max by you")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    expect(lines.filter(has_text="Pause applied by you")).to_have_count(1)
    page.get_by_role("button", name="Step", exact=True).click()
    expect(lines.filter(has_text="Step applied n: 1 by you")).to_have_count(1)
    page.fill("#id_set_room", "31.5")
    page.check("#id_set_stirred")
    page.click("#send-set")
    expect(lines.filter(has_text="Set parameters applied room: 31.5, stirred: true by you")).to_have_count(1)
    told = [text[8:] for text in lines.all_inner_texts()]
    page.reload()
    expect(lines).to_have_count(4)
    assert [text[8:] for text in lines.all_inner_texts()] == told


def test_what_is_shown_is_filtered(ada: Visitor) -> None:
    page = ada.page
    ada.start("painted", members="3")
    log = part(page, "log")
    filters = part(page, "log-filter")
    filters.get_by_role("button", name="Events").click()
    page.click("#send-shout")
    expect(log.locator("li:visible")).to_have_count(1)
    expect(log.locator("li:visible")).to_contain_text(HOSTILE)
    filters.get_by_role("button", name="Commands").click()
    expect(log.locator("li:visible")).to_have_count(1)
    expect(log.locator("li:visible")).to_contain_text("Shout applied")
    expect(filters.get_by_role("button", name="Commands")).to_have_attribute("aria-pressed", "true")
    expect(filters.get_by_role("button", name="Events")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Pause").click()
    filters.get_by_role("button", name="Status").click()
    expect(log.locator("li:visible").first).to_contain_text("paused")
    filters.get_by_role("button", name="All").click()
    expect(log).to_contain_text("Pause applied")
    expect(log).to_contain_text("Shout applied")


def test_a_flood_of_events_leaves_the_commands_where_they_are(ada: Visitor) -> None:
    page = ada.page
    ada.start("herald")
    page.fill("#id_cry_times", "1")
    page.click("#send-cry")
    expect(part(page, "log")).to_contain_text("Cry applied")
    for number in range(3):
        page.fill("#id_cry_times", "300")
        page.click("#send-cry")
        expect(part(page, "log").locator("li[data-kind=applied]")).to_have_count(number + 2)
    expect(part(page, "log").locator("li[data-kind=event]")).to_have_count(200)
    expect(part(page, "log").locator("li[data-kind=event]").first).to_contain_text("299")


def test_who_may_control_a_run_sees_who_did_what_and_who_may_watch_does_not(
    own_site: Site, visit: Visit
) -> None:
    own_site.add_user("grace")
    ada, grace, guest = visit(own_site).log_in(), visit(own_site).log_in("grace"), visit(own_site)
    address = ada.start("counter", public=True)
    for visitor in (grace, guest):
        visitor.page.goto(address)
        expect_moving(visitor.page)
    grace.page.fill("#id_add_n", "4711")
    grace.page.click("#send-add")
    ada.page.get_by_role("button", name="Pause").click()
    expect(part(ada.page, "log")).to_contain_text("Add applied by grace")
    expect(part(ada.page, "log")).to_contain_text("Pause applied by you")
    expect(part(grace.page, "log")).to_contain_text("Pause applied by ada")
    expect(part(guest.page, "log")).to_contain_text("Pause applied")
    own_site.manage("livesim", "send", address.split("/runs/")[1].strip("/"), "add", "n=1")
    expect(part(ada.page, "log")).to_contain_text("Add applied by a program (cli)")
    expect(part(guest.page, "log").locator("li[data-kind=applied]")).to_have_count(3)
    for again in ("live", "loaded"):
        expect(part(guest.page, "log")).not_to_contain_text("grace")
        expect(part(guest.page, "log")).not_to_contain_text(" by ")
        expect(part(guest.page, "log")).not_to_contain_text("4711")
        if again == "live":
            guest.page.reload()
            expect(part(guest.page, "connection")).to_have_text("live")
    ada.page.reload()
    expect(part(ada.page, "log")).to_contain_text(re.compile(r"Add applied n: 4711 → \d+ by grace"))
    grace.page.reload()
    expect(part(grace.page, "log")).to_contain_text("Pause applied by ada")
