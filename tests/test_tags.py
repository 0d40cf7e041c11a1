"""The tags and filters of the pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib import admin
from django.template import engines
from django.test import RequestFactory
from django.urls import path
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from django_livesim import logins
from django_livesim.templatetags import livesim


def render(text, **context):
    request = context.pop("request", None)
    return engines["django"].from_string("{% load livesim %}" + text).render(context, request)


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=59), "just now"),
        (timedelta(minutes=5, seconds=30), "5\xa0minutes ago"),
        (timedelta(days=3, hours=4), "3\xa0days ago"),
    ],
)
@pytest.mark.parametrize("use_tz", [True, False])
def test_an_age_is_told_in_its_largest_unit(settings, monkeypatch, use_tz, ago, text):
    settings.USE_TZ = use_tz
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now)
    assert livesim.age(now - ago) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.0000266, "0.027 ms"),
        (0.0042, "4.2 ms"),
        (0.0123, "12 ms"),
        (2.5, "2500 ms"),
        (14.2, "14 s"),
    ],
)
def test_a_duration_is_told_in_milliseconds_while_it_is_short(seconds, text):
    assert livesim.milliseconds(seconds) == text


def test_a_moment_for_scripts_has_its_offset_with_and_without_time_zones(settings):
    assert livesim.iso(datetime(2026, 1, 2, 3, 4, tzinfo=UTC)) == "2026-01-02T03:04:00+00:00"
    settings.USE_TZ, settings.TIME_ZONE = False, "America/Chicago"
    assert livesim.iso(datetime(2026, 1, 2, 3, 4)) == "2026-01-02T03:04:00-06:00"


@pytest.mark.parametrize(
    ("shown", "most", "mark"), [(livesim.as_json, 20_000, "\n…"), (livesim.one_line, 300, "…")]
)
def test_of_long_data_only_what_is_shown_is_encoded(shown, most, mark):
    class Value:
        encoded = 0

        def __str__(self):
            Value.encoded += 1
            return "x" * 100

    text = shown([Value() for _ in range(1000)])
    assert len(text) == most + len(mark)
    assert text.endswith(f"x{mark}")
    assert Value.encoded <= most / 100


def test_short_data_is_shown_as_json():
    assert livesim.one_line({"é": [1, None]}) == '{"é": [1, null]}'
    assert livesim.as_json({"é": [1]}) == '{\n  "é": [\n    1\n  ]\n}'


class TestNonce:
    TAG = "{% livesim_nonce as csp_nonce %}{{ csp_nonce }}"

    @pytest.fixture
    def request_(self):
        return RequestFactory().get("/")

    def test_it_is_none_where_there_is_no_policy(self, request_):
        assert render(self.TAG, request=request_) == "None"
        assert render(self.TAG, CSP_NONCE="") == "None"

    @pytest.mark.parametrize("name", ["csp_nonce", "CSP_NONCE"])
    def test_it_is_that_of_the_context(self, name):
        assert render(self.TAG, **{name: "abc"}) == "abc"

    @pytest.mark.parametrize("name", ["csp_nonce", "_csp_nonce"])
    def test_it_is_found_at_the_request_without_a_context_processor(self, request_, name):
        setattr(request_, name, SimpleLazyObject(lambda: "abc"))
        assert render(self.TAG, request=request_) == "abc"


class AdminAlone:
    urlpatterns = [path("admin/", admin.site.urls)]


class TestLoggingOut:
    def test_it_is_the_page_of_that_name(self):
        assert logins.livesim_logout() == "/accounts/logout/"

    def test_it_is_the_admins_where_there_is_none(self, settings):
        settings.ROOT_URLCONF = AdminAlone
        assert logins.livesim_logout() == "/admin/logout/"

    def test_it_is_nowhere_without_either(self, settings):
        settings.ROOT_URLCONF = "django_livesim.urls"
        assert logins.livesim_logout() == ""
