from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_livesim import conf

DOCS = Path(__file__).parent.parent / "docs" / "settings.md"


def problems(**given: Any) -> list[str]:
    with override_settings(LIVESIM=given):
        return [str(problem) for problem in conf.problems()]


def a_policy(user: Any, action: str, run: Any, command: str | None) -> bool | None:
    return None


def test_the_defaults_hold_where_the_host_says_nothing():
    with override_settings(LIVESIM={}):
        assert conf.problems() == []
        assert {key: getattr(conf.settings, key) for key in conf.DEFAULTS} == conf.DEFAULTS


def test_every_setting_has_a_rule_and_every_rule_a_setting():
    assert conf.RULES.keys() == conf.DEFAULTS.keys()


def test_a_changed_dict_is_read_again():
    with override_settings(LIVESIM={"POLL": 0.25}):
        assert conf.settings.POLL == 0.25
        with override_settings(LIVESIM={"POLL": 3}):
            assert conf.settings.POLL == 3
        assert conf.settings.POLL == 0.25


def test_a_nested_dict_is_filled_up_from_the_defaults():
    with override_settings(LIVESIM={"RATE_LIMITS": {"STARTS": "10/m"}}):
        assert conf.settings.RATE_LIMITS == {"COMMANDS": None, "STARTS": "10/m"}
    assert conf.DEFAULTS["RATE_LIMITS"] == {"COMMANDS": None, "STARTS": None}


def test_defaults_are_not_handed_out_to_be_changed():
    with override_settings(LIVESIM={}):
        conf.settings.QUOTAS["RUNS"] = 5
    assert conf.DEFAULTS["QUOTAS"]["RUNS"] is None


def test_a_name_that_is_no_setting_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no setting 'HEARTBEAT'. Expected one of: AUTOSTART, BEAT"):
        conf.settings.HEARTBEAT


def test_a_bad_value_is_refused_when_it_is_read_too():
    with override_settings(LIVESIM={"BEAT": "2"}):
        with pytest.raises(ImproperlyConfigured) as caught:
            conf.settings.BEAT
    assert str(caught.value) == """LIVESIM["BEAT"] is '2'. Expected: a number of seconds above 0."""


def test_an_unknown_key_is_named_with_the_one_that_was_meant():
    assert problems(LEASE_TLT=5) == [
        """LIVESIM["LEASE_TLT"] is not a setting of django-livesim. Expected: 'LEASE_TTL', perhaps."""
    ]
    assert problems(poll=5) == [
        """LIVESIM["poll"] is not a setting of django-livesim. Expected: 'POLL', perhaps."""
    ]


def test_an_unknown_key_like_no_other_is_answered_with_all_there_are():
    (text,) = problems(QUOTAS={"zzz": 1})
    assert text == (
        'LIVESIM["QUOTAS"]["zzz"] is not a setting of django-livesim.'
        " Expected: one of RUNS, RUNS_PER_USER, SCHEDULED."
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("BEAT", 0),
        ("BEAT", True),
        ("BEAT", float("inf")),
        ("BEAT", float("nan")),
        ("GRACE", -1),
        ("STRIKES", 0),
        ("STRIKES", 1.5),
        ("STEP_TIMEOUT", 0),
        ("GC_THRESHOLD", 0),
        ("GC_THRESHOLD", 700.5),
        ("AUTOSTART", "orbit"),
        ("AUTOSTART", [1]),
        ("EMBEDDED_WORKER", "yes"),
        ("EMBEDDED_WORKER", 1),
        ("KEEP_CHECKPOINTS", 0),
        ("MAX_STATE_BYTES", "8M"),
        ("REPORT_EVERY", 0),
        ("RATE_LIMITS", None),
        ("QUOTAS", [1]),
        ("POLICY", "tests.test_conf.no_such_thing"),
        ("POLICY", 3),
        ("HTMX_VERSION", "2"),
        ("HTMX_VERSION", 4),
        ("CHANNEL_LAYER", "no-such-layer"),
        ("DATABASE", "no-such-database"),
    ],
)
def test_a_bad_value_is_reported_with_key_value_and_what_was_expected(key, value):
    (text,) = problems(**{key: value})
    assert text.startswith(f'LIVESIM["{key}"] is {value!r}. Expected: ')


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("STEP_TIMEOUT", 1.5),
        ("GC_THRESHOLD", 50_000),
        ("AUTOSTART", False),
        ("AUTOSTART", ["orbit", "shop.life"]),
        ("EMBEDDED_WORKER", True),
        ("FRAME_RATE", None),
        ("RETENTION", {"RUNS": 30}),
        ("RATE_LIMITS", {"COMMANDS": "20/s"}),
        ("QUOTAS", {"RUNS_PER_USER": 0}),
        ("POLICY", a_policy),
        ("POLICY", "tests.test_conf.a_policy"),
        ("HTMX_VERSION", 2),
        ("CHANNEL_LAYER", "default"),
    ],
)
def test_a_good_value_is_taken(key, value):
    assert problems(**{key: value}) == []


@pytest.mark.parametrize(
    ("key", "member", "value"),
    [("RATE_LIMITS", "STARTS", "10"), ("QUOTAS", "RUNS", -1), ("RETENTION", "RUNS", "30 days")],
)
def test_a_bad_member_of_a_nested_dict_is_named(key, member, value):
    (text,) = problems(**{key: {member: value}})
    assert text.startswith(f'LIVESIM["{key}"]["{member}"] is {value!r}. Expected: None or ')


def test_a_lease_shorter_than_three_beats_is_reported():
    assert problems(BEAT=2, LEASE_TTL=5) == [
        'LIVESIM["LEASE_TTL"] is 5. Expected: at least three times BEAT, that is 6 seconds or more.'
    ]


def test_settings_that_are_no_dict_are_reported_and_refused():
    with override_settings(LIVESIM=["BEAT"]):
        assert [str(problem) for problem in conf.problems()] == ["LIVESIM is ['BEAT']. Expected: a dict."]
        with pytest.raises(ImproperlyConfigured, match="LIVESIM is"):
            conf.settings.BEAT


def test_a_policy_given_by_its_path_is_read_as_the_callable():
    with override_settings(LIVESIM={"POLICY": "tests.test_conf.a_policy"}):
        assert conf.settings.POLICY.__name__ == "a_policy"


def test_a_rate_is_a_count_in_so_many_seconds():
    assert conf.parse_rate("10/m") == (10, 60)
    assert conf.parse_rate(None) is None


def test_the_documentation_lists_every_setting_with_its_default():
    rows = dict(re.findall(r"^\| `([A-Z_.]+)` \| `([^`]*)` \|", DOCS.read_text(), re.MULTILINE))
    flat = {}
    for key, default in conf.DEFAULTS.items():
        members = default.items() if isinstance(default, dict) else [("", default)]
        flat |= {f"{key}.{member}".rstrip("."): repr(value) for member, value in members}
    assert {key: text.replace('"', "'") for key, text in rows.items()} == flat


def test_every_setting_is_read_somewhere():
    package = Path(conf.__file__).parent
    source = "".join(file.read_text() for file in package.rglob("*.py") if file.name != "conf.py")
    unread = {
        key for key in conf.DEFAULTS if f"settings.{key}" not in source and f'setting("{key}")' not in source
    }
    assert unread == set()
