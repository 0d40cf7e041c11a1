"""What is said of the combinations that the matrix did not try."""

from __future__ import annotations

import json
import sys

from scripts.tried import is_there, main, summed_up


def nothing_there(python):
    return False


def test_a_django_that_was_not_tried_at_all_is_named():
    lines, well = summed_up({"py312-django60": True, "docs": False}, ["py311-django52"], nothing_there)
    assert well
    assert lines == [
        "not tried: py312-django60, for want of python3.12",
        "Django 5.2: python3.11",
        "Django 6.0: NOT TRIED AT ALL: this machine has no Python for it",
    ]


def test_a_skipped_environment_whose_python_is_there_is_a_failure():
    report = {"py312-django60": True, "py313-django60": False}
    lines, well = summed_up(report, [], lambda python: python == "python3.12")
    assert not well
    assert lines == ["SKIPPED py312-django60, though python3.12 is there", "Django 6.0: python3.13"]


def test_the_report_of_tox_is_read(tmp_path, capsys):
    report = tmp_path / "report.json"
    result = {"success": True, "skipped": False}
    report.write_text(json.dumps({"testenvs": {".pkg": {}, "py313-django61": {"result": result}}}))
    assert main(str(report), "py311-django52") == 0
    assert capsys.readouterr().out == "Django 5.2: python3.11\nDjango 6.1: python3.13\n"


def test_a_shim_that_starts_nothing_is_no_python(tmp_path, monkeypatch):
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not is_there("python3.99")
    assert not is_there("python3.98")
    assert is_there(sys.executable)
