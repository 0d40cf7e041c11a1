"""What a person sees of a run that other processes produce."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from scripts.services import dies_with_us, stop
from tests.browser.conftest import Visitor
from tests.browser.site import Site
from tests.browser.test_live_page import part, state_of

Visit = Callable[..., Visitor]
Producing = Callable[[Site], "Producer"]

PATIENCE = 3_000  # milliseconds without news, after which a page asks and says so
WITHIN = 30_000  # milliseconds: a look at the row each five seconds, on a machine with much else to do


class Producer:
    """A process that produces the run `import`, as it is told line by line."""

    def __init__(self, site: Site) -> None:
        command = [sys.executable, "-m", "tests.process.producer", "import", "listen", "0"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, env=site.env, preexec_fn=dies_with_us(), **pipes)
        assert "ready" in self._answer()

    def _answer(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()

    def __call__(self, **told: Any) -> str:
        """Tell of the run; what the process answers, empty where it is no more."""
        assert self.process.stdin
        self.process.stdin.write(f"{json.dumps(told)}\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        stop(self.process)
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@pytest.fixture
def producer() -> Iterator[Callable[[Site], Producer]]:
    started: list[Producer] = []

    def start(site: Site) -> Producer:
        started.append(Producer(site))
        return started[-1]

    yield start
    for each in started:
        each.close()


def open_run(ada: Visitor) -> Page:
    ada.page.goto(f"{ada.site.url}/livesim/external/import/")
    return ada.page


def connected(page: Page) -> Page:
    """Of a run that tells nothing for a while the page says so, as of any."""
    live = page.locator("[data-livesim-run]")
    expect(live).to_have_attribute("data-connection", re.compile("open|silent"))
    return page


def test_a_page_follows_what_other_processes_tell_to_the_end(
    redis_site: Site, visit: Visit, producer: Producing
) -> None:
    produce = producer(redis_site)
    produce(status="waiting", name="Import of May", text="in the queue")
    ada = visit(redis_site).log_in()
    expect(ada.page.locator("table.ls-runs")).to_contain_text("external")
    page = connected(open_run(ada))
    expect(page.locator("h1")).to_have_text("Import of May")
    expect(part(page, "pill")).to_have_text("waiting")
    expect(page.locator(".ls-notice:visible")).to_have_count(0)  # nobody waits for a worker, or a script
    produce(progress=0.25, state={"rows": 1}, text="reading")
    expect(part(page, "pill")).to_have_text("running")
    expect(part(page, "reason")).to_have_text("reading")
    expect(state_of(page)).to_contain_text("rows")
    expect(page.locator(".ls-controls button")).to_have_text(["Stop"])
    assert part(page, "progress").evaluate("bar => bar.value") == 0.25
    produce(status="finished", state={"rows": 2}, result={"written": 1234})
    expect(part(page, "pill")).to_have_text("finished")
    expect(page.locator(".ls-outcome")).to_contain_text("1234")
    expect(page.locator(".ls-controls button")).to_be_disabled()


def test_one_that_ends_while_its_page_is_opening_is_seen_to_have_ended(
    redis_site: Site, visit: Visit, producer: Producing
) -> None:
    produce = producer(redis_site)
    produce(progress=0.5, state={"rows": 1})
    ada = visit(redis_site).log_in()

    def end_first(route: Route) -> None:
        """The page is there, and its socket is not: that needs this script."""
        produce(status="finished", state={"rows": 2}, result={"written": 1234})
        route.continue_()

    ada.page.route("**/django_livesim/socket*.js", end_first, times=1)
    page = open_run(ada)
    expect(part(page, "pill")).to_have_text("finished", timeout=WITHIN)
    expect(page.locator(".ls-outcome")).to_contain_text("1234", timeout=WITHIN)
    expect(state_of(page)).to_contain_text("2")


def test_an_end_of_which_nobody_was_told_is_seen_within_seconds(
    redis_site: Site, visit: Visit, producer: Producing
) -> None:
    produce = producer(redis_site)
    produce(progress=0.5, state={"rows": 1})
    page = connected(open_run(visit(redis_site).log_in()))
    assert produce(status="failed", state={"rows": 3}, text="no more rows", killed=True) == ""
    expect(part(page, "pill")).to_have_text("failed", timeout=WITHIN)
    expect(part(page, "reason")).to_have_text("no more rows")
    expect(state_of(page)).to_contain_text("3")
    expect(page.locator(".ls-outcome")).to_be_visible(timeout=WITHIN)


def test_without_redis_a_page_sees_within_seconds_what_another_process_tells(
    own_site: Site, visit: Visit, producer: Producing
) -> None:
    produce = producer(own_site)
    produce(progress=0.25, state={"rows": 1})
    page = connected(open_run(visit(own_site).log_in()))
    produce(progress=0.5, state={"rows": 22}, text="writing")
    expect(state_of(page)).to_contain_text("22", timeout=WITHIN)
    expect(part(page, "reason")).to_have_text("writing", timeout=WITHIN)
    produce(status="finished", result={"written": 1234})
    expect(page.locator(".ls-outcome")).to_contain_text("1234", timeout=WITHIN)


def test_a_person_asks_it_to_stop_and_sees_what_comes_of_that(
    redis_site: Site, visit: Visit, producer: Producing
) -> None:
    produce = producer(redis_site)
    produce(progress=0.5, state={"rows": 1})
    page = connected(open_run(visit(redis_site).log_in()))
    page.on("dialog", lambda dialog: dialog.accept())
    page.click(".ls-controls button:has-text('Stop')")
    expect(part(page, "pill")).to_have_text("stopping")
    expect(page.locator("#ls-facts")).to_contain_text("has been asked to stop it")
    expect(page.locator(".ls-controls button")).to_be_enabled()
    produce(status="stopped", text="at row 7")
    expect(part(page, "pill")).to_have_text("stopped")
    expect(part(page, "reason")).to_have_text("at row 7")
    expect(page.locator(".ls-outcome")).to_contain_text(
        "What you see is the state that its producer told last."
    )


def test_what_says_how_far_it_is_is_news_though_it_shows_no_state(
    redis_site: Site, visit: Visit, producer: Producing
) -> None:
    produce = producer(redis_site)
    produce(progress=0.0, text="reading")
    ada = visit(redis_site).log_in()
    ada.page.clock.install()
    page = open_run(ada)
    live = page.locator("[data-livesim-run]")
    expect(live).to_have_attribute("data-connection", "open")
    for number in range(1, 4):
        page.clock.fast_forward(PATIENCE - 1_000)
        produce(progress=number / 10, text=f"row {number}")
        expect(part(page, "reason")).to_have_text(f"row {number}")
        expect(live).to_have_attribute("data-connection", "open")
    page.clock.fast_forward(10 * PATIENCE)
    expect(live).to_have_attribute("data-connection", "silent")
    produce(progress=0.4, text="row 4")
    expect(live).to_have_attribute("data-connection", "open")


def test_a_steady_pause_between_two_states_is_learnt_and_waited_for(
    redis_site: Site, visit: Visit, producer: Producing
) -> None:
    produce = producer(redis_site)
    produce(state={"rows": 1000})
    ada = visit(redis_site).log_in()
    ada.page.clock.install()
    page = open_run(ada)
    live = page.locator("[data-livesim-run]")
    expect(state_of(page)).to_contain_text("1000")
    expect(live).to_have_attribute("data-connection", "open")
    page.clock.fast_forward(PATIENCE + 2_000)
    expect(live).to_have_attribute("data-connection", "silent")
    waited = 0  # so often, one after the other: a socket that was lost on a busy machine begins anew
    for number in range(1001, 1013):
        produce(state={"rows": number})
        expect(state_of(page)).to_contain_text(str(number))
        expect(live).to_have_attribute("data-connection", "open")
        page.clock.fast_forward(PATIENCE + 2_000)
        waited = waited + 1 if live.get_attribute("data-connection") == "open" else 0
        if waited == 3:
            return
    pytest.fail("three such pauses one after the other were never waited for")
