"""Runs within a host's own templates, and the view for frames."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.template import engines
from django.test import Client, RequestFactory
from django.utils import timezone

from django_livesim import conf
from django_livesim.models import Run, Sample
from django_livesim.views import places

pytestmark = pytest.mark.django_db(databases="__all__")

ORIGIN = "https://blog.example.org"
HOSTILE = "\"'><img src=x onerror=alert(1)>"


@pytest.fixture
def ada(django_user_model: Any) -> Any:
    return django_user_model.objects.create_user("ada")


@pytest.fixture
def run(ada: Any) -> Run:
    return Run.objects.create(simulation="counter", owner=ada, status="running", params={}, seed=1)


def render(text: str, user: Any = None, address: str = "/", **context: Any) -> str:
    request = RequestFactory().get(address)
    request.user = user or AnonymousUser()
    return engines["django"].from_string("{% load livesim %}" + text).render(context, request)


def ids(text: str) -> list[str]:
    return re.findall(r'\sid="([^"]*)"', text)


class TestTags:
    @pytest.mark.parametrize("tag", ["livesim_panel run", "livesim_controls run", 'livesim_plot run "value"'])
    def test_who_may_not_see_a_run_gets_the_note_of_one_that_is_not_there(self, run: Run, tag: str) -> None:
        unseen = render(f"{{% {tag} %}}", run=run)
        assert 'data-livesim-embedded="none"' in unseen and run.id.hex not in unseen.replace("-", "")
        for other in (uuid4(), str(uuid4()), "counter:none", "a\0b", "", None, 7):
            assert render(f"{{% {tag} %}}", run=other) == unseen

    @pytest.mark.parametrize("tag", ["livesim_panel run", "livesim_controls run", 'livesim_plot run "value"'])
    def test_without_a_request_what_to_add_is_told(self, run: Run, tag: str) -> None:
        template = engines["django"].from_string(f"{{% load livesim %}}{{% {tag} %}}")
        with pytest.raises(ImproperlyConfigured, match=r"django\.template\.context_processors\.request"):
            template.render({"run": run})

    def test_a_run_is_named_by_its_row_its_id_or_its_key(self, run: Run, ada: Any) -> None:
        run.key = "main"
        run.save()
        shown = [
            render("{% livesim_panel run %}", ada, run=ref)
            for ref in (run, run.id, str(run.id), "counter:main")
        ]
        assert all(f'data-livesim-run="{run.id}"' in text for text in shown)

    def test_a_panel_is_no_page_and_shares_nothing(self, run: Run, ada: Any) -> None:
        text = render("{% livesim_panel run %}", ada, run=run)
        assert "<html" not in text and "<body" not in text and "<h1" in text
        assert "/share/" not in text and "/delete/" not in text
        assert text.count("csrfmiddlewaretoken") == text.count('method="post"') > 5

    def test_a_link_with_its_key_shows_a_run_and_passes_the_key_on(self, run: Run) -> None:
        run.visibility, run.link_token = "link", "k" * 32
        run.save()
        text = render("{% livesim_panel run %}", address=f"/?key={'k' * 32}", run=run)
        assert f"/?key={'k' * 32}" in text
        assert "<form" not in text.replace('<form method="dialog"', "")

    def test_no_id_is_on_a_page_twice_however_much_is_embedded(self, run: Run, ada: Any) -> None:
        other = Run.objects.create(simulation="gauge", owner=ada, status="running", params={}, seed=1)
        tags = "".join(
            f'{{% livesim_panel {name} %}}{{% livesim_controls {name} %}}{{% livesim_plot {name} "value" %}}'
            for name in ("run", "other", "run")
        )
        found = Counter(ids(render(tags, ada, run=run, other=other)))
        assert found and max(found.values()) == 1
        assert f"panel-{run.id.hex}-2-ls-facts" in found

    def test_who_may_only_watch_gets_no_controls(self, run: Run) -> None:
        run.visibility = "public"
        run.save()
        text = render("{% livesim_controls run %}", run=run)
        assert "You may watch this run, not steer it." in text and "<form" not in text

    def test_the_plot_of_a_figure_begins_with_what_is_stored(self, run: Run, ada: Any) -> None:
        assert "No figures have been stored yet." in render('{% livesim_plot run "value" %}', ada, run=run)
        Sample.objects.create(run=run, tick=7, values={"value": 3, HOSTILE: 4}, created_at=timezone.now())
        text = render('{% livesim_plot run "value" %}', ada, run=run)
        assert "<strong>3</strong>" in text and 'data-figure="value"' in text
        text = render("{% livesim_plot run name %}", ada, run=run, name="</script>no")
        assert "no figure called “&lt;/script&gt;no” now" in text and "<img" not in text

    def test_names_are_only_ever_text(self, run: Run, ada: Any) -> None:
        run.name = HOSTILE
        run.save()
        text = render(
            '{% livesim_panel run %}{% livesim_controls run %}{% livesim_plot run "v" %}', ada, run=run
        )
        assert "<img" not in text

    def test_scripts_are_there_once_and_without_htmx(self) -> None:
        text = render("{% livesim_scripts %}{% livesim_scripts %}")
        assert text.count("livesim.js") == text.count('id="livesim-words"') == 1
        assert "htmx-2" not in text and "htmx-config" not in text
        assert "livesim.js" in engines["django"].from_string(
            "{% load livesim %}{% livesim_scripts %}"
        ).render({})

    def test_scripts_have_the_nonce_of_the_page(self) -> None:
        text = render("{% livesim_scripts %}", csp_nonce="n0nce")
        assert text.count('nonce="n0nce"') == text.count("<link") + 1


class TestParts:
    def test_an_answer_has_the_ids_of_the_place_that_asks(self, client: Client, run: Run, ada: Any) -> None:
        client.force_login(ada)
        prefix = places.prefix_for(places.PANEL, run)
        headers = {"HX-Request": "true", places.HEADER: prefix}
        text = client.get(run.get_absolute_url(), {"part": "facts"}, headers=headers).content.decode()
        assert f'id="{prefix}ls-worker"' in text
        address = f"{run.get_absolute_url()}commands/add/"
        response = client.post(address, {"n": "x"}, headers=headers)
        assert response.status_code == 422
        assert f'id="{prefix}id_add_n"' in response.content.decode()
        assert all(each.startswith(prefix) for each in ids(response.content.decode()))

    @pytest.mark.parametrize("prefix", [HOSTILE, "panel-", "panel-" + "0" * 32, "x-" + "0" * 32 + "-", "ls-"])
    def test_what_is_no_prefix_is_none(self, client: Client, run: Run, ada: Any, prefix: str) -> None:
        client.force_login(ada)
        headers = {"HX-Request": "true", places.HEADER: prefix}
        text = client.get(run.get_absolute_url(), {"part": "facts"}, headers=headers).content.decode()
        assert 'id="ls-worker"' in text

    def test_a_run_that_is_gone_does_not_load_the_host_s_page_anew(self, client: Client, run: Run) -> None:
        headers = {"HX-Request": "true", places.HEADER: places.prefix_for(places.PANEL, run)}
        response = client.get(run.get_absolute_url(), {"part": "facts"}, headers=headers)
        assert response.status_code == 404 and "HX-Refresh" not in response


class TestFrames:
    def embed(self, client: Client, run: Run, **asked: Any) -> Any:
        return client.get(f"{run.get_absolute_url()}embed/", **asked)

    @pytest.fixture
    def public(self, run: Run) -> Run:
        run.visibility = "public"
        run.save()
        return run

    @pytest.fixture
    def listed(self, settings: Any) -> Any:
        settings.LIVESIM = {"EMBED_ORIGINS": [ORIGIN]}
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.clickjacking.XFrameOptionsMiddleware"]
        return settings

    def test_without_origins_there_are_none(self, client: Client, public: Run, settings: Any) -> None:
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.middleware.clickjacking.XFrameOptionsMiddleware"]
        response = self.embed(client, public)
        assert response.status_code == 404 and "EMBED_ORIGINS" in response.content.decode()
        assert response["X-Frame-Options"] == "DENY"

    def test_the_listed_pages_may_show_a_public_run(self, client: Client, public: Run, listed: Any) -> None:
        response = self.embed(client, public)
        assert response.status_code == 200
        assert response["Content-Security-Policy"] == f"frame-ancestors 'self' {ORIGIN}"
        assert "X-Frame-Options" not in response
        assert client.get(public.get_absolute_url())["X-Frame-Options"] == "DENY"

    def test_a_private_run_is_not_told_from_none(self, client: Client, run: Run, listed: Any) -> None:
        response = self.embed(client, run)
        none = client.get(f"/livesim/runs/{uuid4()}/embed/")
        assert response.status_code == none.status_code == 404
        assert response.content == none.content

    def test_a_link_with_its_key_is_enough(self, client: Client, run: Run, listed: Any) -> None:
        run.visibility, run.link_token = "link", "k" * 32
        run.save()
        assert self.embed(client, run).status_code == 404
        assert self.embed(client, run, data={"key": "k" * 32}).status_code == 200

    @pytest.mark.parametrize("status", ["running", "stopped", "quarantined"])
    def test_nothing_can_be_done_even_by_the_owner(
        self, client: Client, run: Run, ada: Any, listed: Any, status: str
    ) -> None:
        run.status = status
        run.save()
        client.force_login(ada)
        text = self.embed(client, run).content.decode()
        assert "data-read-only" in text and 'data-role="view"' in text
        headers = {"HX-Request": "true", places.HEADER: places.prefix_for(places.FRAME, run)}
        facts = client.get(run.get_absolute_url(), {"part": "facts"}, headers=headers).content.decode()
        for each in (text, facts):
            assert "<form" not in each and "hx-post" not in each and "/share/" not in each

    def test_django_csp_keeps_the_rest_of_its_policy(self, client: Client, public: Run, listed: Any) -> None:
        listed.MIDDLEWARE = ["csp.middleware.CSPMiddleware", *listed.MIDDLEWARE]
        listed.CONTENT_SECURITY_POLICY = {
            "DIRECTIVES": {"default-src": ["'none'"], "frame-ancestors": ["'none'"]},
            "EXCLUDE_URL_PREFIXES": ("/elsewhere/",),
        }
        policy = self.embed(client, public)["Content-Security-Policy"]
        assert sorted(policy.split("; ")) == ["default-src 'none'", f"frame-ancestors 'self' {ORIGIN}"]
        usual = client.get(public.get_absolute_url())["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in usual
        listed.CONTENT_SECURITY_POLICY = {
            **listed.CONTENT_SECURITY_POLICY,
            "EXCLUDE_URL_PREFIXES": ("/livesim/",),
        }
        assert self.embed(client, public)["Content-Security-Policy"] == f"frame-ancestors 'self' {ORIGIN}"

    def test_django_s_own_middleware_keeps_the_rest_too(
        self, client: Client, public: Run, listed: Any
    ) -> None:
        listed.MIDDLEWARE = [_csp_middleware(), *listed.MIDDLEWARE]
        listed.SECURE_CSP = {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}
        policy = self.embed(client, public)["Content-Security-Policy"]
        assert sorted(policy.split("; ")) == ["default-src 'none'", f"frame-ancestors 'self' {ORIGIN}"]


def _csp_middleware() -> str:
    """Django's, where it has one; else one that works as that does."""
    try:
        from django.middleware import csp  # noqa: F401
    except ImportError:
        return "tests.test_embedding.LikeDjangos"
    return "django.middleware.csp.ContentSecurityPolicyMiddleware"


class LikeDjangos:
    """As far as it matters here, what Django 6 has: a nonce at the request, a policy left at the response."""

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        from django.conf import settings

        request._csp_nonce = "nonce"  # type: ignore[attr-defined]
        response: HttpResponse = self.get_response(request)
        policy = getattr(response, "_csp_config", settings.SECURE_CSP)
        if "Content-Security-Policy" not in response:
            response["Content-Security-Policy"] = "; ".join(
                f"{name} {' '.join(each)}" for name, each in policy.items()
            )
        return response


@pytest.mark.parametrize(
    "value",
    [
        "https://blog.example.org",
        ["*"],
        ["blog.example.org"],
        ["https://blog.example.org/"],
        ["https://blog.example.org/path"],
        ["https://*"],
        ["https://a b"],
        ["https://a; script-src *"],
        ["https://a\n"],
        ["'self'"],
        [""],
        None,
    ],
)
def test_what_is_no_list_of_origins_is_refused(settings: Any, value: Any) -> None:
    settings.LIVESIM = {"EMBED_ORIGINS": value}
    (problem,) = conf.problems()
    assert problem.key == 'LIVESIM["EMBED_ORIGINS"]' and "https://blog.example.org" in problem.expected


@pytest.mark.parametrize("value", [[], (ORIGIN,), ["http://127.0.0.1:8001", "https://*.example.org"]])
def test_a_list_of_origins_is_taken(settings: Any, value: Any) -> None:
    settings.LIVESIM = {"EMBED_ORIGINS": value}
    assert conf.problems() == []
