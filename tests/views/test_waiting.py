"""Why a run waits, as its page says it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from django_livesim import gateway
from django_livesim.models import Run, Source, Worker
from tests.test_views import text_of

pytestmark = pytest.mark.django_db

NO_WORKER = "No worker is running"
NO_SCRIPT = "This run waits for its script: no process is attached to it."


@pytest.fixture
def owner() -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def browser(owner: User) -> Client:
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture
def attached(owner: User) -> Run:
    """A run whose worker is a process of its author's, between two attachments."""
    run = gateway.start("echo", owner=owner, key='lab "12"', visibility="public")
    Run.objects.filter(id=run.id).update(source=str(Source.EXTERNAL))
    run.refresh_from_db()
    return run


def test_an_attached_run_waits_for_its_script_and_says_how_that_begins(browser, attached):
    text = text_of(browser.get(attached.get_absolute_url()))
    call = "with attach(&quot;echo&quot;, key=&quot;lab \\&quot;12\\&quot;&quot;) as sim:"
    assert f"{NO_SCRIPT} Start the script that attaches by {call}" in text
    assert NO_WORKER not in text
    assert "The run waits for its script; it has no state yet." in text


def test_who_may_not_control_it_is_not_told_its_key(client, attached):
    text = text_of(client.get(attached.get_absolute_url()))
    assert f"{NO_SCRIPT} It goes on when its owner starts the script again." in text
    assert "attach(" not in text


def test_a_paused_one_waits_for_it_too(browser, attached):
    Run.objects.filter(id=attached.id).update(status="paused")
    assert NO_SCRIPT in text_of(browser.get(f"{attached.get_absolute_url()}?part=facts"))


@pytest.mark.parametrize("status", ["running", "stopped", "finished", "failed"])
def test_one_that_has_its_process_or_has_ended_does_not(browser, attached, status):
    worker = Worker.objects.create(host="lab") if status == "running" else None
    Run.objects.filter(id=attached.id).update(status=status, worker=worker)
    assert NO_SCRIPT not in text_of(browser.get(attached.get_absolute_url()))


def test_the_list_asks_for_a_worker_only_where_a_run_waits_for_one(browser, owner, attached):
    assert NO_WORKER not in text_of(browser.get(reverse("livesim:run-list")))
    gateway.start("counter", owner=owner)
    assert NO_WORKER in text_of(browser.get(reverse("livesim:run-list")))


def test_the_reason_that_no_worker_takes_a_run_is_on_its_page_and_in_the_list(browser, owner):
    Worker.objects.create(host="mill")
    run = gateway.start("counter", owner=owner)
    reason = "no worker with counter serves the queue slow"
    Run.objects.filter(id=run.id).update(reason=reason)
    assert reason in text_of(browser.get(run.get_absolute_url()))
    assert reason in text_of(browser.get(reverse("livesim:run-list")))


def test_history_that_is_played_again_is_shown_as_progress_on_the_page_and_in_the_list(browser, owner):
    run = gateway.start("counter", owner=owner)
    reason = "playing history again: 25 %"
    Run.objects.filter(id=run.id).update(status="running", reason=reason, progress=0.25)
    page = browser.get(run.get_absolute_url())
    assert 'max="1" value="0.250000"' in page.content.decode()
    assert reason in text_of(page)
    assert reason in text_of(browser.get(reverse("livesim:run-list")))


def test_what_a_run_said_when_it_was_taken_over_is_not_in_the_list(browser, owner):
    run = gateway.start("counter", owner=owner)
    Run.objects.filter(id=run.id).update(status="running", reason="recovered")
    assert "recovered" not in text_of(browser.get(reverse("livesim:run-list")))


def test_a_run_that_is_said_to_be_running_does_not_go_on_without_any_worker(browser, owner):
    run = gateway.start("echo", owner=owner)
    holder = Worker.objects.create(state=Worker.State.GONE, queues=["default"])
    Run.objects.filter(id=run.id).update(status="running", worker=holder)
    for url in (run.get_absolute_url(), reverse("livesim:run-list")):
        assert f"{NO_WORKER}, so no run is stepped." in text_of(browser.get(url))
    Worker.objects.create(queues=["default"])
    for url in (run.get_absolute_url(), reverse("livesim:run-list")):
        assert NO_WORKER not in text_of(browser.get(url))
