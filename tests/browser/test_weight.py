"""What a live page loads: script and style, in bytes before compression."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Response, expect

from tests.browser.conftest import Visitor
from tests.browser.site import Site

KB = 1024
ON_OPENING = 200 * KB
SCROLLED = 290 * KB
"""What draws the plots, and the tree of the state, comes when it is about to be seen."""


def weight(answers: list[Response]) -> dict[str, int]:
    """Bytes by file, but for what htmx' app adds where DEBUG is on."""
    kinds = ("script", "stylesheet")
    found = {each.url: len(each.body()) for each in answers if each.request.resource_type in kinds}
    return {url: size for url, size in found.items() if not url.endswith("django_htmx/django-htmx.js")}


def test_script_and_style_of_a_live_page_with_picture_and_figures(
    visit: Callable[..., Visitor], site: Site
) -> None:
    visitor = visit(site, viewport={"width": 1280, "height": 720}).log_in()
    page = visitor.page
    address = visitor.start("crowd", birds="100")
    page.goto("about:blank")
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    page.goto(address)
    expect(page.locator('[data-ls="connection"]')).to_have_text("live")
    page.wait_for_load_state("networkidle")
    on_opening = weight(answers)
    assert not [url for url in on_opening if "uPlot.esm" in url]
    assert sum(on_opening.values()) <= ON_OPENING, on_opening

    page.locator(".ls-figures").scroll_into_view_if_needed()
    expect(page.locator(".ls-plot canvas")).to_have_count(1)
    scrolled = weight(answers)
    assert sum(scrolled.values()) <= SCROLLED, scrolled
