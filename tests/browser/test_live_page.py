"""A person starts, watches, steers and stops runs; everything is real but the person."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Locator, Page, WebSocket, expect

from tests.browser.conftest import LOST, WITHIN, Visitor
from tests.browser.simulations import HOSTILE
from tests.browser.site import Site

Visit = Callable[..., Visitor]


def part(page: Page | Locator, name: str):  # type: ignore[no-untyped-def]
    return page.locator(f'[data-ls="{name}"]')


def state_of(page: Page | Locator):  # type: ignore[no-untyped-def]
    """Brought into view: what shows it is loaded when it comes near."""
    place = part(page, "state")
    place.scroll_into_view_if_needed()
    return place


def tick(page: Page) -> int:
    return int(part(page, "tick").inner_text())


def expect_moving(page: Page) -> None:
    """The tick that is shown grows."""
    shown = part(page, "tick").inner_text()
    expect(part(page, "tick")).not_to_have_text(shown)
    assert tick(page) > int(shown)


def expect_still(page: Page) -> None:
    """The tick that is shown stays for half a second, once what was under way has come."""
    for _ in range(10):
        before = tick(page)
        page.wait_for_timeout(500)
        if tick(page) == before:
            return
    assert tick(page) == before


def test_a_run_is_started_watched_steered_and_stopped(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter", start="1000")
    expect(part(page, "connection")).to_have_text("live")
    expect(part(page, "pill")).to_have_text("running")
    expect_moving(page)
    expect(state_of(page)).to_contain_text(re.compile(r"value: 1[0-9]{3}"))
    expect(part(page, "viewers")).to_have_text("1")
    expect(part(page, "rate")).to_have_text(re.compile(r"^(1\d|2[0-5])\.\d$"))

    page.fill("#id_add_n", "50000")
    page.click("#send-add")
    expect(page.locator("#command-add-answer .ls-answer")).to_have_text(
        re.compile(r"^Applied at tick \d+\. → 5[1-9]\d\d\d$")
    )
    expect(part(page, "log")).to_contain_text("Add applied")
    expect(state_of(page)).to_contain_text(re.compile(r"value: 5[1-9]\d\d\d"))

    page.fill("#id_decline_why", "not today")
    page.click("#send-decline")
    declined = page.locator("#command-decline-answer .ls-answer")
    expect(declined).to_have_text("Refused: not today")
    page.fill("#id_decline_why", "nor tomorrow")
    expect(declined).to_be_hidden()
    page.click("#send-decline")
    expect(declined).to_have_text("Refused: nor tomorrow")

    page.get_by_role("button", name="Pause").click()
    expect(part(page, "pill")).to_have_text("paused")
    expect(page.get_by_role("button", name="Pause")).to_be_hidden()
    expect_still(page)

    page.get_by_role("button", name="Resume").click()
    expect(part(page, "pill")).to_have_text("running")
    expect_moving(page)

    page.on("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Stop").click()
    expect(part(page, "pill")).to_have_text("stopped")
    expect(page.locator("#ls-facts")).to_contain_text("This run has been stopped.")
    expect(page.locator("#send-add")).to_be_disabled()
    expect_still(page)
    expect(state_of(page)).to_contain_text(re.compile(r"value: 5[1-9]\d\d\d"))


def test_steps_are_counted_exactly(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter")
    expect_moving(page)
    page.get_by_role("button", name="Pause").click()
    expect(part(page, "pill")).to_have_text("paused")
    expect_still(page)
    before = tick(page)
    page.fill("#id_step_n", "7")
    page.get_by_role("button", name="Steps", exact=True).click()
    expect(part(page, "tick")).to_have_text(str(before + 7))
    for _ in range(3):
        page.get_by_role("button", name="Step", exact=True).click()
    expect(part(page, "tick")).to_have_text(str(before + 10))


def test_speed(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter")
    expect(page.get_by_role("button", name="Set speed")).to_be_hidden()
    page.select_option("#id_speed_x", "5")
    expect(part(page, "speed")).to_have_text("\N{MULTIPLICATION SIGN}5")
    expect(part(page, "rate")).to_have_text(re.compile(r"^([5-9]\d|1[01]\d)\.\d$"))
    page.eval_on_selector(
        "#id_speed_x",
        """(choice) => {
            const sent = new FormData(choice.form);
            sent.set("x", "3");
            sent.set("livesim_id", "somebody-else");
            return fetch(choice.form.action, { method: "POST", body: sent });
        }""",
    )
    for _ in range(2):
        expect(page.locator("#id_speed_x")).to_have_value("3")  # which is none of the list's own
        page.reload()
    slow = {"offline": False, "latency": 150, "downloadThroughput": -1, "uploadThroughput": -1}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", slow)
    for speed in ("0.25", "0.5", "10"):  # the last holds, though the first is told before the others are sent
        page.select_option("#id_speed_x", speed)
    expect(part(page, "speed")).to_have_text("\N{MULTIPLICATION SIGN}10")
    expect(page.locator("#id_speed_x")).to_have_value("10")


def test_bad_arguments_are_shown_at_their_field(ada: Visitor) -> None:
    page = ada.page
    ada.start("painted", members="3")
    page.fill("#id_place_spot", '{"x":')
    page.click("#send-place")
    expect(page.locator("#id_place_spot_error")).to_contain_text("JSON")
    expect(page.locator("#id_place_spot")).to_have_value('{"x":')
    page.fill("#id_place_spot", "{}")
    page.click("#send-place")
    expect(page.locator("#command-place-answer .ls-answer")).to_have_text(f"Refused: no x in {HOSTILE}")
    expect(page.locator("#id_place_spot_error")).to_have_count(0)
    page.fill("#id_place_spot", '{"x": 1}')
    page.click("#send-place")
    expect(page.locator("#command-place-answer .ls-answer")).to_contain_text("Applied at tick")


def test_a_bad_parameter_is_shown_at_its_field(ada: Visitor) -> None:
    page = ada.page
    page.goto(f"{ada.site.url}/livesim/?simulation=counter")
    page.eval_on_selector("#id_param_start", "field => field.type = 'text'")
    page.fill("#id_param_start", "many")
    page.click("text=Start Counter")
    expect(page.locator("#id_param_start_error")).to_be_visible()


def test_a_message_to_a_loop_of_its_own(ada: Visitor) -> None:
    page = ada.page
    ada.start("echo")
    page.fill("#id_name", "greet")
    page.fill("#id_args", '{"to": "all"}')
    page.click("#send-message")
    expect(page.locator("#message-answer .ls-answer")).to_have_text(
        re.compile(r'^Applied at tick \d+\. → \{"to":\s?"all"\}$')
    )
    expect(part(page, "log")).to_contain_text('greet applied to: all → {"to":"all"} by you')
    state_of(page).locator("summary", has_text="0:").click()
    expect(state_of(page)).to_contain_text("to: all")
    page.fill("#id_args", "[1]")
    page.click("#send-message")
    expect(page.locator("#id_args_error")).to_contain_text("Expected a JSON object")


def test_two_browsers_see_the_same_run(ada: Visitor, visit: Visit) -> None:
    address = ada.start("counter", public=True)
    other = visit(ada.site)
    other.page.goto(address)
    expect(part(other.page, "connection")).to_have_text("live")
    expect(part(other.page, "viewers")).to_have_text("2")
    expect(part(ada.page, "viewers")).to_have_text("2")
    expect(other.page.locator("form")).to_have_count(0)
    expect_moving(other.page)
    ada.page.fill("#id_add_n", "70000")
    ada.page.click("#send-add")
    expect(part(other.page, "log")).to_contain_text("Add applied")
    expect(state_of(other.page)).to_contain_text(re.compile(r"value: 7\d{4}"))
    ada.page.get_by_role("button", name="Pause").click()
    expect(part(other.page, "pill")).to_have_text("paused")


def test_a_restart_takes_everybody_along(ada: Visitor, visit: Visit) -> None:
    old = ada.start("counter", public=True)
    other = visit(ada.site)
    other.page.goto(old)
    expect(part(other.page, "connection")).to_have_text("live")
    ada.page.on("dialog", lambda dialog: dialog.accept())
    ada.page.get_by_role("button", name="Restart").click()
    for page in (ada.page, other.page):
        page.wait_for_url(lambda url: url != old and "/runs/" in url)
        expect_moving(page)
    assert ada.page.url == other.page.url
    ada.started.append(ada.page.url)
    other.page.goto(old)
    expect(other.page.locator("#ls-facts")).to_contain_text("Go to the run that follows it")
    other.page.wait_for_timeout(500)
    assert other.page.url == old


def test_a_picture_that_sends_commands(ada: Visitor) -> None:
    page = ada.page
    ada.start("painted", members="3")
    canvas = part(page, "canvas")
    expect(canvas).to_have_attribute("data-drawn", re.compile(r"\d+"))
    canvas.click(position={"x": 10, "y": 10})
    expect(state_of(page)).to_contain_text("marks: [1]")
    expect(part(page, "log")).to_contain_text("Mark applied")


def test_hostile_texts_are_texts(ada: Visitor) -> None:
    page = ada.page
    ada.start("painted", members="3")
    expect(state_of(page)).to_contain_text(HOSTILE)
    page.click("#send-shout")
    expect(part(page, "log")).to_contain_text(HOSTILE)
    expect(page.locator("img")).to_have_count(0)
    assert "painted" in page.title()


def test_only_what_is_open_is_in_the_document(ada: Visitor) -> None:
    page = ada.page
    ada.start("painted")
    expect(state_of(page)).to_contain_text("members: {3000}")
    assert state_of(page).locator("li").count() < 120
    page.get_by_text("show 2900 more").click()
    expect(state_of(page)).to_contain_text("member-1000:")
    row = state_of(page).locator("summary", has_text=re.compile(r"^member-0:")).first
    row.click()
    expect_moving(page)
    expect(state_of(page).get_by_text("value:", exact=True)).to_have_count(1)
    row.click()
    expect(state_of(page).get_by_text("value:", exact=True)).to_have_count(0)


def test_a_run_that_fails_shows_why(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter")
    page.click("#send-explode")
    expect(part(page, "pill")).to_have_text("failed")
    expect(page.locator(".ls-traceback")).to_contain_text("RuntimeError: the counter exploded")
    expect(state_of(page)).to_contain_text("value:")


def test_a_run_that_finishes_shows_its_result(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter", start="5")
    page.click("#send-end")
    expect(part(page, "pill")).to_have_text("finished")
    expect(page.locator("#ls-facts")).to_contain_text(re.compile(r'"value": \d+'))
    expect(page.locator("#send-add")).to_be_disabled()


def hide(page: Page, hidden: bool) -> None:
    """Make the page believe that it is, or is not, looked at."""
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_a_run_that_ends_behind_a_hidden_tab_shows_its_outcome_on_coming_back(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter")
    expect(part(page, "pill")).to_have_text("running")
    hide(page, True)
    page.click("#send-end")
    expect(part(page, "pill")).to_have_text("finished")
    page.wait_for_timeout(400)  # longer than the page waits before it asks
    expect(page.locator(".ls-outcome")).to_have_count(0)
    hide(page, False)
    expect(page.locator(".ls-outcome")).to_contain_text("This run has finished.")


def test_a_hidden_tab_gets_few_frames_and_all_of_them_once_it_is_looked_at(ada: Visitor) -> None:
    page = ada.page
    said: list[dict[str, Any]] = []
    heard: list[dict[str, Any]] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framesent", lambda text: said.append(json.loads(text)))
        socket.on("framereceived", lambda text: heard.append(json.loads(text)))

    def numbers() -> list[tuple[int, int]]:
        """Tick and number of the frames that came since they were last forgotten."""
        return [(each["tick"], each["seq"]) for each in heard if each["type"] in ("snapshot", "delta")]

    def are_few() -> bool:
        """Whether of two or three moves that come now most frames were not even made."""
        heard.clear()
        expect_moving(page)
        expect_moving(page)
        if len(numbers()) < 2:
            return False
        (first, one), *_, (last, other) = numbers()
        return last - first > 2 * (other - one)  # ticks by frames made; half are shown to one who looks

    def rates() -> list[float]:
        return [each["fps"] for each in said if each["type"] == "rate"]

    page.on("websocket", listen)
    ada.start("counter")
    expect_moving(page)
    assert rates() == []
    hide(page, True)
    deadline = time.monotonic() + WITHIN / 1000
    while not are_few():  # the worker does not know at once
        assert time.monotonic() < deadline, numbers()
    assert rates() == [0.5]
    hide(page, False)
    heard.clear()
    while len(numbers()) < 20:
        expect_moving(page)
    assert rates() == [0.5, 1000]


def test_an_answer_that_the_socket_does_not_bring_is_asked_for(ada: Visitor) -> None:
    page = ada.page
    page.add_init_script("window.WebSocket = class { close() {} }")
    ada.start("counter")
    page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    page.click("#send-add")
    answer = page.locator("#command-add-answer")
    expect(answer).to_have_text("Accepted; pending…")
    assert answer.get_attribute("aria-live") == "polite"
    page.wait_for_timeout(2500)  # longer than until the first question
    expect(answer).to_have_text("Accepted; pending…")
    hide(page, False)
    expect(answer).to_have_text(re.compile(r"^Applied at tick \d+\. →"))


def test_a_page_of_an_ended_run_follows_its_restart(ada: Visitor, visit: Visit) -> None:
    address = ada.start("counter", public=True)
    ada.page.on("dialog", lambda dialog: dialog.accept())
    ada.page.click("#send-end")
    expect(part(ada.page, "pill")).to_have_text("finished")
    other = visit(ada.site)
    other.page.goto(address)
    expect(part(other.page, "connection")).to_have_text("ended")
    ada.page.get_by_role("button", name="Restart").click()
    expect(ada.page).not_to_have_url(address)  # the answer and the socket may both lead there
    expect(other.page).to_have_url(ada.page.url)
    ada.started.append(ada.page.url)


STORED_THEN_LIVE = """
window.rates = [];
window.WebSocket = class {
    constructor() {
        const say = (message) => this.onmessage({ data: JSON.stringify(message) });
        const show = (epoch, seq, tick) => say({ type: "snapshot", epoch, seq, tick, state: {} });
        let tick = 5000;
        setTimeout(() => {
            say({ type: "hello", status: "running", role: "owner" });
            show(1, 0, 10);
            show(1, 0, 20); // what is stored, twice
            show(1, 7, 30); // the worker's last, from when somebody looked
            setInterval(() => {
                show(1, ++tick, tick);
                const rate = document.querySelector('[data-ls="rate"]'); // the list has none
                if (rate) window.rates.push(rate.textContent);
            }, 50);
        }, 100);
    }
    send() {}
    close() {}
};
"""


def test_the_rate_is_measured_between_live_frames(ada: Visitor) -> None:
    page = ada.page
    page.add_init_script(STORED_THEN_LIVE)
    ada.start("counter")
    expect(part(page, "rate")).to_have_text(re.compile(r"^\d+\.\d$"))
    page.wait_for_function("() => rates.filter((rate) => rate !== '\N{EN DASH}').length > 9")
    shown = [float(rate) for rate in page.evaluate("rates") if rate != "\N{EN DASH}"]
    assert max(shown) < 40


ROLE_CHANGES_ONCE = """
const loads = Number(sessionStorage.loads ?? 0);
if (location.pathname.includes("/runs/")) sessionStorage.loads = loads + 1;
window.WebSocket = class {
    constructor() {
        const say = (message) => this.onmessage({ data: JSON.stringify(message) });
        const hello = (role) => say({ type: "hello", status: "running", role });
        setTimeout(() => hello("owner"), 50);
        setTimeout(() => hello("owner"), 100);
        if (loads === 0) setTimeout(() => hello("view"), 500);
    }
    send() {}
    close() {}
};
"""


def test_other_rights_load_the_page_anew_once(ada: Visitor) -> None:
    page = ada.page
    page.add_init_script(ROLE_CHANGES_ONCE)
    ada.start("counter")
    page.wait_for_function("() => sessionStorage.loads > 1")
    expect(part(page, "connection")).to_have_text("live")
    page.wait_for_timeout(1500)
    assert page.evaluate("sessionStorage.loads") == "2"


def test_the_list_moves(ada: Visitor) -> None:
    page = ada.page
    address = ada.start("counter")
    page.goto(f"{ada.site.url}/livesim/")
    row = page.locator("tr", has=page.locator(f'a[href="{address.removeprefix(ada.site.url)}"]'))
    expect(row).to_contain_text("running")
    other = ada.context.new_page()
    other.goto(address)
    other.get_by_role("button", name="Pause").click()
    expect(row).to_contain_text("paused")


def test_who_was_logged_out_in_another_tab_is_told_so_where_they_act(ada: Visitor) -> None:
    page = ada.page
    address = ada.start("counter", public=True)
    page.get_by_role("button", name="Pause").click()
    expect(part(page, "pill")).to_have_text("paused")
    other = ada.context.new_page()
    other.goto(f"{ada.site.url}/livesim/")
    other.get_by_role("button", name="Log out").click()
    expect(other.get_by_role("link", name="Log in").first).to_be_visible()
    page.get_by_role("button", name="Resume").click()
    answer = page.locator("#ls-control-answer")
    expect(answer).to_contain_text("you are not logged in, or have been logged out. Log in and try again")
    answer.get_by_role("link", name="Log in").click()
    page.fill("#id_username", "ada")
    page.fill("#id_password", "ada")
    page.click("[type=submit]")
    page.wait_for_url(address)
    page.get_by_role("button", name="Resume").click()
    expect(part(page, "pill")).to_have_text("running")


def test_who_may_not_see_a_run_is_sent_to_log_in(ada: Visitor, visit: Visit) -> None:
    address = ada.start("counter")
    stranger = visit(ada.site)
    stranger.page.goto(address)
    expect(stranger.page.get_by_role("heading", name="No such run")).to_be_visible()
    stranger.page.locator("section").get_by_role("link", name="Log in").click()
    stranger.page.fill("#id_username", "ada")
    stranger.page.fill("#id_password", "ada")
    stranger.page.click("[type=submit]")
    expect_moving(stranger.page)


def test_without_javascript(site: Site, visit: Visit) -> None:
    plain = visit(site, java_script_enabled=False).log_in()
    page = plain.page
    plain.start("counter", start="100")
    expect(
        page.get_by_text("Without its scripts this page shows the state that was stored last.")
    ).to_be_visible()
    page.select_option("#id_speed_x", "2")
    page.get_by_role("button", name="Set speed").click()
    expect(page.locator('[data-ls="speed"]')).to_have_text("\N{MULTIPLICATION SIGN}2")
    page.fill("#id_add_n", "900")
    page.click("#send-add")
    expect(page.locator(".ls-message").first).to_have_text(re.compile(r"^Add: applied at tick \d+\.$"))
    page.fill("#id_decline_why", "never")
    page.click("#send-decline")
    expect(page.locator(".ls-message").first).to_have_text("Decline: refused: never")
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("link", name="Go back").click()
    expect(page.locator(".ls-pill")).to_have_text("running")
    page.get_by_role("button", name="Stop").click()
    page.click("#confirm")
    page.get_by_role("link", name="Refresh").click()
    deadline = time.monotonic() + WITHIN / 1000
    while page.locator(".ls-pill").inner_text() != "stopped":
        assert time.monotonic() < deadline
        page.get_by_role("link", name="Refresh").click()
    expect(state_of(page)).to_contain_text(re.compile(r'"value": 1\d\d\d'))
    page.get_by_role("button", name="Restart").click()
    page.click("#confirm")
    expect(page.locator(".ls-pill")).not_to_have_text("stopped")


RENEWED_MEANWHILE = """
addEventListener("submit", () => {
    document.querySelector("#ls-facts").dispatchEvent(new CustomEvent("livesim:silent"));
});
"""  # a part of the page asks for itself while an answer is awaited


def test_by_keyboard_alone(ada: Visitor) -> None:
    page = ada.page
    ada.start("counter")
    expect(part(page, "pill")).to_have_text("running")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "Pause":
            break
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.evaluate(RENEWED_MEANWHILE)
    for shown, other in [("paused", "Resume"), ("running", "Pause")]:
        page.keyboard.press("Enter")
        expect(part(page, "pill")).to_have_text(shown)
        expect(page.get_by_role("button", name=other)).to_be_focused()
    page.focus("#id_add_n")
    page.get_by_role("button", name="Pause").evaluate("(button) => button.form.requestSubmit()")
    expect(part(page, "pill")).to_have_text("paused")
    expect(page.locator("#id_add_n")).to_be_focused()


def test_on_a_phone_nothing_is_wider_than_the_screen(site: Site, visit: Visit) -> None:
    for scheme in ("light", "dark"):
        phone = visit(site, viewport={"width": 390, "height": 844}, color_scheme=scheme).log_in()
        page = phone.page
        phone.start("painted")
        expect_moving(page)
        for address in (page.url, f"{site.url}/livesim/?simulation=painted"):
            page.goto(address)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        phone.leave()


def test_a_page_outlives_its_server(own_site: Site, visit: Visit) -> None:
    ada = visit(own_site).log_in()
    ada.allowed.append(LOST)
    page = ada.page
    ada.start("painted", members="3")
    expect_moving(page)
    expect(state_of(page)).to_contain_text("members: {3}")
    own_site.stop()
    expect(part(page, "lost")).to_be_visible()
    expect(part(page, "lost")).to_contain_text("Connection lost.")
    expect(part(page, "lost-count")).to_have_text(re.compile(r"Reconnecting in \d+ s\.|Reconnecting…"))
    expect(state_of(page)).to_contain_text("members: {3}")
    expect(state_of(page)).to_have_css("opacity", "0.5")
    part(page, "canvas").click(position={"x": 10, "y": 10})
    own_site.start()
    expect(part(page, "lost")).to_be_hidden()
    expect(part(page, "connection")).to_have_text("live")
    expect_moving(page)
    expect(state_of(page)).to_contain_text("marks: [1]")
    expect(part(page, "log")).to_contain_text("Connected again.")


def test_a_run_waits_for_a_worker_and_outlives_it(redis_site: Site, visit: Visit) -> None:
    ada = visit(redis_site).log_in()
    page = ada.page
    ada.start("counter", start="1000")
    expect(part(page, "pill")).to_have_text("waiting")
    expect(page.locator("#ls-facts")).to_contain_text("python manage.py livesim_worker")
    first = redis_site.start_worker()
    expect(part(page, "pill")).to_have_text("running")
    expect(page.locator("#ls-facts")).not_to_contain_text("livesim_worker")
    expect_moving(page)
    page.fill("#id_add_n", "5000")
    page.click("#send-add")
    expect(page.locator("#command-add-answer .ls-answer")).to_contain_text("Applied at tick")
    first.terminate()
    assert first.wait(60) == 0
    redis_site.start_worker()
    expect_moving(page)
    expect(state_of(page)).to_contain_text(re.compile(r"value: [6-9]\d\d\d"))
