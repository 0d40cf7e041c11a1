"""`livesim scaffold` within one process: what it writes, what it refuses, and that it then leaves nothing."""

from __future__ import annotations

import io
import json
import os
import py_compile
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command

from django_livesim import registry
from django_livesim.cli.scaffold import editing, wiring
from django_livesim.cli.scaffold.naming import Place, find_place
from django_livesim.cli.scaffold.writing import Changes, rendered
from tests.distribution import BASE

STARTAPP = [
    *["__init__.py", "admin.py", "apps.py", "migrations/__init__.py", "models.py", "tests.py"],
    "views.py",
]
"""What Django makes."""
RULES = "A,B,C4,E,F,I,N,PIE,RET,RUF,S,SIM,T20,UP,W"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder from which modules are found, as from that of manage.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def scaffold(*arguments):
    stdout, stderr = io.StringIO(), io.StringIO()
    call_command("livesim", "scaffold", *arguments, stdout=stdout, stderr=stderr)
    return stdout.getvalue(), stderr.getvalue()


def refused(*arguments):
    with pytest.raises(CommandError) as caught:
        scaffold(*arguments)
    assert caught.value.returncode == 1
    return str(caught.value)


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def app_in(folder, *names):
    """A folder with these files, empty."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def test_a_new_app_is_that_of_startapp_with_simulations_and_their_tests(here):
    call_command("startapp", "other")
    said, told = scaffold("bakery")
    assert files(here / "bakery") == sorted([*STARTAPP, "simulations.py", "test_simulations.py"])
    assert said.splitlines() == [f"created bakery/{name}" for name in files(here / "bakery")]
    assert 'INSTALLED_APPS = ["bakery", *INSTALLED_APPS]' in told
    assert "Start bakery_stock or bakery_tasks on the pages" in told
    of_django = (here / "other" / "apps.py").read_text().replace("other", "bakery").replace("Other", "Bakery")
    assert (here / "bakery" / "apps.py").read_text() == of_django
    assert files(here) == sorted([*(f"other/{name}" for name in STARTAPP), *said.split()[1::2]])


def test_as_json_it_tells_what_is_there_and_what_is_missing():
    said, _ = scaffold("bakery", "--json")
    told = json.loads(said)
    assert (told["app"], told["simulations"]) == ("bakery", ["bakery_stock", "bakery_tasks"])
    assert "bakery/simulations.py" in told["created"]
    assert told["wired"] == []
    lines = [piece["lines"] for piece in told["missing"]]
    assert 'INSTALLED_APPS = ["bakery", *INSTALLED_APPS]' in lines


def test_an_app_of_this_folder_that_is_not_installed_yet_gets_the_two_files_alone(here):
    call_command("startapp", "shop")
    before = {path: (here / path).read_text() for path in files(here)}
    said, _ = scaffold("shop")
    assert said.splitlines() == ["created shop/simulations.py", "created shop/test_simulations.py"]
    assert {path: (here / path).read_text() for path in before} == before


def test_the_tests_of_an_app_with_a_package_of_tests_go_there(here):
    app_in(here / "shop", "__init__.py", "apps.py", "tests/__init__.py")
    said, _ = scaffold("shop")
    assert "created shop/tests/test_simulations.py" in said


@pytest.mark.parametrize("name", ["9lives", "my-shop", "a b", "../up", "class", "None", "café", "a.b", ""])
def test_what_is_no_name_of_an_app_is_refused(here, name):
    assert refused(name).startswith(f"bad_args: {name!r} is no name for an app. Expected: letters, digits")
    assert files(here) == []


@pytest.mark.parametrize("name", ["_", "__", "__shop", "_shop"])
def test_a_name_that_means_something_else_within_a_class_is_refused(here, name):
    assert refused(name).startswith(f"bad_args: {name!r} is no name for an app with simulations: within")
    assert files(here) == []


@pytest.mark.parametrize(("app", "linked"), [("shop", "shop"), ("shop", "shop/tests")])
def test_a_link_that_leads_out_of_the_project_is_not_followed(here, monkeypatch, app, linked):
    elsewhere = app_in(here / "elsewhere", "__init__.py", "apps.py")
    project = here / "project"
    (app_in(project / app, "__init__.py", "apps.py") if "/" in linked else app_in(project, "manage.py"))
    (project / linked).symlink_to(elsewhere)
    monkeypatch.chdir(project)
    before = files(here)
    assert refused(app).startswith(f"refused: {linked} is {elsewhere}, which is not in this project.")
    assert files(here) == before


@pytest.mark.parametrize("name", ["json", "django_livesim.cli", "tests", "__main__"])
def test_a_name_that_is_a_modules_is_refused(here, name):
    assert refused(name).startswith(("refused: there is a module or folder", "bad_args: "))
    assert files(here) == []


def test_a_folder_that_is_no_app_is_refused_and_left_as_it_is(here):
    app_in(here / "mysite", "settings.py")
    said = (
        "refused: there is a module or folder 'mysite' already, and it is no app. Give the app another name"
    )
    assert refused("mysite") == said
    assert files(here) == ["mysite/settings.py"]


@pytest.mark.parametrize("name", ["auth", "django.contrib.auth", "livesim", "django_livesim"])
def test_an_app_that_is_not_of_this_project_is_refused(name):
    (folder,) = [Path(each.path) for each in apps.get_app_configs() if name in (each.label, each.name)]
    before = sorted(folder.iterdir())
    assert "which is not in this project" in refused(name)
    assert sorted(folder.iterdir()) == before


def test_an_installed_app_with_simulations_is_refused(here, monkeypatch):
    monkeypatch.chdir(BASE)
    there = apps.get_app_config("app")
    said = refused(there.label)
    assert said.startswith(f"refused: {os.path.relpath(there.path)}/simulations.py is there already")
    assert refused(there.name) == said


@pytest.mark.parametrize("there", ["simulations.py", "simulations/__init__.py", "test_simulations.py"])
def test_nothing_is_written_over_and_nothing_beside_it(here, there):
    app_in(here / "shop", "__init__.py", "apps.py", there)
    before = files(here)
    assert "is there already, and nothing is written over it" in refused("shop")
    assert files(here) == before


def test_a_simulation_of_that_name_in_another_app_is_not_renamed(here):
    class CounterStock(registry.Simulation):
        def step(self, dt): ...

    registry.register(CounterStock)
    try:
        said = refused("counter")
    finally:
        registry.unregister("counter_stock")
    assert "there is a simulation 'counter_stock' already, in tests.test_cli_scaffold" in said
    assert files(here) == []


def test_a_folder_that_cannot_be_written_to_is_told(monkeypatch):
    monkeypatch.chdir("/proc" if Path("/proc").exists() else "/")  # in which not even root makes a folder
    assert "bakery cannot be written" in refused("bakery")


def half_done(folder):
    """Some changes, and then Ctrl-C."""
    with Changes() as changes:
        changes.add_folder(folder / "new", lambda made: (made / "apps.py").touch())
        changes.add_file(folder / "one.py", "1\n")
        changes.replace(folder / "settings.py", "A = 2\n")
        changes.replace(folder / "settings.py", "A = 3\n")
        raise KeyboardInterrupt


def test_what_fails_half_way_leaves_no_file_and_each_text_as_it_was(here):
    (here / "settings.py").write_text("A = 1\n")
    with pytest.raises(KeyboardInterrupt):
        half_done(here)
    assert files(here) == ["settings.py"]
    assert (here / "settings.py").read_text() == "A = 1\n"


LONG = "A = 1\n" * 2000
CUT_SHORT = """
import os, resource, signal
from pathlib import Path
from django_livesim.cli.scaffold.writing import Changes
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
with Changes() as changes:
    changes.replace(Path("settings.py"), Path("settings.py").read_text() + "B = 2\\n")
"""
KILLED = """
import os, signal
from pathlib import Path
from django_livesim.cli.scaffold.writing import Changes
os.fsync = lambda file: os.kill(os.getpid(), signal.SIGKILL)
with Changes() as changes:
    changes.replace(Path("settings.py"), Path("settings.py").read_text() + "B = 2\\n")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's size")
@pytest.mark.parametrize(
    ("code", "status", "said"),
    [(CUT_SHORT, 1, "settings.py cannot be written: File too large. Nothing is changed"), (KILLED, -9, "")],
)
def test_a_file_that_cannot_be_written_whole_is_as_it_was(here, code, status, said):
    (here / "settings.py").write_text(LONG)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", f"import django; django.setup()\n{code}"]
    done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert (here / "settings.py").read_text() == LONG
    if status == 1:
        assert files(here) == ["settings.py"]


def test_a_file_that_is_replaced_keeps_its_permissions_and_a_link_to_it_stays_one(here):
    real, link = here / "real.py", here / "settings.py"
    real.write_text("A = 1\n")
    real.chmod(0o640)
    link.symlink_to("real.py")
    with Changes() as changes:
        changes.replace(link, "A = 2\n")
        changes.keep()
    assert (link.is_symlink(), real.read_text(), real.stat().st_mode & 0o777) == (True, "A = 2\n", 0o640)
    assert files(here) == ["real.py", "settings.py"]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("os.kill(os.getpid(), 9)", "nothing, and ends with status -9"),
        ("os._exit(3)", "nothing, and ends with status 3"),
        ("sys.stderr.buffer.write(b'no \\xff.'); sys.exit(3)", "no \ufffd"),
        ("import threading; threading.Event().wait()", "nothing within 1 s"),
        ("DEBUG = True", ""),
    ],
)
def test_a_check_that_says_nothing_or_does_not_end_has_not_passed(here, monkeypatch, check, said):
    (here / "checked.py").write_text(f"import os, sys\nfrom tests.settings import *\n{check}\n")
    monkeypatch.setattr(wiring, "CHECK_SECONDS", 1.0 if "1 s" in said else 60.0)
    monkeypatch.setattr(wiring, "settings", SimpleNamespace(SETTINGS_MODULE="checked"))
    assert wiring.complaint() == said


def test_an_app_that_cannot_be_made_leaves_nothing(here):
    def half(folder):
        (folder / "apps.py").touch()
        raise OSError(28, "No space left on device")

    with pytest.raises(CommandError, match=r"new cannot be written: No space left"), Changes() as changes:
        changes.add_folder(here / "new", half)
    assert files(here) == []
    assert list(here.iterdir()) == []


# What is written


def place(here, name):
    return Place(app=name, folder=here / name.rpartition(".")[2], is_new=True, is_installed=False)


@pytest.mark.parametrize("name", ["bakery", "my_shop", "shop2", "orbit2d", "limits", "simulation", "X"])
def test_what_is_written_is_python_in_order_under_the_names_that_are_told(here, name):
    there = place(here, name)
    (here / name).mkdir()
    for path, text in rendered(there).items():
        assert "{{" not in text and "{%" not in text
        path.write_text(text)
        py_compile.compile(str(path), doraise=True)
    names = {"__name__": f"{name}.simulations"}
    before = {target.name for target in registry.all()}
    exec(compile(there.simulations.read_text(), str(there.simulations), "exec", dont_inherit=True), names)
    try:
        assert {target.name for target in registry.all()} - before == {there.stock, there.tasks}
    finally:
        for made in (there.stock, there.tasks):
            registry.unregister(made)


def test_what_is_written_is_in_the_style_of_those_who_use_ruff(here):
    pytest.importorskip("ruff")
    for name in ("bakery", "shop"):
        (here / name).mkdir()
        for path, text in rendered(place(here, name)).items():
            path.write_text(text)
    for what in (["check", "--select", RULES], ["format", "--diff"]):
        command = [sys.executable, "-m", "ruff", *what, "--isolated", "--no-cache", "."]
        done = subprocess.run(command, cwd=here, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_an_app_within_a_package_is_imported_by_its_whole_name(here):
    texts = rendered(place(here, "mysite.shop"))
    (tests,) = [text for path, text in texts.items() if path.name == "test_simulations.py"]
    assert "from mysite.shop.simulations import ShopStock, shop_tasks\n" in tests


def test_a_new_app_is_found_where_it_is_to_be_made(here):
    found = find_place("bakery")
    assert (found.folder, found.is_new, found.is_installed) == (here / "bakery", True, False)


# Files of the project that are edited

URLS = """\
from django.contrib import admin
from django.urls import path

urlpatterns = [
    path('admin/', admin.site.urls),
]
"""


def test_urls_are_added_to_the_list_and_to_the_import():
    assert editing.with_urls(URLS) == textwrap.dedent("""\
        from django.contrib import admin
        from django.urls import include, path

        urlpatterns = [
            path('admin/', admin.site.urls),
            path("livesim/", include("django_livesim.urls")),
        ]
        """)
    more = URLS.replace("import path", "import path, re_path")
    assert "import include, path, re_path\n" in editing.with_urls(more)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("urlpatterns = [", "urlpatterns = i18n_patterns("),
        ("import path", "import path as p"),
        ("from django.urls import path", "from django import urls"),
        ("site.urls),\n]", "site.urls)\n]"),
        (",\n]", "]"),
        ("urlpatterns = [", "urlpatterns = other = ["),
        ("urlpatterns = [", "urlpatterns = []\nurlpatterns = ["),
    ],
)
def test_urls_of_another_make_are_left_to_their_author(old, new):
    assert old in URLS
    text = URLS.replace(old, new).replace("\n]", "\n)" if "(" in new else "\n]")
    assert editing.with_urls(text) is None


def test_an_asgi_module_with_another_application_is_left_to_its_author():
    bare = "from django.core.asgi import get_asgi_application\n\napplication = get_asgi_application()\n"
    assert "\napplication = livesim_application(get_asgi_application())\n" in editing.with_livesim(bare)
    assert editing.with_livesim(bare.replace("= get", "= Sentry(get").replace("()\n", "())\n")) is None
    assert editing.with_livesim(bare + "application = get_asgi_application()\n") is None


def test_a_file_with_other_ends_of_lines_or_that_is_no_python_is_not_edited(here):
    (here / "a.py").write_bytes(b"A = 1\r\n")
    with pytest.raises(ValueError, match="other ends of lines"):
        editing.read(here / "a.py")
    with pytest.raises(SyntaxError):
        editing.appended("A = (", "B = 1")
