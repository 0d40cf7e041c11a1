"""Live parameters as people set them: by slider, by keyboard, without scripts, and beside each other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site

Visit = Callable[..., Visitor]


@pytest.fixture
def bob(visit: Visit, site: Site) -> Visitor:
    """A second person, who may send commands where they are open."""
    return visit(site)


def state(page: Page) -> str:
    return page.locator('[data-ls="state"]').inner_text()


def slide(page: Page, name: str, value: str) -> None:
    """Move a slider as a hand does: while it moves, and then it is let go."""
    page.locator(f"#id_set_{name}_slider").evaluate(
        """(slider, value) => {
          slider.value = value;
          slider.dispatchEvent(new Event("input", { bubbles: true }));
          slider.dispatchEvent(new Event("change", { bubbles: true }));
        }""",
        value,
    )


def test_one_slides_and_the_other_sees_it(ada: Visitor, bob: Visitor) -> None:
    address = ada.start("bath", public=True)
    bob.page.goto(address)
    for page in (ada.page, bob.page):
        expect(page.locator("#id_set_room")).to_have_value("20.0")
        expect(page.locator("#id_set_room_slider")).to_have_value("20")

    slide(ada.page, "room", "31.5")
    expect(ada.page.locator("#command-set-answer")).to_contain_text("Applied at tick")
    expect(bob.page.locator("#id_set_room")).to_have_value("31.5")
    expect(bob.page.locator("#id_set_room_slider")).to_have_value("31.5")
    expect(ada.page.locator("#id_set_room")).to_have_value("31.5")

    slide(bob.page, "guests", "7")  # who is told apart only now
    expect(ada.page.locator("#id_set_guests")).to_have_value("7")
    expect(ada.page.locator("#id_set_guests_slider")).to_have_value("7")
    expect(ada.page.locator('[data-ls="log"]')).to_contain_text("Set parameters applied")
    expect(ada.page.locator("#id_set_room")).to_have_value("31.5")


def test_what_somebody_is_about_to_set_is_left_alone_and_sent_alone(ada: Visitor, bob: Visitor) -> None:
    address = ada.start("bath", public=True)
    bob.page.goto(address)
    page = ada.page
    expect(page.locator("#id_set_room_slider")).to_be_visible()  # its script is there
    page.locator("#id_set_scent").fill("rose")
    expect(bob.page.locator("#id_set_room_slider")).to_be_visible()

    bob.page.locator("#id_set_scent").fill("lemon")
    bob.page.locator("#id_set_room").fill("5")
    bob.page.locator("#id_set_stirred").check()
    bob.page.get_by_role("button", name="Set", exact=True).click()
    expect(page.locator("#id_set_room")).to_have_value("5.0")
    expect(page.locator("#id_set_stirred")).to_be_checked()
    expect(page.locator("#id_set_scent")).to_have_value("rose")

    slide(page, "guests", "3")  # goes alone, though there is more in the form
    expect(bob.page.locator("#id_set_guests")).to_have_value("3")
    expect(bob.page.locator("#id_set_scent")).to_have_value("lemon")
    expect(page.locator("#id_set_scent")).to_have_value("rose")

    page.locator("#id_set_scent").press("Enter")
    expect(bob.page.locator("#id_set_scent")).to_have_value("rose")
    expect(bob.page.locator("#id_set_room")).to_have_value("5")  # as it was typed


def test_a_field_with_focus_follows_once_it_is_left(ada: Visitor, bob: Visitor) -> None:
    bob.page.goto(ada.start("bath", public=True))
    expect(ada.page.locator("#id_set_room_slider")).to_be_visible()
    ada.page.locator("#id_set_room").focus()
    expect(bob.page.locator("#id_set_guests_slider")).to_be_visible()
    bob.page.locator("#id_set_room").fill("7")
    bob.page.locator("#id_set_guests").fill("9")
    bob.page.locator("#id_set_guests").press("Enter")
    expect(ada.page.locator("#id_set_guests")).to_have_value("9")
    expect(ada.page.locator("#id_set_room")).to_have_value("20.0")
    ada.page.locator("#id_set_scent").focus()
    expect(ada.page.locator("#id_set_room")).to_have_value("7.0")


def test_by_keyboard(ada: Visitor) -> None:
    ada.start("bath")
    slider = ada.page.get_by_role("slider", name="Guests")
    slider.focus()
    for _ in range(3):
        ada.page.keyboard.press("ArrowRight")
    expect(ada.page.locator("#id_set_guests")).to_have_value("4")
    expect(ada.page.locator("#command-set-answer")).to_contain_text("Applied at tick")
    expect(slider).to_be_focused()
    ada.page.reload()
    expect(ada.page.locator("#id_set_guests")).to_have_value("4")


def test_a_wrong_value_is_told_at_its_field_until_it_is_mended(ada: Visitor) -> None:
    ada.start("bath")
    page = ada.page
    room = page.locator("#id_set_room")
    room.evaluate("field => field.removeAttribute('max')")  # what a browser lets by, the server does not
    room.fill("99")
    room.press("Enter")
    expect(page.locator(".ls-set .ls-wrong .ls-errors")).to_have_text(
        "Ensure this value is less than or equal to 40."
    )
    expect(room).to_have_value("99")
    room.fill("39")
    expect(page.locator(".ls-set .ls-errors")).to_have_count(0)
    room.press("Enter")
    expect(page.locator("#command-set-answer")).to_contain_text("Applied at tick")
    page.reload()
    expect(room).to_have_value("39.0")


def test_what_the_run_refuses_is_said_and_the_field_goes_back(ada: Visitor) -> None:
    ada.start("bath")
    slide(ada.page, "room", "13")
    expect(ada.page.locator("#command-set-answer")).to_contain_text("Refused: nobody bathes at 13 degrees")
    expect(ada.page.locator("#id_set_room")).to_have_value("20.0")
    expect(ada.page.locator("#id_set_room_slider")).to_have_value("20")


def test_without_scripts_the_form_posts_and_comes_back(visit: Visit, site: Site, ada: Visitor) -> None:
    address = ada.start("bath", public=True)
    plain = visit(site, java_script_enabled=False)
    page = plain.page
    page.goto(address)
    expect(page.locator("input[type=range]")).to_have_count(0)
    page.fill("#id_set_room", "33")
    page.check("#id_set_stirred")
    page.click("#send-set")
    expect(page.locator('.ls-message[data-level="success"]')).to_contain_text("Set parameters: applied at")
    expect(page.locator("#id_set_room")).to_have_value("33.0")
    expect(page.locator("#id_set_stirred")).to_be_checked()
    expect(ada.page.locator("#id_set_room")).to_have_value("33.0")

    page.click("#send-set")
    expect(page.locator(".ls-set .ls-errors")).to_contain_text("Nothing is different from what it was.")


def test_a_run_that_has_stopped_takes_nothing_more(ada: Visitor) -> None:
    ada.start("bath")
    page = ada.page
    expect(page.locator("#id_set_room_slider")).to_be_enabled()
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator(".ls-controls").get_by_role("button", name="Stop").click()
    expect(page.locator("#id_set_room_slider")).to_be_disabled()
    expect(page.locator("#send-set")).to_be_disabled()


def test_a_restart_keeps_what_was_set(ada: Visitor) -> None:
    before = ada.start("bath")
    page = ada.page
    slide(page, "room", "8")
    expect(page.locator("#command-set-answer")).to_contain_text("Applied at tick")
    page.on("dialog", lambda dialog: dialog.accept())
    page.locator(".ls-controls").get_by_role("button", name="Restart").click()
    page.wait_for_url(lambda url: "/runs/" in url and url != before)
    ada.started.append(page.url)
    expect(page.locator("#id_set_room")).to_have_value("8.0")
    page.get_by_text("Fixed since the start").click()
    expect(page.locator(".ls-parameters details")).to_contain_text("80.0")


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_of_the_card_is_wider_than_the_page(visit: Visit, site: Site, width: int) -> None:
    visitor = visit(site, viewport={"width": width, "height": 800}).log_in()
    visitor.start("bath")
    expect(visitor.page.locator("#id_set_room_slider")).to_be_visible()
    wide = visitor.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0
