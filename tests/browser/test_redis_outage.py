"""Redis hangs while somebody watches: what is shown is old, and says so; what is sent acts all the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from scripts import services
from tests.browser.conftest import Visitor, opened
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, part, state_of, tick
from tests.reliability.outages.servers import Valkey
from tests.services import missing

Visit = Callable[..., Visitor]


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """One of the test's own, which it may treat badly."""
    try:
        services.redis_binary()
    except services.Missing as exc:
        missing("redis", str(exc))
    server = Valkey(tmp_path / "valkey")
    server.start()
    yield server
    server.close()


@pytest.fixture
def valkey_site(valkey: Valkey, tmp_path: Path) -> Iterator[Site]:
    """A site with that server and a worker."""
    for site in opened(Site(tmp_path, valkey.url)):
        site.start_worker()
        yield site


def test_a_page_says_that_it_is_old_and_goes_on_by_itself(
    valkey: Valkey, valkey_site: Site, visit: Visit
) -> None:
    ada = visit(valkey_site).log_in()
    page = ada.page
    address = ada.start("counter")
    expect_moving(page)
    expect(part(page, "connection")).to_have_text("live")
    expect(part(page, "rate")).to_have_text(re.compile(r"^\d+\.\d$"))

    valkey.hang()
    expect(part(page, "connection")).to_have_text(re.compile(r"^nothing new for \d+ s$"))
    expect(part(page, "rate")).to_have_text("\N{EN DASH}")
    expect(part(page, "reason")).to_contain_text("no messages from its worker arrive")
    expect_moving(page)  # by the rows, every few seconds

    page.fill("#id_add_n", "50000")
    page.click("#send-add")
    answer = page.locator("#command-add-answer .ls-answer")
    expect(answer).to_have_text(re.compile(r"^Applied at tick \d+\."))
    at = tick(page)

    other = ada.context.new_page()  # opened meanwhile
    other.goto(address)
    expect(part(other, "reason")).to_contain_text("no messages from its worker arrive")
    expect(state_of(other)).to_contain_text(re.compile(r"value: \d+"))

    valkey.go_on()
    expect(part(page, "connection")).to_have_text("live")
    expect(part(page, "reason")).to_be_hidden()
    expect(state_of(page)).to_contain_text(re.compile(r"value: 5\d{4}"))
    expect_moving(page)
    assert tick(page) > at
    expect(part(other, "reason")).to_be_hidden()
    expect_moving(other)
    expect(part(page, "rate")).to_have_text(re.compile(r"^\d+\.\d$"))
