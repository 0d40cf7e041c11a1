"""A browser and the sandbox on files of its own, for scripts that look at the pages as people do."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.sandbox import BASE, answers, running
from scripts.services import Missing, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
START_SECONDS = 120.0
WITHIN = 60_000  # ms in which what a script expects must be on the page
EXPECTED = re.compile(r"favicon|status of 4(22|04)")


@contextlib.contextmanager
def sandbox(extra: Mapping[str, str] | None = None) -> Iterator[str]:
    """The sandbox with a new database: its address, once it answers. `extra` goes into its environment."""
    with tempfile.TemporaryDirectory(prefix="livesim-sandbox-") as folder:
        port = free_port()
        own = {"PORT": str(port), "HOST": "127.0.0.1", "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3"}
        env = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        env |= own | dict(extra or {})
        with running([sys.executable, str(BASE / "scripts" / "sandbox.py")], env, grace=40) as process:
            url = f"http://127.0.0.1:{port}"
            deadline = time.monotonic() + START_SECONDS
            while not answers(f"{url}/livesim/"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the sandbox does not answer")
                time.sleep(0.1)
            yield url


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium of this machine; raises `Missing` where there is none."""
    from playwright.sync_api import expect, sync_playwright

    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise Missing(f"no browser: none of {', '.join(BROWSERS)} on the PATH")
    expect.set_options(timeout=WITHIN)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def visitor(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """The page of a person whose relative addresses begin at `url`; raises where the browser complained."""
    context = browser.new_context(base_url=url, **options)
    context.set_default_timeout(WITHIN)
    said: list[str] = []
    context.on("weberror", lambda error: said.append(str(error.error)))
    context.on("console", lambda told: said.append(told.text) if told.type in ("error", "warning") else None)
    yield context.new_page()
    context.close()
    if complaints := [text for text in said if not EXPECTED.search(text)]:
        raise RuntimeError(f"the browser complained: {complaints}")


def log_in(page: Page) -> None:
    """As admin of the sandbox."""
    page.goto("/admin/login/?next=/livesim/")
    page.get_by_label("Username").fill("admin")
    page.get_by_label("Password").fill("admin")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/livesim/")


def kilobytes(path: Path) -> str:
    return f"{path.stat().st_size / 1000:.0f} KB"


def revision() -> str:
    """The commit that is measured, where there is a repository."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=BASE, capture_output=True, text=True)
    return done.stdout.strip()
