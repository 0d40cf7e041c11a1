"""Single keys that steer a run, and when they do not."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, expect_still, part, tick

Visit = Callable[..., Visitor]


def paused(ada: Visitor) -> Page:
    """The page of a run of which the key for it has made a pause."""
    ada.start("counter")
    page = ada.page
    expect_moving(page)
    page.locator("body").press("Space")
    expect(part(page, "pill")).to_have_text("paused")
    expect_still(page)
    return page


def test_keys_pause_step_and_resume(ada: Visitor) -> None:
    page = paused(ada)
    before = tick(page)
    page.keyboard.press(".")
    expect(part(page, "tick")).to_have_text(str(before + 1))
    page.keyboard.press(".")
    expect(part(page, "tick")).to_have_text(str(before + 2))
    page.keyboard.press("Space")
    expect(part(page, "pill")).to_have_text("running")
    expect_moving(page)


def test_keys_make_it_faster_and_slower(ada: Visitor) -> None:
    page = paused(ada)
    speed = part(page, "speed")
    for key, shown in [("+", "2"), ("+", "5"), ("-", "2"), ("-", "1"), ("-", "0.5")]:
        page.keyboard.press(key)
        expect(speed).to_have_text(f"\N{MULTIPLICATION SIGN}{shown}")
    expect(page.locator("#id_speed_x")).to_have_value("0.5")


def test_the_keys_are_shown_by_a_key_and_by_a_button(ada: Visitor) -> None:
    page = paused(ada)
    dialog = part(page, "keys")
    page.keyboard.press("?")
    expect(dialog).to_be_visible()
    expect(dialog).to_contain_text("pause, or resume")
    page.keyboard.press("Space")  # on the first thing in the dialog, and on nothing behind it
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(part(page, "pill")).to_have_text("paused")
    page.get_by_role("button", name="Keys").click()
    expect(dialog).to_be_visible()
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def test_keys_do_nothing_while_one_types_presses_or_uses_a_shortcut(ada: Visitor) -> None:
    page = paused(ada)
    before = tick(page)
    page.focus("#id_decline_why")
    page.keyboard.type(" .+-? ")
    expect(page.locator("#id_decline_why")).to_have_value(re.compile(r"^ \.\+-\? "))
    page.focus("#id_speed_x")
    page.keyboard.press(".")
    page.get_by_role("button", name="Keys").focus()
    page.keyboard.press("Space")  # presses the button
    expect(part(page, "keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("h1").click()
    page.keyboard.press("Control+.")
    page.keyboard.press("Alt+Space")
    expect_still(page)
    assert tick(page) == before
    expect(part(page, "pill")).to_have_text("paused")
    page.locator("h1").click()
    page.keyboard.press(".")  # and now it does
    expect(part(page, "tick")).to_have_text(str(before + 1))


def test_keys_are_switched_off_for_good(ada: Visitor) -> None:
    page = paused(ada)
    before = tick(page)
    page.keyboard.press("?")
    part(page, "keys-on").uncheck()
    page.keyboard.press("Escape")
    for _ in range(2):
        page.keyboard.press(".")
        page.keyboard.press("?")
        expect_still(page)
        assert tick(page) == before
        expect(part(page, "keys")).to_be_hidden()
        page.reload()
        expect(part(page, "connection")).to_have_text("live")
    page.get_by_role("button", name="Keys").click()
    expect(part(page, "keys-on")).not_to_be_checked()
    part(page, "keys-on").check()
    page.keyboard.press("Escape")
    page.keyboard.press(".")
    expect(part(page, "tick")).to_have_text(str(before + 1))


def test_who_may_not_steer_has_no_keys_to_do_it(ada: Visitor, visit: Visit, site: Site) -> None:
    address = ada.start("counter", public=True)
    guest = visit(site)
    page = guest.page
    page.goto(address)
    expect_moving(page)
    for key in ("Space", ".", "+"):
        page.keyboard.press(key)
    page.keyboard.press("?")
    expect(part(page, "keys")).to_contain_text("show these keys")
    expect(part(page, "keys")).not_to_contain_text("pause, or resume")
    page.keyboard.press("Escape")
    expect_moving(page)
    expect(part(page, "speed")).to_have_text("\N{MULTIPLICATION SIGN}1")
    expect(part(page, "pill")).to_have_text("running")


def test_a_key_whose_control_cannot_be_pressed_does_nothing(ada: Visitor) -> None:
    page = paused(ada)
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop").click()
    expect(part(page, "pill")).to_have_text("stopped")
    before = tick(page)
    page.locator("h1").click()
    page.keyboard.press(".")
    expect_still(page)
    assert tick(page) == before
    page.keyboard.press("Space")  # what is shown then is its resuming
    expect(part(page, "pill")).to_have_text("running")
