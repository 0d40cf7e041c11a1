"""Takes the pictures of the documents from the sandbox, and walks through it as a new user.

`python -m scripts.screenshots` puts pictures into docs/pictures/ and each step of the walk into
var/walk/; with `--short` there is the walk, and one picture, which goes there, too.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts import png, services
from scripts.browsing import chromium, kilobytes, log_in, sandbox, visitor
from scripts.sandbox import BASE
from scripts.walk import Walk

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PICTURES = BASE / "docs" / "pictures"
WALK = BASE / "var" / "walk"
SIZES = {390: {"width": 390, "height": 844}, 1280: {"width": 1280, "height": 1000}}
SCHEMES = ("light", "dark")
MOST_MOVING, MOST = 800_000, 1_500_000  # bytes
TASKS = iter(["oak table", "bookshelf", "six chairs", "rocking horse"])  # a name is taken once
FRAMES, APART = 24, 250  # screenshots of the moving picture, ms between them
PART = {"x": 0, "y": 250, "width": 1280, "height": 740}  # of the page that is filmed


def part(page: Page, name: str) -> Any:
    return page.locator(f'[data-ls="{name}"]')


def opened(page: Page, label: str) -> None:
    """The page of the run of that simulation, once it shows frames."""
    from playwright.sync_api import expect

    page.goto("/livesim/")
    page.get_by_role("table").get_by_role("link", name=label, exact=True).click()
    expect(part(page, "tick")).to_have_text(re.compile(r"^[1-9]\d*$"))
    expect(part(page, "connection")).to_have_text("live")


def listed(page: Page) -> None:
    page.goto("/livesim/?simulation=orbit")
    page.get_by_label("Bodies").wait_for()


def drawn(label: str) -> Callable[[Page], None]:
    def act(page: Page) -> None:
        opened(page, label)
        page.wait_for_timeout(1500)  # a network finds its shape

    return act


def infected(page: Page) -> None:
    """An epidemic that has just begun."""
    page.goto("/livesim/?simulation=epidemic")
    page.get_by_label("Infectious").fill("0.35")
    page.get_by_label("Recovery").fill("0.04")
    page.get_by_label("Name of the run").fill("A village")
    page.get_by_role("button", name="Start Epidemic").click()
    page.wait_for_function("Number(document.querySelector('[data-ls=tick]')?.textContent) >= 12")


def told(page: Page) -> None:
    """The workshop takes messages: one is sent."""
    opened(page, "Workshop")
    form = page.get_by_role("group", name="Add", exact=True)
    form.get_by_label("Task").fill(next(TASKS))
    form.get_by_role("button").click()
    page.locator("#command-add-answer .ls-answer").wait_for()
    page.evaluate("scrollTo(0, 0)")


def worked(page: Page) -> None:
    """A job of seven seconds, half done."""
    page.goto("/livesim/?simulation=progrock")
    page.get_by_role("button", name="Start ProgRock").click()
    page.wait_for_function("document.querySelector('[data-ls=progress]')?.value > 0.4")


def plotted(page: Page) -> None:
    opened(page, "Workshop")
    card = page.locator(".ls-figures")
    card.scroll_into_view_if_needed()
    card.locator("canvas").first.wait_for()
    page.evaluate("document.querySelector('.ls-figures').scrollIntoView()")
    page.wait_for_timeout(1000)


SHOTS: dict[str, Callable[[Page], None]] = {
    "list": listed,
    "orbit": drawn("Orbit"),
    "epidemic": infected,
    "life": drawn("Life"),
    "workshop": told,
    "job": worked,
    "figures": plotted,
}


def take(browser: Browser, url: str, names: list[str], width: int, scheme: str, folder: Path) -> None:
    """Pictures of these pages, at one width and in one scheme."""
    options = {"viewport": SIZES[width], "color_scheme": scheme, "reduced_motion": "no-preference"}
    with visitor(browser, url, **options) as page:
        log_in(page)
        for name in names:
            SHOTS[name](page)
            path = folder / f"{name}-{width}-{scheme}.png"
            path.write_bytes(png.still(browser, page.screenshot()))
            print(f"{path.relative_to(BASE)}  {kilobytes(path)}")


def film(browser: Browser, url: str, path: Path) -> None:
    """The moving picture: an illness that goes through a village."""
    with visitor(browser, url, viewport=SIZES[1280], color_scheme="light") as page:
        log_in(page)
        infected(page)
        shots = []
        for _frame in range(FRAMES):
            shots.append(page.screenshot(clip=PART))
            page.wait_for_timeout(APART)
        path.write_bytes(png.moving(browser, shots, APART))
        print(f"{path.relative_to(BASE)}  {kilobytes(path)}")


def walked(browser: Browser, url: str) -> None:
    with visitor(browser, url, viewport=SIZES[1280]) as page:
        Walk(page, WALK).whole()


def all_pictures(browser: Browser, url: str) -> None:
    PICTURES.mkdir(exist_ok=True)
    for width in SIZES:
        for scheme in SCHEMES:
            take(browser, url, list(SHOTS), width, scheme, PICTURES)
    film(browser, url, PICTURES / "live.png")
    size = sum(path.stat().st_size for path in PICTURES.iterdir())
    if size > MOST or (PICTURES / "live.png").stat().st_size > MOST_MOVING:
        raise RuntimeError(f"the pictures are too large for the repository: {size} bytes; at most {MOST}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--only", help="names of pages, with commas: these pictures and nothing else")
    options = parser.parse_args()
    try:
        with sandbox() as url, chromium() as browser:
            if options.only:
                for width in SIZES:
                    for scheme in SCHEMES:
                        take(browser, url, options.only.split(","), width, scheme, PICTURES)
                return 0
            walked(browser, url)
            if options.short:
                take(browser, url, ["orbit"], 390, "dark", WALK)
            else:
                all_pictures(browser, url)
    except services.Missing as exc:
        sys.stderr.write(f"The screenshots need more than there is: {exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
