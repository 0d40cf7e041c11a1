"""Pages, forms and refusals in another language, whole pages and fragments."""

from __future__ import annotations

import json
import re
from functools import cache
from html.parser import HTMLParser

import pytest
from django.contrib.auth import get_user_model
from django.utils import translation

from django_livesim import gateway, params, registry
from django_livesim.models import Checkpoint, Command, Run, Task, Worker
from django_livesim.protocol import plain
from tests.unusual import pseudo

pytestmark = pytest.mark.django_db(databases=["default", "sims"])

LIST = "/sub/de/simulations/"
HTMX = {"HX-Request": "true"}

OUTSIDE = {"script", "style", "code", "pre", "textarea"}
SHOWN = (
    *("aria-label", "title", "placeholder", "alt", "data-empty", "hx-confirm", "data-label"),
    *("data-ask-one", "data-ask-many"),
)


class Texts(HTMLParser):
    """What a person reads, or is read, of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag in OUTSIDE:
            self.open.append(tag)
        self.found += [value for name, value in attrs if name in SHOWN and value]

    def handle_endtag(self, tag):
        if tag in OUTSIDE:
            self.open.remove(tag)

    def handle_data(self, data):
        if not self.open and data.strip():
            self.found.append(data.strip())


MARKED = re.compile(r"⟦[^⟦⟧]*⟧")
ROWS = re.compile(
    r"""
    ada@example\.com | here:0 | photos\.resize | my\ own\ run | Traceback | Deutsch | English
    | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b | \b[0-9a-f]{8}\b | [0-9a-f]{12}… | ^[0-9a-f]{32}$ | https?://\S+
    | \bu:\d+ | ^here$ | ^default$ | \bid-(?:applied|refused)$
    | The\ host's\ own\ administration
    | ^True$ | ^Search$                              # Django's icons
    | \d+\.\ \w+\ \d{4}\ \d\d:\d\d                   # a date, which is Django's to translate
    | Example\ Works(?:\ Ltd)? | ^Site$
    """,
    re.VERBOSE,
)
"""What people, rows and templates of these tests say themselves."""


@cache
def authors() -> tuple[frozenset[str], re.Pattern[str]]:
    """What the authors of simulations say: whole texts, and names that stand within others."""
    names, texts = set(), set()
    for simulation in registry.all():
        names |= {simulation.name, simulation.label}
        forms = [params.form_class(simulation)]
        for spec in simulation.commands.values():
            names |= {spec.name, spec.label}
            texts.add(spec.help)
            forms.append(params.form_class(spec))
        texts.add(simulation.description)
        texts |= {str(field.label) for form in forms for field in form().visible_fields()}
    longest = sorted(names, key=len, reverse=True)
    return frozenset(texts | names), re.compile(rf"\b(?:{'|'.join(map(re.escape, longest))})\b")


def untranslated(html: str) -> list[str]:
    """The texts in which letters are left when what was translated, and what is data, is taken out."""
    return [text for text in Texts(html).found if re.search(r"[^\W\d_]", residue(text))]


def residue(text: str) -> str:
    while MARKED.search(text):
        text = MARKED.sub("", text)
    texts, names = authors()
    return "" if text in texts else names.sub("", ROWS.sub("", text))


def test_what_is_left_untranslated_is_noticed():
    assert untranslated('<p title="Wait">⟦Start ⟦it⟧⟧ now</p> <b>3 · ⟦x⟧</b>') == ["Wait", "⟦Start ⟦it⟧⟧ now"]


@pytest.fixture(scope="session")
def catalogues(tmp_path_factory):
    folder = tmp_path_factory.mktemp("locale")
    pseudo.write(folder, "de")
    return folder


@pytest.fixture(autouse=True)
def german(settings, catalogues):
    """German, with our own texts marked; Django's own texts are Django's."""
    settings.LOCALE_PATHS = [catalogues]
    yield
    translation.deactivate()


@pytest.fixture
def all_marked(settings, german, tmp_path_factory):
    """Django's own texts are marked too, for pages that have ours between them."""
    folder = tmp_path_factory.mktemp("locale")
    pseudo.write(folder, "de", with_django=True)
    settings.LOCALE_PATHS = [folder]


@pytest.fixture
def ada(client):
    ada = get_user_model().objects.create_superuser("ada@example.com", "ada")
    client.force_login(ada)
    return ada


def stored(run: Run) -> Run:
    """With a worker, a stored state and commands of every outcome."""
    worker = Worker.objects.create(host="here")
    Run.objects.filter(id=run.id).update(worker=worker)
    data = plain.encode({"state": {"value": 1}})
    Checkpoint.objects.create(run=run, tick=1, apply_seq=0, epoch=0, hash=plain.digest(data), data=data)
    for outcome in ("", "applied", "refused"):
        Command.objects.create(
            run=run, name="add", client_id=f"id-{outcome}", sender="u:1", outcome=outcome, apply_tick=3
        )
    return run


@pytest.mark.parametrize("query", ["", "?simulation=counter", "?simulation=echo"])
def test_nothing_of_the_list_is_left_untranslated(client, ada, query):
    stored(gateway.start("counter", owner=ada))
    gateway.start("counter", owner=ada, visibility="public")
    html = client.get(LIST + query).text
    assert "⟦Start a run⟧" in html
    assert untranslated(html) == []


def test_nor_of_the_list_that_a_stranger_sees(client):
    html = client.get(LIST).text
    assert "⟦There are no runs to see yet.⟧" in html
    assert untranslated(html) == []


STATUSES = ["waiting", "running", "paused", "stopping", "stopped", "finished", "failed", "quarantined"]


@pytest.mark.parametrize(
    ("status", "visibility"),
    [*((status, "link") for status in STATUSES), ("running", "private"), ("stopped", "public")],
)
def test_nothing_of_a_run_is_left_untranslated(client, ada, status, visibility):
    run = stored(gateway.start("counter", owner=ada, name="my own run", visibility=visibility))
    ended = {"result": {"a": 1}, "error": "Traceback"} if status == "failed" else {}
    Run.objects.filter(id=run.id).update(status=status, **ended)
    html = client.get(f"{LIST}runs/{run.id}/").text
    assert f"⟦{status}⟧" in html
    assert untranslated(html) == []
    client.logout()
    assert untranslated(client.get(f"{LIST}runs/{run.id}/").text) == []


def test_nor_of_commands_for_later_and_what_becomes_of_them(client, ada):
    run = gateway.start("counter", owner=ada)
    rows = [gateway.send(run, "add", user=ada, every=each) for each in (0.5, 60, 3600, 86400)]
    gateway.send(run, "add", user=ada, at_tick=9)
    Command.objects.filter(pk=rows[1].pk).update(due_at=run.created_at)
    html = client.get(f"{LIST}runs/{run.id}/").text
    assert "⟦every 1 h⟧" in html
    assert untranslated(html) == []
    answer = client.post(f"{LIST}runs/{run.id}/scheduled/{rows[0].pk}/cancel/", headers=HTMX)
    assert "⟦“add” was cancelled.⟧" in answer.text
    assert untranslated(answer.text) == []


def test_nor_of_a_run_that_waits_for_its_script(client, ada):
    run = gateway.start("echo", owner=ada, key="here", name="my own run", visibility="public")
    Run.objects.filter(id=run.id).update(source="external")
    html = client.get(f"{LIST}runs/{run.id}/").text
    assert "⟦This run waits for its script:" in html
    assert untranslated(html) == []
    client.logout()
    assert untranslated(client.get(f"{LIST}runs/{run.id}/").text) == []


def test_nor_of_a_loop_or_of_a_question(client, ada):
    run = gateway.start("echo", owner=ada)
    assert untranslated(client.get(f"{LIST}runs/{run.id}/").text) == []
    question = client.post(f"{LIST}runs/{run.id}/control/stop/")
    assert "⟦Stop this run?" in question.text
    assert untranslated(question.text) == []


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
def test_errors_of_forms_and_refusals_are_translated(client, ada, headers):
    run = gateway.start("counter", owner=ada)
    answer = client.post(f"{LIST}runs/{run.id}/commands/add/", {"n": "many"}, headers=headers)
    assert answer.status_code == 422
    assert "Bitte eine ganze Zahl eingeben." in answer.text
    Run.objects.filter(id=run.id).update(status="finished")
    answer = client.post(f"{LIST}runs/{run.id}/commands/add/", {"n": "1"}, headers=headers)
    refused = "⟦The run is ⟦finished⟧ and takes no commands; resume or restart it first.⟧"
    assert refused in answer.text
    answer = client.post(f"{LIST}runs/{run.id}/control/pause/", headers=headers, follow=True)
    assert "⟦The run is ⟦finished⟧: it cannot pause. Legal now: restart, stop.⟧" in answer.text


def test_the_words_of_the_scripts_are_translated(client):
    html = client.get(LIST).text
    words = re.search(r'<script id="livesim-words"[^>]*>(.*?)</script>', html)
    assert words is not None
    texts = json.loads(words[1])
    assert [text for text in texts.values() if not text.startswith("⟦")] == []


ADMIN = "/sub/de/administration/livesim/"


@pytest.mark.parametrize(
    "path",
    [
        "run/",
        "run/?status__exact=failed",
        "run/{run}/change/",
        "run/{run}/history/",
        "run/{run}/delete/",
        "run/{run}/inspect/",
        "run/{run}/inspect/?part=now",
        "run/{run}/send/",
        "run/{run}/send/add/",
        "run/add/",
        "run/add/?simulation=counter",
        "command/",
        "command/{command}/change/",
        "checkpoint/",
        "checkpoint/{checkpoint}/change/",
        "worker/",
        "worker/{worker}/change/",
        "task/",
        "task/?status=waiting&kind=task&queue=default&q=photos.resize",
        "task/{task}/change/",
        "task/{task}/history/",
        "",
    ],
)
@pytest.mark.parametrize("status", ["running", "failed"])
def test_nothing_of_the_admin_is_left_untranslated(client, ada, all_marked, path, status):
    run = stored(gateway.start("counter", owner=ada, visibility="link"))
    Run.objects.filter(id=run.id).update(status=status)
    ids = {
        "run": run.pk,
        "command": Command.objects.filter(outcome="refused").get().pk,
        "checkpoint": Checkpoint.objects.get().pk,
        "worker": Worker.objects.get().pk,
        "task": [tasks(status=each)[-1].pk for each in ("waiting", status)][-1],
    }
    page = client.get(ADMIN + path.format(**ids))
    assert page.status_code == 200
    assert "⟦" in page.text
    assert untranslated(page.text) == []


@pytest.mark.parametrize("action", ["stop_runs", "restart_runs", "pause_runs", "delete_selected"])
@pytest.mark.parametrize("confirmed", [False, True], ids=["asked", "done"])
def test_nor_of_what_its_actions_ask_and_tell(client, ada, all_marked, action, confirmed):
    runs = [gateway.start("counter", owner=ada) for _ in range(25)]
    Run.objects.filter(id=runs[0].id).update(status="quarantined")
    form = {"action": action, "_selected_action": [str(run.pk) for run in runs]}
    page = client.post(f"{ADMIN}run/", form | ({"confirmed": "1"} if confirmed else {}), follow=True)
    assert page.status_code == 200
    assert untranslated(page.text) == []
    assert (re.search(r'id="confirm" value="⟦Yes, [^⟦⟧]*⟧"', page.text) is None) is (
        confirmed or action == "pause_runs"
    )


def tasks(count: int = 1, **fields) -> list[Task]:
    worker = Worker.objects.create(host="here", load={"tasks": {"running": 1, "threads": 4}})
    given = {"name": "photos.resize", "worker": worker, "ended_at": worker.beat_at} | fields
    return [Task.objects.create(**given) for _ in range(count)]


@pytest.mark.parametrize("action", ["cancel_tasks", "call_again", "delete_selected"])
@pytest.mark.parametrize("confirmed", [False, True], ids=["asked", "done"])
def test_nor_of_what_is_done_to_tasks(client, ada, all_marked, action, confirmed):
    made = [*tasks(25, status="running"), *tasks(25, status="failed"), *tasks(2, status="waiting")]
    form = {"action": action, "_selected_action": [row.pk for row in made]}
    page = client.post(f"{ADMIN}task/", form | ({"confirmed": "1"} if confirmed else {}), follow=True)
    assert untranslated(page.text) == []
    asked = 'id="confirm" value="⟦Yes, ' in page.text
    assert asked is not (confirmed or action == "cancel_tasks")
    assert asked or re.search(r"⟦[0-9]+ tasks? (was|were|are) [^⟦⟧]*⟧", page.text)


@pytest.mark.parametrize("model", [Run, Command, Checkpoint, Task, Worker])
def test_every_field_has_a_label_to_translate(model):
    with translation.override("de"):
        labels = {
            field.name: str(field.verbose_name)
            for field in model._meta.concrete_fields
            if not field.auto_created
        }
    assert {name: label for name, label in labels.items() if not label.startswith("⟦")} == {}


def test_every_text_of_the_gateway_is_found():
    found = set(pseudo.messages())
    assert "The run is changing hands; try again." in found
    assert "Page %(number)s of %(total)s" in found
    assert len(found) > 150
