"""An operator starts, watches, steers and stops runs from the admin."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import WITHIN, Visitor
from tests.browser.site import Site

Visit = Callable[..., Visitor]


def shot(page: Page, name: str) -> None:
    """Keep a picture of the page, where `LIVESIM_SHOTS` names a folder for them."""
    if folder := os.environ.get("LIVESIM_SHOTS"):
        page.screenshot(path=Path(folder) / f"admin-{name}.png", full_page=True)


def start(visitor: Visitor, simulation: str, name: str, **params: str) -> str:
    """Start a run by the add form; its address in the admin."""
    page = visitor.page
    page.goto(f"{visitor.site.url}/admin/livesim/run/add/")
    page.click(f"#start-{simulation}")
    page.fill("#id_run-name", name)
    for field, value in params.items():
        page.fill(f"#id_param_{field}", value)
    page.click("input[type=submit][value^=Start]")
    page.wait_for_url("**/change/")
    return page.url


def field(page: Page, name: str):  # type: ignore[no-untyped-def]
    """In a line of its own, or in one with others."""
    return page.locator(
        f".fieldBox.field-{name} .readonly, .form-row.field-{name}:not(:has(.fieldBox)) .readonly"
    )


def expect_after_reloads(page: Page, name: str, text: str | re.Pattern[str]) -> None:
    """The page does not move by itself: look again until it says so."""
    deadline = time.monotonic() + WITHIN / 1000
    while not re.search(text, field(page, name).inner_text()):
        assert time.monotonic() < deadline, f"{name} has not become {text}"
        page.wait_for_timeout(100)
        page.reload()


def test_a_run_is_started_watched_paused_and_stopped(ada: Visitor) -> None:
    page = ada.page
    page.goto(f"{ada.site.url}/admin/livesim/run/add/")
    page.click("#start-counter")
    page.fill("#id_run-name", "by hand")
    page.eval_on_selector("#id_param_start", "field => field.type = 'text'")
    page.fill("#id_param_start", "many")
    ada.allowed.append(re.compile("cannot be parsed"))  # what Chromium says of the value that comes back
    page.click("text=Start Counter")
    expect(page.locator(".field-start .errorlist")).to_have_text("Enter a whole number.")
    expect(page.locator(".errornote")).to_contain_text("Nothing was started.")
    shot(page, "bad-parameters")
    page.fill("#id_param_start", "1000")
    page.click("input[type=submit][value^=Start]")
    page.wait_for_url("**/change/")
    expect(page.locator(".messagelist")).to_contain_text("“by hand” was started.")

    expect_after_reloads(page, "pill", "running")
    expect_after_reloads(page, "tick", re.compile(r"^[1-9]\d*$"))
    shot(page, "run")
    page.get_by_role("link", name="Live page").click()
    expect(page.locator('[data-ls="connection"]')).to_have_text("live")
    page.go_back()

    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".messagelist")).to_contain_text(re.compile("pause: applied at tick|not applied yet"))
    expect_after_reloads(page, "pill", "paused")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#content")).to_contain_text("Stop? Each state is stored")
    shot(page, "stop")
    page.get_by_role("link", name="No, take me back").click()
    expect(field(page, "pill")).to_have_text("paused")
    page.get_by_role("button", name="Stop").click()
    page.click("#confirm")
    expect_after_reloads(page, "pill", "stopped")
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    page.get_by_role("link", name="History").first.click()
    told = re.compile("stop: (applied|asked for, command #)")
    expect(page.locator("#change-history")).to_contain_text(told)


def test_many_runs_are_stopped_by_one_action(ada: Visitor) -> None:
    page = ada.page
    for number in range(3):
        start(ada, "counter", f"batch-{number}")
    page.goto(f"{ada.site.url}/admin/livesim/run/?q=batch-")
    expect(page.locator("#result_list tbody tr")).to_have_count(3)
    shot(page, "list")
    page.locator("#result_list tbody input[name=_selected_action]").nth(0).check()
    page.locator("#result_list tbody input[name=_selected_action]").nth(2).check()
    page.select_option("select[name=action]", "stop_runs")
    page.click("#changelist-form button[type=submit]")
    expect(page.locator("#livesim-touched li")).to_have_count(2)
    shot(page, "stop-many")
    page.click("#confirm")
    expect(page.locator(".messagelist li")).to_have_count(2)
    rows = page.locator("#result_list tbody tr")
    deadline = time.monotonic() + WITHIN / 1000
    while rows.locator('[data-status="stopped"]').count() != 2:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
        page.reload()
    expect(rows.nth(1)).not_to_contain_text("stopped")


def test_deleting_says_how_much_goes(ada: Visitor) -> None:
    page = ada.page
    start(ada, "counter", "short-lived")
    page.get_by_role("button", name="Pause").click()
    page.locator(".deletelink").click()
    expect(page.locator("#content")).to_contain_text("Commands: 1")
    shot(page, "delete")
    page.click("#content input[type=submit]")
    expect(page.locator(".messagelist")).to_contain_text("was deleted successfully")


def test_without_javascript(site: Site, visit: Visit) -> None:
    plain = visit(site, java_script_enabled=False).log_in()
    page = plain.page
    start(plain, "counter", "plain", start="7")
    page.get_by_role("button", name="Stop").click()
    page.click("#confirm")
    expect_after_reloads(page, "pill", "stopped")
    page.goto(f"{site.url}/admin/livesim/run/?q=plain")
    page.locator("input[name=_selected_action]").nth(0).check()
    page.select_option("select[name=action]", "start_runs")
    page.click("#changelist-form button[type=submit]")
    expect(page.locator(".messagelist")).to_contain_text("“plain”: start:")
    expect(page.locator("#result_list")).not_to_contain_text("stopped")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_wider_than_the_screen(site: Site, visit: Visit, scheme: str) -> None:
    phone = visit(site, viewport={"width": 390, "height": 844}, color_scheme=scheme).log_in()
    page = phone.page
    address = start(phone, "counter", f"phone-{scheme}")
    expect_after_reloads(page, "pill", "running")
    pages = {
        "run": address,
        "choose": f"{site.url}/admin/livesim/run/add/",
        "start": f"{site.url}/admin/livesim/run/add/?simulation=counter",
    }
    for name, each in pages.items():
        page.goto(each)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, name
        shot(page, f"phone-{scheme}-{name}")
    page.goto(f"{site.url}/admin/livesim/run/?q=phone")  # its table scrolls by itself
    shot(page, f"phone-{scheme}-list")
    page.goto(address)
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#confirm")).to_be_visible()
    page.wait_for_load_state()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shot(page, f"phone-{scheme}-stop")
