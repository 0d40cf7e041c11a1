"""The panel that tells how fast what is seen comes."""

from __future__ import annotations

import re
import time

from playwright.sync_api import Locator, Page, Request, expect

from tests.browser.conftest import WITHIN, Visitor
from tests.browser.test_live_page import expect_moving


def figure(page: Page, name: str) -> Locator:
    return page.locator(f'[data-latency="{name}"]')


def test_it_tells_of_frames_bytes_commands_and_ticks(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter")
    expect_moving(page)
    page.get_by_text("Latency").click()
    expect(figure(page, "half")).to_have_text("\N{EN DASH}")
    page.click("#send-add")
    expect(figure(page, "half")).to_have_text(re.compile(r"^\d+ ms$"))
    expect(figure(page, "most")).to_have_text(re.compile(r"^\d+ ms \(of 1\)$"))
    expect(figure(page, "frames")).to_have_text(re.compile(r"^([5-9]|[12]\d)\.\d$"))
    expect(figure(page, "bytes")).to_have_text(re.compile(r"^[\d.]+ k?B a second$"))
    expect(figure(page, "skipped")).to_have_text(re.compile(r"^\d+$"))
    expect(figure(page, "age")).to_have_text(re.compile(r"^\d+ s$"))
    expect(figure(page, "again")).to_have_text("0")
    server = figure(page, "server")
    expect(server).to_contain_text(re.compile(r"Latest tick, late by\s*[\d.]+ m?s"))  # at its next beat
    expect(server).to_contain_text(re.compile(r"One step takes\s*[\d.]+ ms"))


def test_the_server_is_asked_only_while_it_is_open(ada: Visitor) -> None:
    page = ada.page
    asked: list[str] = []

    def note(request: Request) -> None:
        if "part=latency" in request.url:
            asked.append(request.url)

    page.on("request", note)
    ada.start("counter")
    expect_moving(page)
    page.wait_for_timeout(3500)
    assert asked == []
    page.get_by_text("Latency").click()
    deadline = time.monotonic() + WITHIN / 1000
    while len(asked) < 2:
        assert time.monotonic() < deadline
        page.wait_for_timeout(100)
    page.get_by_text("Latency").click()
    page.wait_for_timeout(300)  # what is asked while it is being closed
    before = len(asked)
    assert before <= 3
    page.wait_for_timeout(3500)
    assert len(asked) == before
