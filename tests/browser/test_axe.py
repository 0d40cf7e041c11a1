"""The pages by the rules of axe-core, which finds what people with other senses or hands cannot use."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import LOST, Visitor
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, part
from tests.services import missing

Visit = Callable[..., Visitor]

AXE = "axe-core@4.11.0"


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The script: of `AXE_CORE`, else as npm gives it."""
    if given := os.environ.get("AXE_CORE"):
        return Path(given).read_text()
    npm = shutil.which("npm")
    if npm is None:
        missing("axe", "npm, which gives axe-core, is not on the PATH; or name axe.min.js in AXE_CORE")
    folder = tmp_path_factory.mktemp("axe")
    command = [npm, "pack", AXE, "--silent", "--fetch-retries=1", "--fetch-timeout=20000"]
    try:
        packed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        missing("axe", f"npm has not given {AXE} within two minutes")
    if packed.returncode != 0:
        missing("axe", f"npm does not give {AXE}: {packed.stderr.strip()[-300:]}")
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def problems(page: Page, axe: str) -> list[Any]:
    """What breaks a rule: the rule, and the elements that do."""
    page.evaluate(f"{axe}; undefined")
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        (each["id"], each["help"], [node["html"][:200] for node in each["nodes"]])
        for each in found["violations"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_live_page(site: Site, visit: Visit, axe: str, scheme: str) -> None:
    ada = visit(site, color_scheme=scheme).log_in()
    page = ada.page
    ada.start("counter")
    expect_moving(page)
    page.click("#send-add")
    page.fill("#id_decline_why", "because")
    page.click("#send-decline")
    expect(part(page, "log")).to_contain_text("Decline refused")
    page.fill("#ls-find", "log")
    expect(part(page, "found")).to_have_text("1 of 1")
    page.get_by_text("Latency").click()
    page.get_by_role("button", name="Pause").click()  # else frames come while it is looked at
    expect(part(page, "pill")).to_have_text("paused")
    expect(page.locator(".ls-changed")).to_have_count(0)  # what was marked as changed is so no more
    page.wait_for_timeout(2000)
    assert problems(page, axe) == []
    part(page, "keys-open").click()
    assert problems(page, axe) == []


def test_the_live_page_of_a_job_and_of_what_ended(ada: Visitor, axe: str) -> None:
    page = ada.page
    ada.start("encode", lines="5")
    expect(part(page, "pill")).to_have_text("finished")
    expect(page.locator(".ls-outcome")).to_be_visible()
    assert problems(page, axe) == []
    ada.start("painted", members="3")
    expect_moving(page)
    page.get_by_role("button", name="Pause").click()
    expect(part(page, "pill")).to_have_text("paused")
    assert problems(page, axe) == []


def test_the_live_page_of_a_guest_on_a_phone(ada: Visitor, visit: Visit, axe: str) -> None:
    address = ada.start("counter", public=True)
    guest = visit(ada.site, viewport={"width": 390, "height": 844})
    guest.page.goto(address)
    expect_moving(guest.page)
    assert problems(guest.page, axe) == []


def test_a_page_that_has_lost_its_server(own_site: Site, visit: Visit, axe: str) -> None:
    ada = visit(own_site).log_in()
    ada.allowed.append(LOST)
    ada.start("counter")
    expect_moving(ada.page)
    own_site.stop()
    expect(part(ada.page, "lost")).to_be_visible()
    found = [each for each in problems(ada.page, axe) if each[0] != "color-contrast"]  # what is greyed is old
    assert found == []


def test_the_other_pages(ada: Visitor, visit: Visit, axe: str) -> None:
    page = ada.page
    address = ada.start("counter")
    page.goto(f"{ada.site.url}/livesim/?simulation=counter")
    assert problems(page, axe) == []
    plain = visit(ada.site)
    plain.page.goto(address)
    expect(plain.page.get_by_role("heading", name="No such run")).to_be_visible()
    assert problems(plain.page, axe) == []
    page.goto(address)
    page.evaluate("document.querySelector('form[action$=\"/control/stop/\"]').submit()")  # as without htmx
    expect(page.locator("#confirm")).to_be_visible()
    page.wait_for_load_state()
    assert problems(page, axe) == []
