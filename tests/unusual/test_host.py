"""What the unusual host stores where, and what its own transactions do."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from uuid import uuid4

import pytest
import redis
from django.contrib.auth import get_user_model
from django.core import checks
from django.db import connections, transaction
from django.test import override_settings
from django.urls import reverse
from django.utils import timezone

from django_livesim import gateway, urls
from django_livesim.bus import doorbells
from django_livesim.gateway.vitals import look_at_workers
from django_livesim.models import Command, Run, Worker
from django_livesim.permissions import Actor
from django_livesim.store import claiming, leases, loading, repeating
from django_livesim.store.identity import this_process

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sims"])

LIST = "/sub/en/simulations/"


@pytest.fixture
def ada():
    return get_user_model().objects.create_superuser("ada@example.com", "ada")


@pytest.fixture
def run(ada):
    return gateway.start("counter", owner=ada)


def tables(alias):
    names = connections[alias].introspection.table_names()
    return {name for name in names if name.startswith("livesim_")}, set(names)


def test_runs_are_in_their_database_and_users_in_theirs():
    assert tables("default")[0] == set()
    ours, everything = tables("sims")
    assert {"livesim_run", "livesim_command", "livesim_checkpoint", "livesim_worker"} <= ours
    assert everything - ours <= {"django_migrations"}


def test_the_checks_find_nothing():
    assert checks.run_checks(include_deployment_checks=False, databases=["default", "sims"]) == []


def test_without_the_router_a_check_tells_the_line():
    with override_settings(DATABASE_ROUTERS=[]):
        (message,) = (each for each in checks.run_checks() if each.id == "livesim.E009")
    assert message.msg == "LIVESIM[\"DATABASE\"] is 'sims', and no router sends our migrations there alone."
    assert message.hint == (
        'Set: DATABASE_ROUTERS = ["django_livesim.routers.LivesimRouter"]\n'
        "Then: python manage.py migrate --database=sims"
    )


def test_a_router_of_the_hosts_that_keeps_our_tables_away_is_found_too():
    with override_settings(DATABASE_ROUTERS=["tests.unusual.test_host.Nowhere"]):
        (message,) = (each for each in checks.run_checks() if each.id == "livesim.E009")
    assert message.msg.endswith("a router keeps our tables from being made there.")
    assert '["django_livesim.routers.LivesimRouter", "tests.unusual.test_host.Nowhere"]' in message.hint


class Nowhere:
    def allow_migrate(self, db, app_label, **hints):
        return False


def test_owners_are_looked_for_where_users_are(ada, run):
    found = Run.objects.get(id=run.id)
    assert found.owner == ada
    assert gateway.facts(found)["owner"] == "ada@example.com"
    assert [each.owner for each in Run.objects.prefetch_related("owner")] == [ada]
    found.owner = get_user_model().objects.create_user("bob@example.com")
    found.save()
    assert Run.objects.get(id=run.id).owner.email == "bob@example.com"


def test_a_deleted_user_leaves_runs_without_an_owner(ada, run):
    get_user_model().objects.filter(pk=ada.pk).delete()
    assert Run.objects.get(id=run.id).owner_id is None


def test_an_owner_who_vanished_behind_djangos_back_harms_nothing(ada, run, client):
    Run.objects.filter(id=run.id).update(visibility="public")
    with connections["default"].cursor() as cursor:
        cursor.execute("DELETE FROM unusual_user")
    assert gateway.facts(Run.objects.get(id=run.id))["owner"] == str(ada.pk)
    assert client.get(LIST).status_code == 200
    assert client.get(f"{LIST}runs/{run.id}/").status_code == 200


def test_a_run_is_started_and_stopped_by_whoever_is_known_by_e_mail(ada, client):
    client.force_login(ada)
    page = client.get(LIST, {"simulation": "counter"})
    assert "ada@example.com" in page.text
    form = {"run-simulation": "counter", "run-visibility": "private", "start": "3"}
    address = client.post(f"{LIST}start/", form).url
    run = Run.objects.get()
    assert address == f"{LIST}runs/{run.id}/" and run.owner == ada
    assert Command.objects.count() == 0
    sender = client.post(f"{address}control/stop/", {"confirmed": "1"}, follow=True)
    assert "Stop: applied at tick 0." in sender.text
    assert Command.objects.get().sender == f"u:{ada.pk}"


def test_ages_are_told_by_the_hosts_clock(ada, run, client):
    client.force_login(ada)
    assert "just now" in client.get(LIST).text
    Run.objects.filter(id=run.id).update(created_at=timezone.now() - timedelta(minutes=5))
    assert "5\xa0minutes ago" in client.get(LIST).text


def test_a_worker_that_beats_is_alive_and_one_that_fell_silent_is_not():
    worker = leases.register(this_process(), ["default"])
    assert look_at_workers().figures["alive"] == 1
    assert leases.beat(worker, {})
    assert look_at_workers().figures["alive"] == 1
    Worker.objects.filter(id=worker).update(beat_at=timezone.now() - timedelta(minutes=5))
    assert look_at_workers().figures["alive"] == 0


def test_a_delayed_command_is_due_when_it_was_said(run):
    command = gateway.send(run, "add", delay=60)
    assert abs(command.due_at - timezone.now() - timedelta(seconds=60)) < timedelta(seconds=5)


def test_a_repeated_command_is_due_again_one_period_later(run):
    command = gateway.send(run, "add", every=60, delay=0)
    (entry,) = loading.waiting([run.id]).entries[run.id]
    assert entry.due_in == 0
    with transaction.atomic(using="sims"):
        repeating.repeat([command.pk])
    again = Command.objects.get(series=command.pk)
    assert again.due_at - command.due_at == timedelta(seconds=60)
    assert loading.waiting([run.id]).entries == {run.id: [entry]}


def test_scripts_and_styles_come_by_their_nonce_alone(run, client):
    Run.objects.filter(id=run.id).update(visibility="public")
    nonces = set()
    for path in (LIST, f"{LIST}runs/{run.id}/", f"{LIST}runs/{uuid4()}/"):
        answer = client.get(path)
        policy = dict(part.split(" ", 1) for part in answer["Content-Security-Policy"].split("; "))
        assert policy["script-src"] == policy["style-src"]
        (nonce,) = re.fullmatch(r"'nonce-([^']+)'", policy["script-src"]).groups()
        tags = re.findall(r"<(?:script|link)\b[^>]*>", answer.text)
        active = [tag for tag in tags if "json" not in tag and 'rel="icon"' not in tag]
        assert len(active) >= 3 and all(f'nonce="{nonce}"' in tag for tag in active)
        assert not re.search(r"<[^>]+ (?:style|on\w+)=", answer.text)
        nonces.add(nonce)
    assert len(nonces) == 3


# -- transactions --------------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", urls.urlpatterns, ids=lambda pattern: pattern.name)
def test_no_view_of_ours_is_in_the_transaction_of_the_request(pattern):
    assert pattern.callback._non_atomic_requests == {"default", "sims"}


def rings(url, act):
    """How many messages `act` sends on the channel layer."""
    with redis.Redis.from_url(url) as server, server.pubsub() as heard:
        heard.psubscribe("*")
        assert heard.get_message(timeout=30)["type"] == "psubscribe"
        doorbells.flush()
        while heard.get_message(timeout=0.2):
            pass  # of what came before
        act()
        doorbells.flush()
        count = 0
        while heard.get_message(timeout=0.2):
            count += 1
        return count


@pytest.fixture
def layer(settings, redis_url):
    config = {"hosts": [{"address": redis_url, "socket_timeout": None}]}
    settings.CHANNEL_LAYERS = {"sims": settings.CHANNEL_LAYERS["sims"] | {"CONFIG": config}}
    return redis_url


def test_what_a_view_of_the_hosts_sends_is_accepted_by_its_commit(layer, run, client):
    began = time.monotonic()
    assert rings(layer, lambda: client.get(reverse("send", args=[run.id]))) >= 1
    assert time.monotonic() - began < 30
    assert Command.objects.count() == 1


def test_where_its_commit_fails_nothing_is_accepted_and_nothing_rung(layer, run, client):
    client.raise_request_exception = False
    answers = []
    breaking = reverse("send-and-break", args=[run.id])
    assert rings(layer, lambda: answers.append(client.get(breaking))) == 0
    assert answers[0].status_code == 500
    assert Command.objects.count() == 0


def test_an_inspection_inside_a_transaction_does_not_wait_for_who_cannot_see_it(run):
    worker = leases.register(this_process(), ["default"])
    assert claiming.claim(worker, [], queues=["default"], simulations={"counter": 1}) == [run.id]
    began = time.monotonic()
    with transaction.atomic(using="sims"):
        found = gateway.inspect(run)
    assert time.monotonic() - began < 1.9  # and not the two seconds that a worker has
    assert (found["state"], found["commands"]) == (None, [])
    assert Command.objects.count() == 0


def test_a_command_inside_a_transaction_is_pending_and_not_waited_for(run):
    began = time.monotonic()
    with transaction.atomic(using="sims"):
        assert gateway.send(run, "add", wait=True, timeout=60).outcome == ""
    assert time.monotonic() - began < 30
    actor = Actor.from_process("test")
    assert [each.id for each in gateway.runs(actor)] == [run.id]


# -- the admin -----------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["administration", "back-office"])
def test_each_admin_site_of_the_hosts_shows_runs(place, ada, run, client):
    client.force_login(ada)
    assert "ada@example.com" in client.get(f"/sub/en/{place}/livesim/run/").text
    page = client.get(f"/sub/en/{place}/livesim/run/{run.id}/change/")
    assert page.status_code == 200 and f"/sub/en/{place}/" in page.text
