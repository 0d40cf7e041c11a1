"""`livesim share` and `livesim delete`."""

from __future__ import annotations

from typing import Any

import pytest

from django_livesim import gateway
from django_livesim.models import Run
from django_livesim.protocol.names import Status
from tests.test_cli import livesim, misused, refused

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run() -> Run:
    return gateway.start("counter", key="mill")


def test_share_prints_the_link_and_takes_it_back(run: Run, settings: Any) -> None:
    printed = livesim("share", "mill", "link").out
    run.refresh_from_db()
    assert printed == f"{run.id} is link: {run.get_absolute_url()}?key={run.link_token}\n"
    assert livesim("share", "mill").out == printed
    renewed = livesim("share", "mill", "--renew", "--json").json
    assert renewed["link"] not in printed and (renewed["visibility"], renewed["key"]) == ("link", "mill")
    assert livesim("share", "mill", "private").out == f"{run.id} is private\n"
    assert refused("share", "mill", "--renew").startswith("bad_args: Only a run that is shared by link")
    assert "invalid choice: 'nobody'" in misused("share", "mill", "nobody")
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    assert livesim("share", "mill", "link", "--json").json["link"].startswith("?key=")


def test_delete_asks_for_a_word_where_the_run_has_not_ended(run: Run) -> None:
    told = f"refused: {run.id} is waiting, and has not ended. Stop it first, or delete it with --yes"
    assert refused("delete", "mill") == told
    assert livesim("delete", "mill", "--yes").out == f"deleted {run.id}\n"
    assert refused("delete", "mill").startswith("no_run: ")
    ended = gateway.start("counter")
    Run.objects.update(status=str(Status.FINISHED))
    assert livesim("delete", ended.id, "--json").json == {"type": "deleted", "run": str(ended.id)}
    assert not Run.objects.exists()
