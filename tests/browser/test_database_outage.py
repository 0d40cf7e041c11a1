"""The database is stopped while somebody watches: the page says so, and all goes on when it is back."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from scripts import services
from tests.browser.conftest import Visitor, opened
from tests.browser.site import Site
from tests.browser.test_live_page import expect_moving, part, tick
from tests.reliability.outages.servers import PostgreSQL
from tests.services import missing

Visit = Callable[..., Visitor]
ASKED_IN_VAIN = re.compile(r"status of 503|Code 503|htmx:responseError")
"""What Chromium writes of questions that the server answers with 503."""


@pytest.fixture
def cluster() -> Iterator[PostgreSQL]:
    """One of the test's own, which it may stop."""
    with tempfile.TemporaryDirectory(prefix="livesim-pg-") as folder:  # it may run as another user
        try:
            cluster = PostgreSQL(Path(folder))
        except services.Missing as exc:
            missing("postgres", str(exc))
        cluster.start()
        yield cluster
        cluster.close()


@pytest.fixture
def its_site(cluster: PostgreSQL, tmp_path: Path, redis_url: str) -> Iterator[Site]:
    """A site on that database, with a worker."""
    site = Site(tmp_path, redis_url)
    site.env["DATABASE_URL"] = cluster.url
    for each in opened(site):
        each.start_worker()
        yield each


def test_a_page_says_that_the_database_is_away_and_goes_on_by_itself(
    cluster: PostgreSQL, its_site: Site, visit: Visit
) -> None:
    ada = visit(its_site).log_in()
    ada.allowed.append(ASKED_IN_VAIN)
    page = ada.page
    address = ada.start("counter")
    expect_moving(page)

    cluster.gone()
    expect(part(page, "reason")).to_contain_text("the database does not answer")
    expect(part(page, "connection")).to_have_text(re.compile(r"^nothing new for \d+ s$"))
    at = tick(page)
    page.fill("#id_add_n", "50000")
    page.click("#send-add")

    other = ada.context.new_page()  # opened meanwhile
    answer = other.goto(address)
    assert answer is not None and answer.status == 503
    expect(other.locator("h1")).to_have_text("The database does not answer")
    assert "Traceback" not in other.content()
    assert tick(page) == at

    cluster.back()
    expect(part(page, "connection")).to_have_text("live")
    expect(part(page, "reason")).to_be_hidden()
    expect_moving(page)
    assert tick(page) >= at
    other.click("text=Try again")
    expect_moving(other)
    expect(part(other, "reason")).to_be_hidden()
