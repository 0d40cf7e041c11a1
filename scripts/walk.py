"""A person who was told nothing starts, steers and stops a run, by what can be read on the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page


class Walk:
    """One walk; each step is a picture in `folder` and a line that is printed."""

    def __init__(self, page: Page, folder: Path) -> None:
        from playwright.sync_api import expect

        self.page, self.folder, self.expect = page, folder, expect
        self.steps = 0
        folder.mkdir(parents=True, exist_ok=True)
        page.on("dialog", lambda dialog: dialog.accept())

    def whole(self) -> None:
        self.come()
        self.start()
        self.steer()
        self.command()
        self.stop()

    def come(self) -> None:
        page = self.page
        page.goto("/")
        self.step("comes, and is not logged in", page.get_by_role("heading", name="Start a run"))
        page.get_by_role("link", name="Log in").first.click()
        page.get_by_label("Username").fill("admin")
        page.get_by_label("Password").fill("admin")
        page.get_by_role("button", name="Log in").click()
        self.step("logs in, and sees the runs", page.get_by_role("heading", name="Runs"))

    def start(self) -> None:
        page = self.page
        page.get_by_role("link", name="Orbit", exact=True).and_(page.locator("#ls-start a")).click()
        bodies = page.get_by_label("Bodies")
        self.step("chooses a simulation, and reads what it asks for", bodies)
        bodies.fill("30")
        page.get_by_role("button", name="Start Orbit").click()
        self.tick_passes(0)
        self.step("starts it, and sees it run", page.get_by_text("running", exact=True))

    def steer(self) -> None:
        page = self.page
        self.press("Pause")
        self.step("pauses it", page.get_by_text("paused", exact=True).first)
        before = self.tick
        self.press("Step")
        self.tick_passes(before)
        self.step("lets it take one step", page.get_by_role("button", name="Resume"))
        page.get_by_label("Speed").first.select_option("2")
        self.step("makes it twice as fast", page.get_by_text("\N{MULTIPLICATION SIGN}2", exact=True).first)
        before = self.tick
        self.press("Resume")
        self.tick_passes(before)
        self.step("goes on", page.get_by_text("running", exact=True).first)
        page.get_by_role("spinbutton", name="Gravity").fill("-5")
        self.press("Set")
        self.step("changes a parameter", page.locator("#command-set-answer").get_by_text("Applied at tick"))

    def command(self) -> None:
        page = self.page
        form = page.get_by_role("group", name="Add", exact=True)
        form.get_by_label("X").fill("50")
        form.get_by_label("Y").fill("90")
        form.get_by_role("button").click()
        self.step("sends a command", page.locator("#command-add-answer").get_by_text("Applied at tick"))
        log = page.get_by_role("list", name="Events")
        self.step("finds it in the log", log.get_by_text(re.compile("Add")).first)

    def stop(self) -> None:
        self.press("Stop")
        self.step("stops it", self.page.get_by_text("This run has been stopped."))

    @property
    def tick(self) -> int:
        return int(self.page.locator('[data-ls="tick"]').inner_text() or 0)

    def tick_passes(self, tick: int) -> None:
        found = self.page.locator('[data-ls="tick"]')
        self.expect(found).not_to_have_text(re.compile(f"^(|{tick})$"))

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def step(self, told: str, seen: Locator) -> None:
        """Wait until that is seen; keep a picture of it."""
        self.expect(seen.first).to_be_visible()
        seen.first.scroll_into_view_if_needed()
        self.steps += 1
        path = self.folder / f"{self.steps:02} {told.split(',')[0]}.png".replace(" ", "-")
        self.page.screenshot(path=path)
        print(f"{self.steps:3}. {told}: {path}")
