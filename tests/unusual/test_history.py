"""What the site's history says where runs have a database of their own."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model

from django_livesim import gateway
from django_livesim.models import Run
from django_livesim.protocol.errors import Code, LivesimError

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sims"])


@pytest.mark.parametrize("refused", [True, False])
def test_only_a_run_that_is_gone_is_in_the_history_as_deleted(
    refused: bool, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = get_user_model().objects.create_superuser("ada@example.com", "ada")
    run = gateway.start("counter", owner=ada)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise LivesimError("Orders point to this run; delete them first.", code=Code.REFUSED)

    if refused:
        monkeypatch.setattr(gateway, "delete", refuse)
    client.force_login(ada)
    client.post(f"/en/administration/livesim/run/{run.pk}/delete/", {"post": "yes"})
    assert Run.objects.filter(pk=run.pk).exists() is refused
    assert LogEntry.objects.exists() is not refused
