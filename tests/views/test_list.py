"""The list of runs: what narrows it, what it shows of each run, and what it says where there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_livesim import gateway, job, registry
from django_livesim.models import Run, Worker
from django_livesim.permissions import hash_session, session_id
from django_livesim.protocol.loads import RunLoad
from django_livesim.protocol.names import Status
from django_livesim.views import filters, listing
from tests.test_views import text_of

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

HTMX = {"HX-Request": "true"}
LIST = "/livesim/"
DASH = "\N{EN DASH}"


@pytest.fixture
def owner() -> User:
    user = User.objects.create_user("ada")
    user.user_permissions.add(Permission.objects.get(codename="start_run"))
    return user


@pytest.fixture
def browser(owner: User) -> Client:
    client = Client()
    client.force_login(owner)
    return client


def make(name: str, owner: Any = None, simulation: str = "counter", **fields: Any) -> Run:
    started = {each: fields.pop(each) for each in ("key", "visibility") if each in fields}
    run = gateway.start(simulation, owner=owner, name=name, **started)
    Run.objects.filter(id=run.id).update(**fields)
    run.refresh_from_db()
    return run


def names(response: Any) -> list[str]:
    """The runs of the list, in their order."""
    return re.findall(r'<a id="run-\w+" href="[^"]+">([^<]+)</a>', response.content.decode())


def counts(response: Any) -> dict[str, str]:
    return dict(re.findall(r'id="ls-count-(\w+)"[^>]*>(\d*)<', response.content.decode()))


class TestFilters:
    @pytest.fixture(autouse=True)
    def _runs(self, owner: User) -> None:
        bob = User.objects.create_user("bob")
        make("mill", owner, status="running")
        make("Water Mill", owner, "echo", status="paused")
        make("lathe", bob, status="running", visibility="public")
        make("saw", bob, status="failed", visibility="public")
        make("hidden mill", bob, status="running")

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("", ["saw", "lathe", "Water Mill", "mill"]),
            ("q=MILL", ["Water Mill", "mill"]),
            ("q=ech", ["Water Mill"]),
            ("q=+saw+", ["saw"]),
            ("sim=echo", ["Water Mill"]),
            ("status=running", ["lathe", "mill"]),
            ("status=failed&status=paused", ["saw", "Water Mill"]),
            ("mine=1", ["Water Mill", "mill"]),
            ("mine=1&status=running&sim=counter&q=mill", ["mill"]),
            ("q=bob", ["saw", "lathe"]),
            ("simulation=echo", ["saw", "lathe", "Water Mill", "mill"]),
        ],
    )
    def test_each_narrows_the_list_and_all_of_them_together(
        self, browser: Client, query: str, expected: list[str]
    ) -> None:
        assert names(browser.get(f"{LIST}?{query}")) == expected
        assert names(browser.get(f"{LIST}?part=rows&{query}", headers=HTMX)) == expected

    @pytest.mark.parametrize(
        "query",
        [
            "q=%00",
            "q=%ED%A0%80",
            "q=" + "x" * 5000,
            "q=%25%5C_",
            "sim=%00",
            "sim=" + "s" * 5000,
            "status=burning",
            "status=%00&status=",
            "mine=perhaps",
            "page=" + "9" * 5000,
            "page=-1",
            "page=0&q=mill",
            "page=x",
            "part=everything",
        ],
    )
    def test_whatever_the_address_says_there_is_an_answer(self, browser: Client, query: str) -> None:
        for part in ("", "&part=rows", "&part=filter"):
            assert browser.get(f"{LIST}?{query}{part}").status_code == 200

    def test_a_status_that_there_is_not_narrows_nothing(self, browser: Client) -> None:
        assert len(names(browser.get(f"{LIST}?status=burning"))) == 4

    def test_an_id_is_found_by_its_beginning(self, browser: Client, owner: User) -> None:
        run = make("by id", owner)
        for text in (str(run.id), run.id.hex[:12], str(run.id)[:13].upper()):
            assert "by id" in names(browser.get(LIST, {"q": text}))

    def test_what_is_asked_for_is_shown_in_the_form(self, browser: Client) -> None:
        body = browser.get(f"{LIST}?q=mill&sim=counter&status=running&mine=1").content.decode()
        assert 'name="q" value="mill"' in body
        assert '<option value="counter" selected>' in body
        assert 'value="running" id="ls-status-running" checked' in body
        assert 'id="ls-mine" checked' in body

    def test_the_form_of_the_panel_is_chosen_by_another_name(self, browser: Client) -> None:
        body = browser.get(f"{LIST}?simulation=counter&sim=echo").content.decode()
        assert 'id="start-counter"' in body and 'id="id_param_start"' in body
        assert '<option value="echo" selected>' in body

    def test_how_many_there_are_of_each_status_is_told_of_what_is_looked_for(self, browser: Client) -> None:
        told = counts(browser.get(LIST))
        assert (told["running"], told["paused"], told["failed"], told["waiting"]) == ("2", "1", "1", "0")
        assert counts(browser.get(f"{LIST}?status=failed"))["running"] == "2"
        assert counts(browser.get(f"{LIST}?sim=echo"))["running"] == "0"
        assert counts(browser.get(f"{LIST}?part=rows&q=mill"))["running"] == "1"

    def test_nothing_is_counted_that_a_policy_may_hide(self, browser: Client, settings: Any) -> None:
        settings.LIVESIM = {"POLICY": lambda user, action, run, command: False if run.name == "saw" else None}
        response = browser.get(LIST)
        assert set(counts(response).values()) == {""}
        assert names(response) == ["lathe", "Water Mill", "mill"]
        assert "Filtered. Clear the filters" in text_of(browser.get(f"{LIST}?status=failed"))

    def test_many_are_neither_counted_nor_paged_without_end(
        self, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name, value in {"COUNTED": 2, "PAGE": 1, "AHEAD": 1, "MOST": 3}.items():
            monkeypatch.setattr(listing, name, value)
        response = browser.get(LIST)
        assert set(counts(response).values()) == {""}
        assert names(response) == ["saw"] and "Page 1 of many" in text_of(response)
        assert "At least 2 runs." in text_of(browser.get(f"{LIST}?q=l"))
        assert counts(browser.get(f"{LIST}?q=mill"))["running"] == "1"
        narrowed = browser.get(f"{LIST}?status=running")
        assert names(narrowed) == ["lathe"]
        assert names(browser.get(f"{LIST}?status=running&page=2")) == ["mill"]
        last = browser.get(f"{LIST}?page=9")
        assert names(last) == ["Water Mill"]
        assert "These are the newest 3 runs. Filter or search to find older ones." in text_of(last)

    def test_a_text_is_looked_for_in_the_newest_runs_and_an_id_or_an_owner_in_all(
        self, browser: Client, owner: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(filters, "SEARCHED", 3)
        assert names(browser.get(f"{LIST}?q=mill")) == []  # the newest are saw, lathe and a hidden one
        mill = Run.objects.get(name="mill")
        assert names(browser.get(LIST, {"q": str(mill.id)})) == ["mill"]
        assert names(browser.get(f"{LIST}?q=ada")) == ["Water Mill", "mill"]
        make("new mill", owner)
        assert names(browser.get(f"{LIST}?q=mill")) == ["new mill"]

    def test_a_visitors_own_are_those_of_the_session(self) -> None:
        visitor = Client()
        session = visitor.session
        session.save()
        assert names(visitor.get(f"{LIST}?mine=1")) == []
        make("own", session=hash_session(session_id(session)))
        assert names(visitor.get(f"{LIST}?mine=1")) == ["own"]
        assert names(Client().get(f"{LIST}?mine=1")) == []

    def test_a_key_is_found_by_a_part_where_it_is_shown_and_by_the_whole(self, browser: Client) -> None:
        bob = User.objects.get(username="bob")
        make("", bob, key="oak-17", visibility="public")
        make("named", bob, key="elm-18", visibility="public")
        for text, found in [("oak", ["oak-17"]), ("elm", []), ("elm-18", ["named"])]:
            assert names(browser.get(LIST, {"q": text})) == found
        browser.force_login(bob)
        assert names(browser.get(LIST, {"q": "elm"})) == ["named"]

    def test_an_owner_is_not_found_by_a_name_that_is_not_shown(
        self, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(User, "__str__", lambda user: f"person {user.pk}")
        assert names(browser.get(f"{LIST}?q=bob")) == []

    def test_names_of_owners_are_asked_of_the_database_of_users(self, django_assert_num_queries: Any) -> None:
        with CaptureQueriesContext(connection) as asked:
            filters._owners_named("bo")
        assert len(asked) == 1 and "livesim_run" not in asked[0]["sql"]


class TestAddress:
    def test_other_filters_are_told_to_htmx_as_a_clean_address(self, browser: Client) -> None:
        now = {"HX-Current-URL": "http://testserver/livesim/"}
        response = browser.get(f"{LIST}?q=&sim=&status=running&part=filter", headers=HTMX | now)
        assert response["HX-Push-Url"] == "/livesim/?status=running"
        assert "HX-Push-Url" not in browser.get(f"{LIST}?status=running&part=rows", headers=HTMX | now)
        cleared = {"HX-Current-URL": "http://testserver/livesim/?status=running"}
        assert browser.get(f"{LIST}?part=filter", headers=HTMX | cleared)["HX-Push-Url"] == LIST

    def test_the_same_are_no_other_place(self, browser: Client) -> None:
        now = {"HX-Current-URL": "http://testserver/livesim/?status=running&simulation=counter"}
        response = browser.get(f"{LIST}?status=running&part=filter", headers=HTMX | now)
        assert "HX-Push-Url" not in response and "HX-Replace-Url" not in response

    def test_while_somebody_writes_the_address_changes_and_there_is_one_way_back(
        self, browser: Client
    ) -> None:
        now = {"HX-Current-URL": "http://testserver/livesim/?q=mi"}
        response = browser.get(f"{LIST}?q=mill&part=filter", headers=HTMX | now)
        assert response["HX-Replace-Url"] == "/livesim/?q=mill" and "HX-Push-Url" not in response

    def test_pages_and_polls_keep_the_filters(self, browser: Client, owner: User) -> None:
        for number in range(27):
            make(f"run {number:02} & more", owner, status="running")
        body = browser.get(f"{LIST}?q=%26+more&status=running&page=1").content.decode()
        (older,) = re.findall(r'rel="next" id="ls-older" href="([^"]+)"', body)
        asked = parse_qs(urlsplit(older.replace("&amp;", "&")).query)
        assert asked == {"q": ["& more"], "status": ["running"], "page": ["2"]}
        assert names(browser.get(older.replace("&amp;", "&"))) == ["run 01 &amp; more", "run 00 &amp; more"]
        (poll,) = re.findall(r'data-ls-poll hx-get="([^"]+)"', body)
        asked = parse_qs(urlsplit(poll.replace("&amp;", "&")).query)
        assert asked == {"part": ["rows"], "q": ["& more"], "status": ["running"], "page": ["1"]}


class TestNothing:
    def test_none_that_is_like_that(self, browser: Client, owner: User) -> None:
        make("mill", owner)
        text = text_of(browser.get(f"{LIST}?q=lathe"))
        assert " 0 runs. Clear the filters" in text and "At least" not in text
        assert "No run matches. Clear a filter, or search for less." in text

    @pytest.mark.parametrize("part", ["", "?part=rows"])
    def test_what_to_do_is_the_same_in_the_page_and_when_it_is_renewed(
        self, browser: Client, part: str, client: Client
    ) -> None:
        assert "Choose a simulation and start it" in text_of(browser.get(f"{LIST}{part}"))
        assert "Public runs appear here. Log in" in text_of(client.get(f"{LIST}{part}"))
        client.force_login(User.objects.create_user("bob"))
        assert "Runs that are yours or public appear here." in text_of(client.get(f"{LIST}{part}"))

    def test_no_simulation(self, browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(registry, "all", list)
        text = text_of(browser.get(LIST))
        assert "Runs that are yours or public appear here." in text and "No simulation is registered." in text


class TestRows:
    @pytest.fixture
    def run(self, owner: User) -> Run:
        return make("mill", owner, status=str(Status.RUNNING), tick=321)

    def told(self, run: Run, state: str = "alive", **figures: Any) -> None:
        load = RunLoad(cpu=0.1, late=0, behind=0.0, size=9, step=0.0, **figures)
        worker = Worker.objects.create(
            host="mill", pid=7, state=state, load={"each": {run.id.hex: load.encode()}}
        )
        Run.objects.filter(id=run.id).update(worker=worker)

    def row(self, browser: Client) -> str:
        text = text_of(browser.get(LIST, {"part": "rows"}))
        return text[text.index("Age") :]

    def test_the_rate_and_the_viewers_are_those_that_the_worker_has_told(
        self, browser: Client, run: Run
    ) -> None:
        self.told(run, rate=19.96, viewers=3)
        assert "running mill counter ada 321 20.0 3 mill:7" in self.row(browser)

    def test_what_nobody_has_told_is_not_there(self, browser: Client, run: Run) -> None:
        assert f"ada 321 {DASH} {DASH} {DASH}" in self.row(browser)
        self.told(run)
        assert f"ada 321 {DASH} {DASH} mill:7" in self.row(browser)

    def test_what_a_worker_of_an_older_version_tells_is_enough(self, browser: Client, run: Run) -> None:
        self.told(run)
        Worker.objects.update(load={"each": {run.id.hex: [0.25, 3, 0.012, 8124, 0.0113]}})
        assert f"ada 321 {DASH} {DASH} mill:7" in self.row(browser)

    def test_a_worker_that_is_gone_tells_nothing(self, browser: Client, run: Run) -> None:
        self.told(run, state="gone", rate=20.0, viewers=3)
        assert f"ada 321 {DASH} {DASH}" in self.row(browser)

    def test_a_paused_run_has_viewers_and_no_rate(self, browser: Client, run: Run) -> None:
        self.told(run, rate=7.0, viewers=3)
        Run.objects.update(status=str(Status.PAUSED))
        assert f"ada 321 {DASH} 3 mill:7" in self.row(browser)

    @pytest.fixture
    def chores(self) -> Iterator[None]:
        @job
        def chores(job: Any) -> None:
            """Takes its time."""

        yield
        registry.unregister("chores")

    @pytest.mark.usefixtures("chores")
    def test_a_job_shows_how_far_it_is_and_how_long_it_may_take(self, browser: Client, owner: User) -> None:
        film = make("film", owner, "chores", status="running", progress=0.25, attempts=1)
        Run.objects.filter(id=film.id).update(started_at=timezone.now() - timedelta(minutes=2))
        row = self.row(browser)
        assert re.search(r"25 % · about [67] minutes left", row)
        Run.objects.filter(id=film.id).update(attempts=2)
        row = self.row(browser)
        assert "25 %" in row and "left" not in row
        Run.objects.filter(id=film.id).update(status="finished", progress=1.0)
        assert "%" not in self.row(browser)

    def test_what_is_no_job_has_no_time_left(self, browser: Client, run: Run) -> None:
        Run.objects.update(progress=0.5, started_at=timezone.now() - timedelta(minutes=2))
        row = self.row(browser)
        assert "50 %" in row and "left" not in row

    def test_only_runs_that_one_may_control_can_be_chosen(self, browser: Client, run: Run) -> None:
        bobs = make("lathe", User.objects.create_user("bob"), visibility="public")
        body = browser.get(LIST).content.decode()
        assert f'value="{run.id.hex}" form="ls-bulk"' in body
        assert f'value="{bobs.id.hex}"' not in body
        assert 'form="ls-bulk"' not in Client().get(LIST).content.decode()

    def test_hostile_names_are_text(self, browser: Client, owner: User) -> None:
        make('"><script>1</script>{{7*7}}', owner)
        body = browser.get(LIST, {"q": '"><script>1'}).content.decode()
        assert "<script>1" not in body and "{{7*7}}" in body


def test_however_many_runs_there_are_as_many_questions_are_asked(browser: Client, owner: User) -> None:
    worker = Worker.objects.create(host="mill", queues=["default"])

    def asked(query: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            assert browser.get(f"{LIST}?{query}").status_code == 200
        return len(queries)

    def add(count: int) -> None:
        for number in range(count):
            other = User.objects.create_user(f"user {Run.objects.count()}")
            make(f"run {number}", other, visibility="public", status="running", worker=worker)

    queries = ["", "part=rows", "q=run&status=running&sim=counter", "part=filter&mine=1"]
    add(2)
    few = [asked(query) for query in queries]
    add(12)
    assert [asked(query) for query in queries] == few
    assert max(few) <= 16


@pytest.mark.parametrize("address", ["http://[", "http://x/?" + "&".join(f"a={n}" for n in range(1500))])
def test_a_page_at_what_is_no_address_gets_its_rows(address: str) -> None:
    for part in ("rows", "filter"):
        answer = Client().get(
            f"/livesim/?part={part}", headers={"HX-Request": "true", "HX-Current-URL": address}
        )
        assert answer.status_code == 200
