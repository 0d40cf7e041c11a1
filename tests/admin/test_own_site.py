"""The mixin before a host's own ModelAdmin, on a site of its own: the example of docs/admin.md."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db.models import Count
from django.test import Client
from django.urls import path

from django_livesim.admin import RunAdminMixin, register
from django_livesim.models import Run
from django_livesim.protocol.names import Status
from tests import urls
from tests.admin.conftest import said
from tests.admin.test_acting import hidden
from tests.documents import block

pytestmark = pytest.mark.django_db

LIST = "/operations/livesim/run/"


@pytest.fixture
def operations(settings: Any) -> Any:
    """The site of the document, beside the default one."""
    names: dict[str, Any] = {}
    exec(compile(block("docs/admin.md", "RunAdminMixin"), "docs/admin.md", "exec"), names)
    urlconf = ModuleType("tests.admin.urls_of_the_document")
    urlconf.urlpatterns = [path("operations/", names["operations"].urls), *urls.urlpatterns]  # type: ignore[attr-defined]
    settings.ROOT_URLCONF = urlconf
    return names["operations"]


@pytest.fixture(autouse=True)
def _site(operations: Any) -> None:
    pass


def test_both_sides_of_the_class_count(boss: Client, make: Any) -> None:
    for number in range(21):
        make(name=f"run-{number}", visibility="public")
    page = boss.get(LIST)
    assert len(page.context["cl"].result_list) == 20
    assert "column-visibility" in page.content.decode() and "Operations" in page.content.decode()


def test_every_link_stays_on_its_site(boss: Client, make: Any) -> None:
    run = make(name="run", visibility="link", status=Status.PAUSED)
    address = f"{LIST}{run.pk}/change/"
    ask = boss.post(f"{LIST}{run.pk}/act/stop/")
    pages = [boss.get(LIST), boss.get(address), boss.get(f"{LIST}add/?simulation=counter"), ask]
    pages += [
        boss.get(f"{LIST}{run.pk}/inspect/"),
        boss.get(f"{LIST}{run.pk}/send/"),
        boss.get(f"{LIST}{run.pk}/delete/"),
    ]
    for page in pages:
        assert page.status_code == 200
        assert not re.search(r'(?:href|action)="/admin/', page.content.decode())


def test_what_is_not_registered_is_not_linked(boss: Client, make: Any) -> None:
    labels = dict(boss.get(f"{LIST}{make().pk}/change/").context["tools"])
    assert "Inspect" in labels and "Commands" not in labels and "Checkpoints" not in labels


def test_acts_work_there(boss: Client, make: Any) -> None:
    run = make(name="run")
    answer = hidden(boss.post(f"{LIST}{run.pk}/act/stop/"))
    response = boss.post(f"{LIST}{run.pk}/act/stop/", answer, follow=True)
    assert response.redirect_chain == [(f"{LIST}{run.pk}/change/", 303)]
    assert said(response) == ["“run”: stop: applied at tick 0."]
    started = boss.post(f"{LIST}add/", {"run-simulation": "counter", "run-visibility": "private"})
    assert started.headers["Location"].startswith(LIST)
    assert LogEntry.objects.count() == 2


def test_an_action_of_the_host_stands_beside_ours(boss: Client, make: Any) -> None:
    run = make(name="run")
    page = boss.get(LIST).content.decode()
    assert 'value="publish"' in page and 'value="pause_runs"' in page
    boss.post(LIST, {"action": "publish", "_selected_action": [str(run.pk)]})
    assert Run.objects.get().visibility == "public"


@pytest.mark.parametrize(
    "narrow", [lambda runs: runs.distinct(), lambda runs: runs.annotate(n=Count("commands"))]
)
def test_a_queryset_of_the_hosts_that_is_distinct_or_counts_is_taken(
    narrow: Any, settings: Any, enter: Any, person: Any, make: Any
) -> None:
    class Mine(RunAdminMixin, admin.ModelAdmin):  # type: ignore[type-arg]
        def get_queryset(self, request: Any) -> Any:
            return narrow(super().get_queryset(request))

    class Shop(admin.ModelAdmin):  # type: ignore[type-arg]
        def get_queryset(self, request: Any) -> Any:
            return narrow(super().get_queryset(request))

    class Below(RunAdminMixin, Shop):
        pass

    run = make(name="seen", visibility="public")
    make(name="hidden")
    browser = enter(person("bob", "start_run"))
    for each in (Mine, Below):
        site = admin.AdminSite(name="narrow")
        site.register(Run, each)
        settings.ROOT_URLCONF = module_of(site)
        page = browser.get("/narrow/livesim/run/", {"q": "ee"})
        assert [str(found) for found in page.context["cl"].result_list] == ["seen"]
        assert browser.get(f"/narrow/livesim/run/{run.pk}/change/").status_code == 200


def test_what_the_host_leaves_out_is_not_opened_by_a_right_either(
    settings: Any, boss: Client, make: Any
) -> None:
    class Mine(RunAdminMixin, admin.ModelAdmin):  # type: ignore[type-arg]
        def get_queryset(self, request: Any) -> Any:
            return super().get_queryset(request).filter(queue="ours")

    site = admin.AdminSite(name="narrow")
    site.register(Run, Mine)
    settings.ROOT_URLCONF = module_of(site)
    theirs, ours = make(visibility="public"), make(queue="ours")
    for run, status in ((theirs, 404), (ours, 200)):
        assert boss.get(f"/narrow/livesim/run/{run.pk}/send/").status_code == status
    assert boss.get(f"/narrow/livesim/run/{theirs.pk}/change/").status_code == 302
    boss.post(f"/narrow/livesim/run/{theirs.pk}/delete/", {"post": "yes"})
    assert Run.objects.filter(pk=theirs.pk).exists()


def module_of(site: admin.AdminSite) -> Any:
    urlconf = ModuleType("tests.admin.urls_of_a_narrow_site")
    urlconf.urlpatterns = [path("narrow/", site.urls), *urls.urlpatterns]  # type: ignore[attr-defined]
    return urlconf


def test_register_puts_all_five_on_a_site_as_they_are_on_the_default_one() -> None:
    site = admin.AdminSite(name="backstage")
    register(site)
    here, there = ({m: type(a) for m, a in each._registry.items()} for each in (site, admin.site))
    assert here == {model: each for model, each in there.items() if model._meta.app_label == "livesim"}
    assert len(here) == 5
