"""How smoothly a live page draws, and how soon: `python -m benchmarks.page [--short]`.

Chromium opens a run of 1,000 points that move, 20 frames a second, with 20 plots, all of them in view, and
writes a trace; then, in the sandbox, a page is opened again and again until its first frame is drawn.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from typing import TYPE_CHECKING

from benchmarks.page.trace import CATEGORIES, Tasks, tasks
from scripts import services
from scripts.browsing import chromium, log_in, sandbox, visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TALL = {"width": 1280, "height": 3200}
PLOTS = 20
COUNT = """
  const clear = CanvasRenderingContext2D.prototype.clearRect;
  window.drawn = 0;
  window.frames_at = [];
  CanvasRenderingContext2D.prototype.clearRect = function (...box) {
    if (this.canvas.dataset.ls === "canvas") {
      window.drawn += 1;
      if (window.drawn === 1) requestAnimationFrame(() => (window.first = performance.now()));
    }
    return clear.apply(this, box);
  };
"""
"""Counts the times that the picture is drawn anew, and notes when it was first shown."""


def opened(page: Page, label: str) -> str:
    """The address of the run of that simulation."""
    log_in(page)
    link = page.get_by_role("table").get_by_role("link", name=label, exact=True)
    return str(link.get_attribute("href"))


def heap(page: Page) -> float:
    """MB that scripts hold, after what nobody needs is gone."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    used: float = session.send("Runtime.getHeapUsage")["usedSize"] / 1e6
    session.detach()
    return used


def smoothness(browser: Browser, seconds: float) -> None:
    """Print how often it draws, and its longest task."""
    extra = {"DJANGO_SETTINGS_MODULE": "benchmarks.page.settings"}
    with sandbox(extra) as url, visitor(browser, url, viewport=TALL) as page:
        page.add_init_script(COUNT)
        address = opened(page, "Flock")
        page.goto(address)
        page.wait_for_function(f"document.querySelectorAll('.ls-plot canvas').length === {PLOTS}")
        page.wait_for_timeout(2000)
        before, drawn = heap(page), page.evaluate("[window.drawn, performance.now()]")
        page.wait_for_timeout(seconds * 1000)
        then = page.evaluate("[window.drawn, performance.now()]")
        rate = (then[0] - drawn[0]) / (then[1] - drawn[1]) * 1000
        grown = heap(page) - before
        browser.start_tracing(page=page, categories=CATEGORIES)
        page.wait_for_timeout(seconds * 1000)
        tell(rate, grown, seconds, tasks(browser.stop_tracing()))


def tell(rate: float, grown: float, seconds: float, found: Tasks) -> None:
    (clock, cpu), (long, heavy) = found.longest, found.long
    print(f"\n1,000 points, 20 frames a second, 20 plots in view, {seconds:.0f} s\n")
    print("| | |\n|---|---:|")
    print(f"| pictures drawn a second | {rate:.1f} |")
    print(f"| longest task, ms by the clock | {clock:.1f} |")
    print(f"| longest task, ms of CPU | {cpu:.1f} |")
    print(f"| tasks over 50 ms, by the clock and of CPU | {long} and {heavy} |")
    print(f"| main thread busy | {found.share / seconds / 10:.0f}% |")
    print(f"| heap, grown by, MB | {grown:.2f} |")
    print(f"| load of the machine | {os.getloadavg()[0]:.1f} |")
    within = ", ".join(f"{name} {spent:.1f}" for name, spent in found.within.items())
    print(f"\nIn the longest task: {within}")


def first_frames(browser: Browser, times: int) -> None:
    """Print how long it takes from asking for the page until its first picture; nothing is cached."""
    took = []
    with sandbox() as url:
        first_frame(browser, url)  # whose run may not have been set up yet
        for _time in range(times):
            took.append(first_frame(browser, url))
    print(f"\nFirst frame, ms after navigation, the sandbox's orbit, {times} times\n")
    print("| median | least | most |\n|---:|---:|---:|")
    print(f"| {statistics.median(took):.0f} | {min(took):.0f} | {max(took):.0f} |")


def first_frame(browser: Browser, url: str) -> float:
    """In ms, for somebody who comes for the first time."""
    with visitor(browser, url) as page:
        address = opened(page, "Orbit")
        page.add_init_script(COUNT)
        page.goto(address)
        page.wait_for_function("window.first !== undefined")
        return float(page.evaluate("window.first"))


def main() -> int:
    """0, also where the machine was too slow; what does not work at all raises."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--short", action="store_true", help="for two seconds, and two pages")
    options = parser.parse_args()
    try:
        with chromium() as browser:
            smoothness(browser, 2 if options.short else 10)
            first_frames(browser, 2 if options.short else 5)
    except services.Missing as exc:
        sys.stderr.write(f"skipped: the benchmark of the page: {exc}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
