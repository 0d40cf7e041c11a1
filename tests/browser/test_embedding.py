"""Runs within a host's own page, and in frames on another site's."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Locator, Page, WebSocket, expect

from tests.browser.conftest import WITHIN, Visitor, opened
from tests.browser.site import Site
from tests.browser.test_live_page import state_of

Visit = Callable[..., Visitor]
HTMX = pytest.mark.parametrize("htmx", ["2", "4"])


def run_id(address: str) -> str:
    return address.rstrip("/").rsplit("/", 1)[-1]


def go(visitor: Visitor, **asked: str | list[str]) -> list[WebSocket]:
    """Open the host's page; the sockets that it opens."""
    sockets: list[WebSocket] = []
    visitor.page.goto("about:blank")  # the page that was there opens none any more
    visitor.page.on("websocket", lambda socket: sockets.append(socket))
    visitor.page.goto(f"{visitor.site.url}/host/?{urlencode(asked, doseq=True)}")
    return sockets


def place(page: Page, kind: str, number: int = 0) -> Locator:
    return page.locator(f'[data-livesim-embedded="{kind}"]').nth(number)


def part(within: Locator, name: str) -> Locator:
    return within.locator(f'[data-ls="{name}"]')


def wait_until(page: Page, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN / 1000
    while not condition():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def press(within: Locator, name: str) -> None:
    within.get_by_role("button", name=name, exact=True).click()


def test_panels_are_dark_as_the_browser_asks_but_on_a_site_that_is_always_light(ada: Visitor) -> None:
    run = run_id(ada.start("counter"))
    ada.page.emulate_media(color_scheme="dark")
    go(ada, panel=run)
    panel = place(ada.page, "panel")
    expect(panel).to_have_css("background-color", "rgb(16, 20, 26)")
    expect(panel).to_have_css("color-scheme", "light dark")
    ada.page.evaluate("document.documentElement.classList.add('ls-light')")
    expect(panel).to_have_css("background-color", "rgb(244, 245, 248)")
    expect(panel).to_have_css("color-scheme", "light")


@HTMX
def test_a_panel_does_what_the_live_page_does(ada: Visitor, htmx: str) -> None:
    run = run_id(ada.start("counter", start="1000"))
    go(ada, panel=run, htmx=htmx)
    page, panel = ada.page, place(ada.page, "panel")
    assert page.evaluate("htmx.version")[0] == htmx
    expect(part(panel, "connection")).to_have_text("live")
    expect(state_of(panel)).to_contain_text(re.compile(r"value: 1[0-9]{3}"))
    expect(page).to_have_title("A host's own page")

    press(panel, "Pause")
    expect(part(panel, "pill")).to_have_text("paused")
    expect(panel.locator(".ls-control-answer")).to_contain_text("Applied at tick")
    before = int(part(panel, "tick").inner_text())
    for _ in range(3):
        press(panel, "Step")
    expect(part(panel, "tick")).to_have_text(str(before + 3))

    add = panel.locator("form", has=page.get_by_role("button", name="Send “Add”"))
    add.get_by_label("n", exact=False).fill("50000")
    press(panel, "Send “Add”")
    expect(add.locator("+ .ls-command-answer .ls-answer")).to_contain_text(
        re.compile(r"^Applied at tick \d+\. → 51")
    )
    decline = panel.locator("form", has=page.get_by_role("button", name="Send “Decline”"))
    decline.locator("input[type=text], textarea").first.fill("not today")
    press(panel, "Send “Decline”")
    expect(decline.locator("+ .ls-command-answer .ls-answer")).to_have_text("Refused: not today")

    press(panel, "Resume")
    expect(part(panel, "pill")).to_have_text("running")
    page.on("dialog", lambda dialog: dialog.accept())
    press(panel, "Stop")
    expect(part(panel, "pill")).to_have_text("stopped")
    expect(panel.locator(".ls-facts")).to_contain_text("This run has been stopped.")
    expect(page.locator("main")).to_be_visible()  # what the host has its own elements inherit is not for ours
    expect(page.get_by_role("heading", name="A host's own page")).to_be_visible()


@HTMX
def test_bad_arguments_are_shown_at_their_field(ada: Visitor, htmx: str) -> None:
    run = run_id(ada.start("painted", members="3"))
    go(ada, panel=run, htmx=htmx)
    page, panel = ada.page, place(ada.page, "panel")
    field = panel.locator("[id$=id_place_spot]")
    field.fill('{"x":')
    press(panel, "Send “Place”")
    expect(panel.locator("[id$=id_place_spot_error]")).to_contain_text("JSON")
    expect(field).to_have_value('{"x":')
    field.fill('{"x": 1}')
    press(panel, "Send “Place”")
    expect(panel.locator("[id$=command-place-answer] .ls-answer")).to_contain_text("Applied at tick")
    expect(panel.locator("[id$=id_place_spot_error]")).to_have_count(0)
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))


@HTMX
def test_live_parameters_are_set_and_follow(ada: Visitor, htmx: str) -> None:
    run = run_id(ada.start("bath"))
    go(ada, panel=[run, run], htmx=htmx)
    one, other = place(ada.page, "panel"), place(ada.page, "panel", 1)
    expect(part(one, "connection")).to_have_text("live")
    slider = one.locator("[data-ls-parameters] input[type=range]").first
    slider.focus()
    slider.press("Home")
    least = slider.input_value()
    expect(one.locator("[data-ls-parameters] .ls-answer").first).to_contain_text("Applied at tick")
    expect(other.locator("[data-ls-parameters] input[type=range]").first).to_have_value(least)


@HTMX
def test_one_socket_is_enough_for_all_places_of_a_run(ada: Visitor, htmx: str) -> None:
    run = run_id(ada.start("gauge"))
    sockets = go(ada, panel=run, controls=run, plot=run, figure="value", htmx=htmx)
    page = ada.page
    expect(part(place(page, "panel"), "connection")).to_have_text("live")
    place(page, "plot").scroll_into_view_if_needed()
    expect(place(page, "plot").locator(".ls-plot")).to_have_count(1)
    expect(place(page, "plot").locator(".ls-plot-name")).to_have_text("value")
    expect(place(page, "plot").locator(".ls-plot-value")).to_have_text(re.compile(r"\d"))
    press(place(page, "controls"), "Pause")
    expect(part(place(page, "controls"), "pill")).to_have_text("paused")
    expect(place(page, "controls").locator(".ls-control-answer")).to_contain_text("Applied at tick")
    expect(part(place(page, "panel"), "pill")).to_have_text("paused")
    expect(place(page, "panel").locator(".ls-control-answer")).to_be_empty()
    assert len(sockets) == 1
    expect(part(place(page, "panel"), "viewers")).to_have_text("1")


@HTMX
def test_two_runs_side_by_side_do_not_mix(ada: Visitor, htmx: str) -> None:
    runs = [run_id(ada.start("counter", start=start)) for start in ("1000", "700000")]
    sockets = go(ada, panel=runs, htmx=htmx)
    page = ada.page
    one, other = place(page, "panel"), place(page, "panel", 1)
    expect(state_of(one)).to_contain_text(re.compile(r"value: 1\d{3}(?!\d)"))
    expect(state_of(other)).to_contain_text(re.compile(r"value: 7\d{5}(?!\d)"))
    press(other, "Pause")
    expect(part(other, "pill")).to_have_text("paused")
    expect(other.locator(".ls-control-answer")).to_contain_text("Applied at tick")
    expect(one.locator(".ls-control-answer")).to_be_empty()
    expect(part(one, "pill")).to_have_text("running")
    one.locator("[id$=id_add_n]").fill("5000")
    press(one, "Send “Add”")
    expect(one.locator("[id$=command-add-answer]")).to_contain_text("Applied at tick")
    expect(other.locator("[id$=command-add-answer]")).to_be_empty()
    expect(state_of(one)).to_contain_text(re.compile(r"value: [67]\d{3}(?!\d)"))
    expect(state_of(other)).to_contain_text(re.compile(r"value: 7\d{5}(?!\d)"))
    page.on("dialog", lambda dialog: dialog.accept())
    press(other, "Stop")
    expect(other.locator(".ls-facts")).to_contain_text("This run has been stopped.")
    expect(one.locator(".ls-facts")).not_to_contain_text("stopped")
    assert len(sockets) == 2


@HTMX
def test_a_key_acts_where_the_focus_is(ada: Visitor, htmx: str) -> None:
    runs = [run_id(ada.start("counter")) for _ in range(2)]
    go(ada, panel=runs, htmx=htmx)
    page = ada.page
    one, other = place(page, "panel"), place(page, "panel", 1)
    for each in (one, other):
        expect(part(each, "connection")).to_have_text("live")
    page.keyboard.press("+")
    other.get_by_role("button", name="Step", exact=True).focus()
    page.keyboard.press("+")
    expect(part(other, "speed")).to_have_text("\N{MULTIPLICATION SIGN}2")
    expect(part(one, "speed")).to_have_text("\N{MULTIPLICATION SIGN}1")
    other.get_by_label("Speed").select_option("5")
    expect(part(other, "speed")).to_have_text("\N{MULTIPLICATION SIGN}5")


@HTMX
def test_what_htmx_replaces_is_mounted_anew_and_leaves_its_socket(ada: Visitor, htmx: str) -> None:
    run = run_id(ada.start("counter"))
    sockets = go(ada, panel=run, htmx=htmx)
    page = ada.page
    expect(part(place(page, "panel"), "connection")).to_have_text("live")
    place(page, "panel").evaluate("panel => { panel.dataset.seen = 'before'; }")
    page.get_by_role("button", name="Again").click()
    expect(place(page, "panel")).not_to_have_attribute("data-seen", "before")
    expect(part(place(page, "panel"), "viewers")).to_have_text("1")
    expect(part(place(page, "panel"), "connection")).to_have_text("live")
    press(place(page, "panel"), "Pause")
    expect(part(place(page, "panel"), "pill")).to_have_text("paused")
    assert len(sockets) == 1 and not sockets[0].is_closed()  # the new panel took it over
    page.evaluate("document.querySelector('[data-livesim-embedded]').remove()")
    page.evaluate("import('/static/django_livesim/livesim.js').then(({ mount }) => mount())")
    wait_until(page, sockets[0].is_closed)


def test_a_figure_that_is_not_there_is_told(ada: Visitor) -> None:
    run = run_id(ada.start("gauge"))
    go(ada, plot=run, figure="</script><b>no</b>")
    expect(place(ada.page, "plot")).to_contain_text(re.compile("no figure|No figures"))
    expect(ada.page.locator("b")).to_have_count(0)


def test_a_stranger_gets_a_note_where_others_get_a_run(ada: Visitor, visit: Visit) -> None:
    run = run_id(ada.start("counter"))
    stranger = visit(ada.site)
    sockets = go(stranger, panel=run, controls=run, plot=run, figure="value")
    expect(stranger.page.locator('[data-livesim-embedded="none"]')).to_have_count(3)
    assert sockets == []


@pytest.fixture
def pages(tmp_path: Path) -> Iterator[Callable[[], str]]:
    """`pages()` begins another site, of which each page is what is in the folder, and gives its origin."""
    servers: list[ThreadingHTTPServer] = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    def begin() -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_frame_shows_a_public_run_where_it_may_and_nothing_elsewhere(
    tmp_path: Path, visit: Visit, pages: Callable[[], str]
) -> None:
    listed, other = pages(), pages()
    site = Site(tmp_path)
    site.env["LIVESIM"] = f'{{"EMBED_ORIGINS": ["{listed}"]}}'
    for each in opened(site):
        address = visit(each).log_in().start("gauge", public=True)
        frame = f'<iframe src="{address}embed/" width="900" height="700"></iframe>'
        (tmp_path / "page.html").write_text(f"<!doctype html><title>another site</title>{frame}")
        stranger = visit(each)
        stranger.allowed.append(re.compile("frame-ancestors|Refused to frame|Framing"))
        stranger.page.goto(f"{listed}/page.html")
        shown = stranger.page.frame_locator("iframe")
        expect(shown.locator('[data-ls="connection"]')).to_have_text("live")
        expect(shown.locator('[data-ls="state"]')).to_contain_text("value")
        expect(shown.locator(".ls-plot").first).to_be_visible()
        expect(shown.locator("form, .ls-steers")).to_have_count(0)
        stranger.page.goto(f"{other}/page.html")
        expect(shown.locator("body")).not_to_contain_text("gauge")
        expect(shown.locator('[data-ls="connection"]')).to_have_count(0)
