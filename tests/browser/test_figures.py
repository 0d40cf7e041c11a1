"""The plots of a run: history, cursor, zoom, hold, files; and what is there without scripts."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Locator, Page, Response, expect

from tests.browser.conftest import LOST, WITHIN, Visitor
from tests.browser.simulations import HOSTILE
from tests.browser.site import Site
from tests.browser.test_live_page import tick

Visit = Callable[..., Visitor]


def plot(page: Page, number: int = 0) -> Locator:
    return page.locator(".ls-plot").nth(number)


def value(page: Page, number: int = 0) -> Locator:
    return plot(page, number).locator(".ls-plot-value")


def at(page: Page, number: int = 0) -> Locator:
    return plot(page, number).locator(".ls-plot-at")


def button(page: Page, name: str) -> Locator:
    return page.locator(".ls-figures").get_by_role("button", name=name, exact=True)


def point(page: Page, share: float) -> None:
    """Move to a place along the first plot, from 0 to 1."""
    plot(page).scroll_into_view_if_needed()
    box = plot(page).locator(".u-over").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + share * (box["width"] - 1), box["y"] + box["height"] / 2)


def tick_at(page: Page, share: float) -> int:
    point(page, share)
    expect(at(page)).to_have_text(re.compile(r"^tick [\d,]+"))
    found = re.match(r"tick ([\d,]+)", at(page).inner_text())
    assert found is not None
    return int(found[1].replace(",", ""))


def expect_plots(page: Page, number: int = 2) -> None:
    expect(page.locator(".ls-plot canvas")).to_have_count(number)
    expect(value(page)).to_have_text(re.compile(r"\d"))


def expect_history(page: Page) -> None:
    """What was before the page was opened comes a moment after the newest."""
    first = stored(page)["ticks"][0]
    wait(lambda: tick_at(page, 0) == first, page)
    page.mouse.move(0, 0)
    expect(at(page)).to_have_text("")


def expect_drawn(page: Page) -> None:
    """What was asked for before is drawn with the next frame."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def wait(condition: Callable[[], Any], page: Page) -> Any:
    deadline = time.monotonic() + WITHIN / 1000
    while not (found := condition()):
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    return found


def stored(page: Page) -> dict[str, Any]:
    answer = page.context.request.get(f"{page.url.partition('?')[0]}series/")
    told: dict[str, Any] = answer.json()
    return told


def open_running(visitor: Visitor, **params: str) -> Page:
    """The page of a run that has had figures for some seconds before it was opened."""
    page = visitor.page
    visitor.start("meters", **params)
    address = page.url
    page.goto(f"{visitor.site.url}/livesim/")
    wait(lambda: len(_series(page, address)["ticks"]) >= 4, page)
    page.goto(address)
    return page


def _series(page: Page, address: str) -> dict[str, Any]:
    told: dict[str, Any] = page.context.request.get(f"{address}series/").json()
    return told


def test_history_from_before_the_page_was_opened_and_what_comes(ada: Visitor) -> None:
    page = open_running(ada)
    expect_plots(page)
    first = stored(page)["ticks"][0]
    wait(lambda: tick_at(page, 0) == first, page)  # history comes a moment after the newest
    expect(plot(page).locator(".ls-plot-name")).to_have_text(HOSTILE)
    expect(plot(page, 1).locator(".ls-plot-at")).to_have_text(re.compile(r"^tick "))  # one cursor for all
    page.mouse.move(0, 0)
    expect(at(page)).to_have_text("")
    shown = value(page).inner_text()
    expect(value(page)).not_to_have_text(shown)
    label = plot(page).locator("[role=img]").get_attribute("aria-label")
    assert label is not None and re.fullmatch(re.escape(HOSTILE) + r": [\d,]+ at tick \d+", label)


def test_hold_lets_them_stand_still_and_keeps_what_comes(ada: Visitor) -> None:
    page = open_running(ada)
    expect_plots(page)
    expect_history(page)
    button(page, "Hold").click()
    expect(button(page, "Hold")).to_have_attribute("aria-pressed", "true")
    expect_drawn(page)
    shown, last = value(page).inner_text(), tick_at(page, 1)
    page.mouse.move(0, 0)
    wait(lambda: tick(page) > last + 60, page)
    assert (value(page).inner_text(), tick_at(page, 1)) == (shown, last)
    button(page, "Hold").click()
    page.mouse.move(0, 0)
    expect(value(page)).not_to_have_text(shown)
    assert tick_at(page, 1) > last + 15
    assert tick_at(page, 0.99) > last  # what came meanwhile is there


def test_zoom_by_drag_and_back_by_double_click(ada: Visitor) -> None:
    page = open_running(ada)
    expect_plots(page)
    expect_history(page)
    button(page, "Hold").click()
    expect_drawn(page)
    first, last = tick_at(page, 0), tick_at(page, 1)
    expect(button(page, "Show all")).to_be_hidden()
    point(page, 0.25)
    page.mouse.down()
    point(page, 0.4)
    point(page, 0.75)
    page.mouse.up()
    expect(button(page, "Show all")).to_be_visible()
    expect_drawn(page)
    left, right = tick_at(page, 0), tick_at(page, 1)
    assert first < left < right < last
    expect(plot(page, 1).locator(".ls-plot-at")).to_have_text(at(page).inner_text())
    plot(page).locator(".u-over").dblclick()
    expect(button(page, "Show all")).to_be_hidden()
    expect_drawn(page)
    assert tick_at(page, 0) == first
    button(page, "Zoom in").click()
    expect_drawn(page)
    assert first < tick_at(page, 0)
    assert tick_at(page, 1) == last
    button(page, "Show all").click()
    expect_drawn(page)
    assert tick_at(page, 0) == first


def test_the_newest_half_goes_along(ada: Visitor) -> None:
    page = open_running(ada)
    expect_plots(page)
    expect_history(page)
    button(page, "Zoom in").click()
    expect_drawn(page)
    before = tick_at(page, 0.02)
    page.mouse.move(0, 0)
    wait(lambda: tick_at(page, 0.02) > before, page)


def test_along_time(ada: Visitor) -> None:
    page = open_running(ada)
    expect_plots(page)
    button(page, "Time").click()
    expect(button(page, "Time")).to_have_attribute("aria-pressed", "true")
    point(page, 0)
    expect(at(page)).to_have_text(re.compile(r"^tick \d+, .*\d:\d\d"))
    button(page, "Time").click()
    point(page, 0.1)
    expect(at(page)).to_have_text(re.compile(r"^tick [\d,]+$"))


WRITTEN = """
    window.written = new Map();
    const { fillText } = CanvasRenderingContext2D.prototype;
    CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        const plot = this.canvas.closest(".ls-plot");
        if (plot) {
            const name = plot.querySelector(".ls-plot-name").textContent;
            window.written.set(name, [...(window.written.get(name) ?? []), text]);
        }
        return fillText.call(this, text, ...rest);
    };
"""
"""Notes what is written into plots, which is pixels afterwards."""

SEVEN_MINUTES = """
from datetime import timedelta
from django.utils import timezone
from django_livesim.models import Run, Sample
run = Run.objects.get(pk="{run}")
Sample.objects.filter(run=run).delete()
for n in range(85):
    sample = Sample.objects.create(run=run, tick=n + 1, values={{"in hand": 4 + n // 80, "waste": n / 7}})
    at = timezone.now().replace(second=30) - timedelta(seconds=5 * (85 - n))
    Sample.objects.filter(pk=sample.pk).update(created_at=at)
"""


def test_axes_say_what_they_count_and_whole_numbers_have_whole_labels(ada: Visitor) -> None:
    page = ada.page
    page.add_init_script(WRITTEN)
    ada.start("meters")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop").click()
    expect(page.locator('[data-ls="pill"]')).to_have_text("stopped")
    run = page.url.rstrip("/").rpartition("/")[2]
    ada.site.manage("shell", "-c", SEVEN_MINUTES.format(run=run))
    page.reload()
    expect_plots(page)

    def texts(name: str) -> list[str]:
        found: list[str] = page.evaluate("(name) => window.written.get(name) ?? []", name)
        return found

    wait(lambda: texts("in hand") and texts("waste"), page)
    assert "tick" in texts("in hand")
    assert {"4", "5"} <= set(texts("in hand"))
    assert not [text for text in texts("in hand") if "." in text]
    page.evaluate("window.written.clear()")
    button(page, "Time").click()
    wait(lambda: "time" in texts("waste"), page)
    assert len({text for text in texts("waste") if ":" in text}) >= 3


def test_files(ada: Visitor, tmp_path: Path) -> None:
    page = open_running(ada)
    expect_plots(page)
    with page.expect_download() as download:
        plot(page, 1).get_by_role("button", name="Save the plot of meter 00 as a picture").click()
    assert download.value.suggested_filename == "meter-00.png"
    download.value.save_as(tmp_path / "plot.png")
    picture = (tmp_path / "plot.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 1000
    with page.expect_download() as download:
        page.locator(".ls-figures").get_by_role("link", name="CSV").click()
    assert re.fullmatch(r"meters-[0-9a-f]{8}\.csv", download.value.suggested_filename)
    download.value.save_as(tmp_path / "figures.csv")
    with (tmp_path / "figures.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["tick", "time", HOSTILE, "meter 00"]
    assert len(rows) >= 4 and rows[0][2] == rows[0][0]


def test_of_many_figures_some_are_shown_at_first(ada: Visitor) -> None:
    page = open_running(ada, figures="23")
    expect(page.locator(".ls-plot")).to_have_count(20)
    expect(value(page, 19)).to_have_text(re.compile(r"\d"))
    expect(plot(page, 19).locator("canvas")).to_have_count(0)  # it is not in view
    plot(page, 19).scroll_into_view_if_needed()
    expect(plot(page, 19).locator("canvas")).to_have_count(1)
    page.get_by_role("button", name="Show 3 more").click()
    expect(page.locator(".ls-plot")).to_have_count(23)
    expect(page.get_by_role("button", name=re.compile("Show . more"))).to_have_count(0)


def test_figures_that_fail_are_said_to(ada: Visitor) -> None:
    page = open_running(ada)
    expect_plots(page)
    page.click("#send-toggle")
    note = page.locator(".ls-figures [role=status]")
    expect(note).to_have_text("No figures: metrics() raised ValueError")
    page.click("#send-toggle")
    expect(note).to_be_hidden()


def test_a_simulation_without_figures_loads_nothing_for_plots(ada: Visitor) -> None:
    asked: list[str] = []
    ada.page.on("request", lambda request: asked.append(request.url))
    ada.start("counter")
    expect(ada.page.locator('[data-ls="connection"]')).to_have_text("live")
    expect(ada.page.locator(".ls-figures")).to_have_count(0)
    assert [url for url in asked if url.endswith(".js") and ("uplot" in url or "plots" in url)] == []


def test_in_other_colours_they_are_drawn_anew(ada: Visitor) -> None:
    page = open_running(ada)
    expect_plots(page)

    def drawn_in(*colour: int) -> bool:
        """Whether some of the first plot is, nearly, of that colour."""
        found: bool = page.evaluate(
            """(colour) => {
                const canvas = document.querySelector(".ls-plot canvas");
                if (!canvas) return false;
                const copy = new OffscreenCanvas(canvas.width, canvas.height);
                const context = copy.getContext("2d", { willReadFrequently: true });
                context.drawImage(canvas, 0, 0);
                const { data } = context.getImageData(0, 0, copy.width, copy.height);
                const near = (i) => colour.every((part, k) => Math.abs(part - data[i + k]) < 12);
                let count = 0;
                for (let i = 0; i < data.length; i += 4) count += data[i + 3] > 128 && near(i);
                return count > 50;
            }""",
            colour,
        )
        return found

    for scheme, colour in (("light", (40, 88, 200)), ("dark", (141, 176, 255)), ("light", (40, 88, 200))):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        wait(lambda colour=colour: drawn_in(*colour), page)


def test_without_javascript_the_newest_are_in_a_table(ada: Visitor, visit: Visit) -> None:
    address = ada.start("meters", public=True)
    wait(lambda: len(_series(ada.page, address)["ticks"]) >= 2, ada.page)
    plain = visit(ada.site, java_script_enabled=False)
    plain.page.goto(address)
    table = plain.page.locator(".ls-figures-table")
    expect(table.locator("th")).to_have_text([HOSTILE, "meter 00"])
    expect(table.locator("td").first).to_have_text(re.compile(r"^[\d,]+$"))
    expect(plain.page.get_by_role("button", name="Hold")).to_be_hidden()
    answer = plain.context.request.get(f"{address}series/?format=csv")
    assert answer.text().startswith("tick,time,")


def test_what_was_missed_while_the_server_was_away_is_asked_for(redis_site: Site, visit: Visit) -> None:
    redis_site.start_worker()
    ada = visit(redis_site).log_in()
    ada.allowed.append(LOST)
    asked: list[tuple[int | None, dict[str, Any]]] = []

    def note(response: Response) -> None:
        address = urlsplit(response.url)
        if address.path.endswith("/series/") and response.ok:
            since = parse_qs(address.query).get("since")
            asked.append((int(since[0]) if since else None, json.loads(response.body())))

    page = open_running(ada)
    page.on("response", note)
    expect_plots(page)
    wait(lambda: page.locator("[data-connection=open]").count(), page)
    page.wait_for_timeout(1000)
    redis_site.stop()
    expect(page.locator("[data-connection=open]")).to_have_count(0)
    last = int(plot(page).locator("[role=img]").get_attribute("aria-label").rpartition(" ")[2])  # type: ignore[union-attr]
    page.wait_for_timeout(4000)
    asked.clear()
    redis_site.start()
    expect(page.locator('[data-ls="connection"]')).to_have_text("live")
    since, told = wait(lambda: [each for each in asked if each[1]["ticks"]], page)[0]
    assert since is not None and abs(since - last) <= 40
    missed = [tick for tick in told["ticks"] if last < tick < last + 80]
    assert len(missed) >= 2
    expect(plot(page).locator("[role=img]")).not_to_have_attribute(
        "aria-label", re.compile(f" at tick {last}$")
    )
    assert last < tick_at(page, 0.9) or tick_at(page, 0.5) > 0


def test_a_history_that_cannot_be_read_is_asked_for_again(ada: Visitor) -> None:
    page = ada.page
    ada.allowed.append(re.compile("status of 503"))
    ada.start("meters")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop").click()
    expect(page.locator('[data-ls="pill"]')).to_have_text("stopped")
    page.route("**/series/*", lambda route: route.fulfill(status=503, body="{}"))
    page.reload()
    note = page.locator(".ls-figures [role=status]")
    expect(note).to_have_text("The history of the figures cannot be read; it is asked for again.")
    expect(page.locator(".ls-figures-table")).to_be_visible()
    page.unroute("**/series/*")
    expect_plots(page)
    expect(note).to_be_hidden()
    expect(page.locator(".ls-figures-table")).to_be_hidden()
