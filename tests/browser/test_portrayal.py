"""Pictures that simulations portray: drawn, moved, asked, and clicked, by mouse, finger and keyboard."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import WITHIN, Visitor
from tests.browser.portrayed import HOSTILE
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, part, state_of, tick

Visit = Callable[..., Visitor]

MARGIN = 0.03  # of the canvas, beside what is fitted
RED, BLUE, GREEN, MAGENTA = [255, 0, 0, 255], [0, 0, 255, 255], [0, 255, 0, 255], [255, 0, 255, 255]

READ = """([what, ...rest]) => {
  const canvas = document.querySelector("canvas");
  const { width, height } = canvas;
  const copy = document.createElement("canvas");
  Object.assign(copy, { width, height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0);
  if (what === "pixel") {
    return [...context.getImageData(Math.round(rest[0] * width), Math.round(rest[1] * height), 1, 1).data];
  }
  const { data } = context.getImageData(0, 0, width, height);
  const found = [];
  for (let at = 0; at < data.length; at += 4) {
    if (rest.every((value, channel) => data[at + channel] === value)) {
      found.push([((at / 4) % width) / width, Math.floor(at / 4 / width) / height]);
    }
  }
  return found;
}"""


def share(units: float, size: float = 100) -> float:
    """Where a place of a fitted picture is on the canvas, from 0 to 1."""
    return MARGIN + units / size * (1 - 2 * MARGIN)


def pixel(page: Page, x: float, y: float) -> list[int]:
    """The colour at a place of the canvas, each from 0 to 1."""
    found: list[int] = page.evaluate(READ, ["pixel", x, y])
    return found


def places(page: Page, colour: list[int]) -> list[list[float]]:
    """Where on the canvas there is that colour."""
    found: list[list[float]] = page.evaluate(READ, ["places", *colour])
    return found


def wait_for(page: Page, condition: Callable[[], bool]) -> None:
    for _look in range(WITHIN // 100):
        if condition():
            return
        page.wait_for_timeout(100)
    assert condition()


def expect_pixel(page: Page, x: float, y: float, colour: list[int]) -> None:
    """The colour at a place of the canvas, from 0 to 1, becomes this one."""
    wait_for(page, lambda: pixel(page, x, y) == colour)


def spot(page: Page, x: float, y: float) -> tuple[float, float]:
    """A place of the canvas, from 0 to 1, on the screen."""
    part(page, "canvas").scroll_into_view_if_needed()
    box = part(page, "canvas").bounding_box()
    assert box is not None
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def hover(page: Page) -> Any:
    return page.locator('[data-portrayal="hover"]')


def plotted(visitor: Visitor, **options: Any) -> Page:
    visitor.start("plotted", **options)
    expect_pixel(visitor.page, share(25), share(25), RED)
    return visitor.page


def test_points_are_drawn_where_they_are_and_nothing_beside_them(ada: Visitor) -> None:
    page = plotted(ada)
    expect_pixel(page, share(75), share(75), BLUE)
    assert pixel(page, share(50), share(50)) == [0, 0, 0, 0]
    expect(part(page, "canvas-error")).to_be_hidden()
    expect_moving(page)


def test_a_picture_is_moved_zoomed_and_fitted(ada: Visitor) -> None:
    page = plotted(ada)
    size = part(page, "canvas").bounding_box()["width"]  # type: ignore[index]
    page.mouse.move(*spot(page, 0.5, 0.5))
    page.mouse.down()
    x, y = spot(page, 0.5, 0.5)
    page.mouse.move(x + 20, y)
    page.mouse.move(x + 100, y + 50)
    page.mouse.up()
    moved = share(25) + 100 / size, share(25) + 50 / size
    expect_pixel(page, *moved, RED)
    expect(state_of(page)).to_contain_text("added: [0]")

    page.get_by_role("button", name="Fit").click()
    expect_pixel(page, share(25), share(25), RED)
    page.get_by_role("button", name="Zoom in").click()
    near = 0.5 + 1.5 * (share(25) - 0.5)
    expect_pixel(page, near, near, RED)
    page.get_by_role("button", name="Zoom out").click()
    page.get_by_role("button", name="Zoom out").click()
    near = 0.5 + (share(25) - 0.5) / 1.5
    expect_pixel(page, near, near, RED)
    page.get_by_role("button", name="Fit").click()
    expect_pixel(page, share(25), share(25), RED)
    expect(state_of(page)).to_contain_text("added: [0]")


def test_the_wheel_scrolls_the_page_and_zooms_with_ctrl_or_focus(ada: Visitor) -> None:
    page = plotted(ada)
    page.evaluate("scrollTo(0, 0)")
    page.mouse.move(*spot(page, share(25), share(25)))
    before = page.evaluate("scrollY")
    page.mouse.wheel(0, 120)
    page.wait_for_function("(before) => scrollY > before", arg=before)
    assert pixel(page, share(75), share(75)) == BLUE

    page.mouse.move(*spot(page, share(25), share(25)))
    page.keyboard.down("Control")
    for _turn in range(4):
        page.mouse.wheel(0, -200)
    page.keyboard.up("Control")
    wait_for(page, lambda: pixel(page, share(75), share(75)) != BLUE)
    assert pixel(page, share(25), share(25)) == RED  # it stays under the pointer

    page.get_by_role("button", name="Fit").click()
    expect_pixel(page, share(75), share(75), BLUE)
    part(page, "canvas").focus()
    page.mouse.move(*spot(page, share(75), share(75)))
    still = page.evaluate("scrollY")
    for _turn in range(4):
        page.mouse.wheel(0, -200)
    wait_for(page, lambda: pixel(page, share(25), share(25)) != RED)
    assert pixel(page, share(75), share(75)) == BLUE
    assert page.evaluate("scrollY") == still


def test_what_is_under_the_pointer_is_told_and_hostile_texts_are_texts(ada: Visitor) -> None:
    page = plotted(ada)
    page.mouse.move(*spot(page, share(25), share(25)))
    expect(hover(page)).to_be_visible()
    assert hover(page).locator("> *").all_inner_texts() == ["red", "x: 25", "y: 25", "kind: r"]
    page.mouse.move(*spot(page, share(50), share(50)))
    expect(hover(page)).to_be_hidden()
    page.mouse.move(*spot(page, share(75), share(75)))
    expect(hover(page)).to_contain_text(f"{HOSTILE[:60]}…")
    assert page.locator('[data-portrayal="legend"] p > *').all_inner_texts() == [HOSTILE, "r", "b"]
    expect(page.locator("img")).to_have_count(0)
    assert "lotted" in page.title()
    page.mouse.move(1, 1)
    expect(hover(page)).to_be_hidden()


def test_a_click_commands_at_its_place(ada: Visitor) -> None:
    page = plotted(ada)
    expect(page.locator("#ls-picture-clicks")).to_have_text("A click, or Enter, sends: Add.")
    page.mouse.click(*spot(page, MARGIN / 3, 0.5))  # beside the box
    page.mouse.click(*spot(page, share(40), share(60)))
    expect(part(page, "log")).to_contain_text("Add applied")
    expect(state_of(page)).to_contain_text("added: [1]")
    state_of(page).locator("summary", has_text="0:").click()
    expect(state_of(page)).to_contain_text(re.compile(r"0: (39\.[5-9]|40)[\d.]*\s*1: (59\.[5-9]|60)"))


def test_who_may_only_watch_commands_nothing_by_a_click(ada: Visitor, visit: Visit) -> None:
    plotted(ada, public=True)
    other = visit(ada.site)
    page = other.page
    sent: list[str] = []
    page.on("websocket", lambda ws: ws.on("framesent", lambda text: sent.append(str(text))))
    page.goto(ada.page.url)
    expect_pixel(page, share(25), share(25), RED)
    expect(page.locator("#ls-picture-clicks")).to_have_count(0)
    page.mouse.click(*spot(page, share(50), share(50)))
    page.mouse.click(*spot(page, share(25), share(25)))
    expect(hover(page)).to_contain_text("red")
    expect_moving(page)
    assert not [text for text in sent if '"command"' in text]


def test_a_run_that_has_ended_takes_no_clicks_and_is_still_looked_at(ada: Visitor) -> None:
    page = plotted(ada)
    page.click("#send-end")
    expect(part(page, "pill")).to_have_text("finished")
    expect(page.locator("#ls-picture-clicks")).to_be_hidden()
    page.mouse.click(*spot(page, share(25), share(25)))
    expect(hover(page)).to_contain_text("red")
    page.reload()
    expect_pixel(page, share(25), share(25), RED)
    expect(page.locator("#ls-picture-clicks")).to_be_hidden()
    expect(part(page, "log")).not_to_contain_text("add")


def test_by_keyboard_alone(ada: Visitor) -> None:
    page = plotted(ada)
    for _press in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "CANVAS":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    described = page.evaluate("document.activeElement.getAttribute('aria-describedby')").split()
    texts = [page.evaluate("(id) => document.getElementById(id).textContent", each) for each in described]
    assert "Enter clicks there" in texts[0] and "sends: Add" in texts[1]
    page.keyboard.press("Enter")  # there is no crosshair yet
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(state_of(page)).to_contain_text("added: [1]")
    for _press in range(10):  # a quarter of the canvas each way
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("ArrowUp")
    expect(page.locator('[data-portrayal="told"]')).to_have_text("red, x 25, y 25, kind r")
    page.keyboard.press("+")
    page.keyboard.press("0")
    page.keyboard.press("Shift+ArrowLeft")
    expect_pixel(page, share(25) + 1 / 8, share(25), RED)
    page.keyboard.press("0")
    expect_pixel(page, share(75), share(75), BLUE)
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") != "CANVAS"
    assert "added: [1]" in state_of(page).inner_text()


def test_a_click_on_a_cell_names_its_column_and_row(ada: Visitor) -> None:
    page = ada.page
    ada.start("board")
    cell = [share(number + 0.25, 4) for number in range(4)]
    expect_pixel(page, cell[1], cell[1], GREEN)
    expect_pixel(page, share(2.5, 4), share(2.5, 4), MAGENTA)
    assert pixel(page, cell[2], cell[1])[3] < 255
    page.mouse.move(*spot(page, cell[1], cell[1]))
    expect(hover(page).locator("> *")).to_have_text(["column 1, row 1", "#"])
    page.mouse.click(*spot(page, cell[3], cell[0]))
    expect_pixel(page, cell[3], cell[0], GREEN)
    expect(part(page, "log")).to_contain_text("Switch applied")
    part(page, "canvas").focus()
    for key in ("ArrowDown", "ArrowDown", "Enter"):  # it begins in the cell in the middle
        page.keyboard.press(key)
    expect_pixel(page, cell[2], cell[3], GREEN)


def test_a_network_finds_its_places_and_its_nodes_are_clicked(ada: Visitor) -> None:
    page = ada.page
    ada.start("web")
    wait_for(page, lambda: len(places(page, GREEN)) > 12 * 20)
    last: list[Any] = []
    same = 0

    def is_still() -> bool:
        """Looked at thrice: on a busy machine one picture may stay for longer than between two looks."""
        nonlocal last, same
        before, last = last, places(page, GREEN)
        same = same + 1 if before == last else 0
        return same == 3

    wait_for(page, is_still)
    left = min(last)
    page.mouse.click(*spot(page, left[0] + 0.006, left[1]))
    expect(part(page, "log")).to_contain_text("Mark applied")
    wait_for(page, lambda: len(places(page, MAGENTA)) > 20)
    page.mouse.click(*spot(page, 0.001, 0.001))
    expect(state_of(page)).to_contain_text("marked: [1]")


class Fingers:
    """One or more of them on the screen."""

    def __init__(self, page: Page) -> None:
        self.session = page.context.new_cdp_session(page)

    def draw(self, *path: list[tuple[float, float]]) -> None:
        """Put them where the first of the path says, move them along it, and lift them."""
        kinds = ["touchStart", *["touchMove"] * len(path[1:]), "touchEnd"]
        for kind, places in zip(kinds, [*path, []], strict=True):
            fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
            self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})


def test_on_a_phone_it_is_pinched_tapped_and_scrolled_past(site: Site, visit: Visit) -> None:
    phone = visit(
        site,
        viewport={"width": 390, "height": 844},
        has_touch=True,
        is_mobile=True,
        device_scale_factor=2,
        color_scheme="dark",
    ).log_in()
    page = plotted(phone)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert (
        page.evaluate("(({width, clientWidth}) => width / clientWidth)(document.querySelector('canvas'))")
        == 2
    )

    page.touchscreen.tap(*spot(page, share(25), share(25)))
    expect(hover(page)).to_contain_text("red")
    expect(state_of(page)).to_contain_text("added: [1]")

    x, y = spot(page, 0.5, 0.5)
    fingers = Fingers(page)
    fingers.draw(*([(x - apart, y), (x + apart, y)] for apart in (20, 30, 40, 60)))
    expect_pixel(page, share(25), share(25), [0, 0, 0, 0])
    scale = page.evaluate("visualViewport.scale")
    page.get_by_role("button", name="Fit").tap()
    expect_pixel(page, share(25), share(25), RED)
    assert scale == 1

    page.evaluate("scrollTo(0, 0)")
    x, y = spot(page, 0.5, 0.5)
    before = page.evaluate("scrollY")
    fingers.draw(*([(x, y - far)] for far in range(0, 160, 10)))
    page.wait_for_function("(before) => scrollY > before + 50", arg=before)
    expect(state_of(page)).to_contain_text("added: [1]")
    expect_pixel(page, share(25), share(25), RED)


def test_views_of_any_kind_of_nonsense_are_survived(ada: Visitor) -> None:
    page = ada.page
    ada.start("garbled", steps="60")
    wait_for(page, lambda: tick(page) > 60)
    page.get_by_role("button", name="Fit").click()  # there was something at 1e308
    wait_for(page, lambda: bool(places(page, RED)))
    expect(part(page, "canvas-error")).to_be_hidden()
    page.mouse.move(*spot(page, 0.5, 0.5))
    page.mouse.click(*spot(page, 0.4, 0.4))
    expect(part(page, "canvas-error")).to_be_hidden()


def test_light_and_dark_have_their_own_colours(ada: Visitor) -> None:
    page = plotted(ada)
    edge = share(0), 0.5
    seen = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        wait_for(page, lambda: pixel(page, *edge)[3] > 0 and pixel(page, *edge) not in seen)
        seen.append(pixel(page, *edge))
    assert sum(seen[0][:3]) > sum(seen[1][:3])


def test_a_page_of_the_simulations_own_hears_each_frame_and_commands(ada: Visitor) -> None:
    page = ada.page
    ada.start("web")
    expect(page.locator("#own")).to_have_text("0 marked")
    page.click("#mark")
    expect(page.locator("#own")).to_have_text("1 marked")
    page.get_by_role("button", name="Pause").click()
    expect(part(page, "pill")).to_have_text("paused")
    page.reload()  # there is one frame, which comes while the page is loaded
    expect(page.locator("#own")).to_have_text("1 marked")
    expect(part(page, "log")).to_contain_text("Mark applied")
