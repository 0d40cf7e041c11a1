"""People start, watch, steer and stop runs on the unusual host; everything is real but the people."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect
from websockets.sync.client import connect

from tests.unusual.site import Host, Person

Visit = Callable[..., Person]


def part(page: Page, name: str):
    return page.locator(f'[data-ls="{name}"]')


def expect_moving(page: Page) -> None:
    shown = part(page, "tick").inner_text()
    expect(part(page, "tick")).not_to_have_text(shown)


def test_with_scripts_a_run_is_drawn_steered_and_stopped(host: Host, visit: Visit):
    ada = visit(host).log_in()
    page = ada.page
    expect(page.get_by_role("banner")).to_contain_text("ada@example.com")
    ada.start("painted", members="3")
    assert page.url.startswith(f"{host.list}runs/")
    expect(part(page, "connection")).to_have_text("live")
    expect_moving(page)
    part(page, "canvas").click(position={"x": 10, "y": 10})
    part(page, "state").scroll_into_view_if_needed()
    expect(part(page, "state")).to_contain_text("marks: [1]")
    page.fill("#id_place_spot", "{}")
    page.click("#send-place")
    expect(page.locator("#command-place-answer .ls-answer")).to_contain_text("Refused: no x in")
    page.get_by_role("button", name="Pause").click()
    expect(part(page, "pill")).to_have_text("paused")
    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop").click()
    expect(part(page, "pill")).to_have_text("stopped")
    expect(page.locator("#ls-facts")).to_contain_text("This run has been stopped.")


def test_without_scripts_too(host: Host, visit: Visit):
    ada = visit(host, java_script_enabled=False).log_in()
    page = ada.page
    ada.start("counter", start="100")
    page.fill("#id_add_n", "900")
    page.click("#send-add")
    expect(page.locator(".ls-message").first).to_have_text(re.compile(r"^Add: applied at tick \d+\.$"))
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".ls-message").first).to_have_text(re.compile(r"^Pause: applied at tick \d+\.$"))
    page.get_by_role("button", name="Stop").click()
    page.click("#confirm")
    expect(page.locator(".ls-message").first).to_have_text(re.compile(r"^Stop: applied at tick \d+\.$"))
    expect(part(page, "state")).to_contain_text(re.compile(r'"value": 1\d\d\d'))


def test_templates_of_the_hosts_own_are_used_and_a_part_left_out_is_passed_over(host: Host, visit: Visit):
    ada = visit(host).log_in()
    page = ada.page
    ada.start("counter")
    expect(page).to_have_title(re.compile(r"^counter \w+ · counter · Example Works$"))
    expect(page.get_by_role("navigation", name="Site")).to_have_text("Example Works")
    expect(part(page, "log")).to_have_count(0)
    expect(part(page, "pill")).to_have_text("running")
    expect(part(page, "pill")).to_have_class("ls-pill badge")
    expect_moving(page)


@pytest.mark.parametrize("place", ["administration", "back-office"])
def test_each_admin_site_works_under_a_policy(host: Host, visit: Visit, place: str):
    ada = visit(host).log_in()
    ada.start("counter")
    run = ada.page.url.rstrip("/").rpartition("/")[2]
    expect(part(ada.page, "pill")).to_have_text("running")
    page = ada.page
    page.goto(f"{host.url}/sub/en/{place}/livesim/run/")
    page.locator(f'a[href*="/{run}/change/"]').first.click()
    page.wait_for_url(f"**/{place}/livesim/run/{run}/change/**")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".messagelist")).to_contain_text("pause")
    assert f"/{place}/" in page.url


def test_who_logs_out_is_back_at_the_list_and_sees_no_private_runs(host: Host, visit: Visit):
    ada = visit(host).log_in()
    address = ada.start("counter")
    ada.page.get_by_role("button", name="Log out").click()
    ada.page.wait_for_url(host.list)
    expect(ada.page.get_by_role("banner").get_by_role("link", name="Log in")).to_be_visible()
    ada.page.goto(address)
    expect(ada.page.get_by_role("heading", name="No such run")).to_be_visible()


def test_ages_are_right_and_the_worker_is_seen_alive(host: Host, visit: Visit):
    ada = visit(host).log_in()
    address = ada.start("counter")
    expect(part(ada.page, "pill")).to_have_text("running")
    expect(ada.page.locator("time").first).to_have_text("just now")
    shown = ada.page.locator("time").first.get_attribute("datetime")
    assert shown and shown.endswith(("-06:00", "-05:00"))
    age = ada.page.evaluate("moment => Math.abs(Date.now() - new Date(moment))", shown)
    assert age < 30_000
    ada.page.goto(host.list)
    row = ada.page.locator("tr", has=ada.page.locator(f'a[href="{address.removeprefix(host.url)}"]'))
    expect(row).to_contain_text("just now")
    assert host.health() == {"status": "ok"}


def test_the_set_up_is_found_right_and_the_models_unchanged(host: Host):
    host.manage("check", "--fail-level=WARNING", "--database=default", "--database=sims")
    host.manage("makemigrations", "--check", "--dry-run")
    found = json.loads(host.manage("livesim", "doctor", "--json"))
    assert [each for each in found if each["status"] == "problem"] == []


@pytest.fixture
def told_by_the_server(host: Host) -> Iterator[Host]:
    """The same, where only the server is told of the prefix, and a proxy before it takes that away."""
    database = {"DATABASE_URL": host.env["DATABASE_URL"], "SCRIPT_NAME": ""}
    other = Host(host.folder, host.env["CHANNELS_REDIS"], ("--root-path=/sub",), **database)
    other.list = f"{other.url}/en/simulations/"
    other.start()
    try:
        yield other
    finally:
        other.close()


def test_the_prefix_may_be_told_by_the_server_alone(told_by_the_server: Host, host: Host, visit: Visit):
    ada = visit(host).log_in()
    address = ada.start("counter", public=True).removeprefix(f"{host.url}/sub")
    page = httpx.get(f"{told_by_the_server.url}{address}").text
    (socket,) = re.findall(r'data-socket="([^"]+)"', page)
    assert socket.startswith("/sub/ws/livesim/runs/")
    assert f'href="/sub{address.partition("runs/")[0]}"' in page
    target = told_by_the_server.url.replace("http", "ws") + socket.removeprefix("/sub")
    with connect(target) as live:
        assert json.loads(live.recv(10))["type"] == "hello"
