"""What `livesim scaffold` makes of a new project: it runs, as it is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

LOOK_AT_PAGES = """
from django.contrib.auth.models import User
from django.test import Client
from django_livesim import start
client = Client(headers={"host": "localhost"})
client.force_login(User.objects.create_superuser("admin"))
for name, parameter in (("bakery_stock", "supply"), ("bakery_tasks", "places")):
    page = client.get("/livesim/", {"simulation": name})
    print(name, page.status_code, f'name="{parameter}"' in page.content.decode())
page = client.get(start("bakery_stock", {"supply": 2.0}).get_absolute_url())
print(page.status_code, "Take something out of the stock." in page.content.decode())
"""
APPS = 'INSTALLED_APPS += ["django_livesim"]\n'


class Project:
    """What `startproject` makes, with our name among its apps."""

    def __init__(self, folder):
        self.folder = folder
        kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        self.env = kept | {"PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "django", "startproject", "mysite", "."]
        subprocess.run(command, cwd=folder, env=self.env, check=True)
        self.add("settings", APPS)

    def add(self, module, text):
        with (self.folder / "mysite" / f"{module}.py").open("a") as file:
            file.write(text)

    def manage(self, *arguments, status=0):
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def texts(self):
        return {
            path: path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


def test_a_new_project_that_is_wired_runs_its_tests_and_answers_its_pages(project):
    told = json.loads(project.manage("livesim", "scaffold", "bakery", "--wire", "--json"))
    assert (told["missing"], len(told["created"])) == ([], 9)
    assert told["wired"] == ["mysite/asgi.py", "mysite/settings.py", "mysite/urls.py"]
    assert project.manage("check") == "System check identified no issues (0 silenced).\n"
    assert "Ran 5 tests" in project.manage("test", "bakery")
    project.manage("migrate", "--verbosity", "0")
    pages = project.manage("shell", "--no-imports", "-c", LOOK_AT_PAGES)
    assert pages.splitlines() == ["bakery_stock 200 True", "bakery_tasks 200 True", "200 True"]


def test_the_lines_that_are_told_are_all_that_is_missing(project):
    told = json.loads(project.manage("livesim", "scaffold", "bakery", "--json").splitlines()[0])
    assert told["wired"] == []
    for piece in told["missing"]:
        whole = piece["file"] == "mysite/asgi.py"
        with (project.folder / piece["file"]).open("w" if whole else "a") as file:
            file.write(f"\n{piece['lines']}\n")
    assert project.manage("check") == "System check identified no issues (0 silenced).\n"
    again = project.manage("livesim", "scaffold", "shop", "--json")
    assert [piece["lines"] for piece in json.loads(again)["missing"]] == [
        'INSTALLED_APPS = ["shop", *INSTALLED_APPS]'
    ]


def test_what_is_not_understood_is_told_and_the_rest_is_wired(project):
    (project.folder / "mysite" / "asgi.py").write_text("import os\n\napplication = None\n")
    said = project.manage("livesim", "scaffold", "bakery", "--wire")
    assert re.findall(r"wired (.*)", said) == ["mysite/settings.py", "mysite/urls.py"]
    assert "Have this in mysite/asgi.py:\n\nimport os\n" in said
    assert "livesim.E007" in project.manage("check", status=1)


def test_a_project_that_does_not_stand_it_is_left_as_it_was(project):
    project.add("settings", "INSTALLED_APPS = tuple(INSTALLED_APPS)\nFORMS_URLFIELD = 1\n")
    project.add("urls", "raise_if_ours = [each for each in urlpatterns if 'livesim' in str(each.pattern)]\n")
    project.add("urls", "assert not raise_if_ours, 'no room here'\n")
    before = project.texts()
    said = project.manage("livesim", "scaffold", "bakery", "--wire", status=1)
    assert "`manage.py check` says: AssertionError: no room here. Nothing is changed." in said
    assert project.texts() == before
