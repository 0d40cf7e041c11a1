"""What is given away: an sdist with the whole repository, a wheel with the package, both usable alone."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
from packaging.metadata import Metadata

import django_livesim
from tests import distribution
from tests.distribution import BASE
from tests.documents import block

NOT_IN_SDIST = {".gitignore", ".ci/run"}
MADE_FOR_SDIST = {"PKG-INFO", "setup.cfg"}
PROJECT = tomllib.loads((BASE / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def names(wheel):
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def sdist(dist):
    """What the sdist holds, below its one folder."""
    with tarfile.open(distribution.only(dist, "*.tar.gz")) as archive:
        paths = [Path(member.name) for member in archive.getmembers() if member.isfile()]
    assert {path.parts[0] for path in paths} == {f"django_livesim-{PROJECT['version']}"}
    return {"/".join(path.parts[1:]) for path in paths}


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return archive.read(name).decode()


def sources(source):
    return {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}


def contents(wheel):
    """Each file's name and fingerprint."""
    with zipfile.ZipFile(wheel) as archive:
        return {name: hashlib.sha256(archive.read(name)).hexdigest() for name in archive.namelist()}


def test_every_file_of_the_package_is_in_the_wheel(source, names):
    source_only = re.compile(r"\.po$")
    package = {name for name in sources(source) if name.startswith("django_livesim/")}
    expected = {name for name in package if not source_only.search(name)}
    assert expected
    assert expected - set(names) == set()


def test_only_the_package_is_installed(names):
    assert {name.split("/")[0].split("-")[0] for name in names} == {"django_livesim"}


def test_templates_scripts_and_the_typing_mark_are_there(names):
    endings = ["py.typed", ".html", ".js", ".css", "migrations/0001_initial.py", "/simulations.py-tpl"]
    missing = [ending for ending in endings if not any(name.endswith(ending) for name in names)]
    assert missing == []


def test_the_sdist_is_the_whole_repository(source, sdist):
    generated = {name for name in sdist if name in MADE_FOR_SDIST or ".egg-info/" in name}
    assert sdist - generated == sources(source) - NOT_IN_SDIST


def test_a_wheel_from_the_repository_is_the_one_from_the_sdist(source, wheel, tmp_path):
    copy = shutil.copytree(source, tmp_path / "copy")
    direct = distribution.only(distribution.build(copy, tmp_path / "dist", "--wheel"), "*.whl")
    assert direct.name == wheel.name
    assert contents(direct) == contents(wheel)


def test_the_metadata_is_valid_and_complete(metadata):
    read = Metadata.from_email(metadata, validate=True)
    assert str(read.version) == PROJECT["version"] == django_livesim.__version__
    assert (read.license_expression, read.license_files) == ("BSD-3-Clause", ["LICENSE"])
    assert (read.summary, read.description_content_type) == (PROJECT["description"], "text/markdown")
    assert message_from_string(metadata).get_payload() == (BASE / "README.md").read_text()


def test_what_the_classifiers_say_is_what_tox_tries():
    """Each Python and Django that is named has an environment, and the other way round."""
    envs = re.findall(r"py\{?([\d,]+)\}?-django\{?([\d,]+)\}?", (BASE / "tox.ini").read_text())
    pythons = {f"{each[0]}.{each[1:]}" for found, _ in envs for each in found.split(",")}
    djangos = {f"{each[0]}.{each[1:]}" for _, found in envs for each in found.split(",")}
    assert classified("Programming Language :: Python :: ") - {"3"} == pythons
    assert classified("Framework :: Django :: ") == djangos


def classified(prefix):
    return {each.removeprefix(prefix) for each in PROJECT["classifiers"] if each.startswith(prefix)}


def test_the_makefile_installs_extras_that_exist():
    makefile = (BASE / "Makefile").read_text()
    assert set(re.findall(r"\.venv/installed-(\w+)", makefile)) <= set(PROJECT["optional-dependencies"])


# Installed with nothing but what it requires

SETTINGS = """
INSTALLED_APPS += ["channels", "django_htmx", "django_livesim"]
ASGI_APPLICATION = "mysite.asgi.application"
STATIC_ROOT = BASE_DIR / "static"
DATABASES["default"]["OPTIONS"] = {
    "transaction_mode": "IMMEDIATE",
    "init_command": "PRAGMA journal_mode=WAL;",
}
"""
ROUTES = """
from django.urls import include

urlpatterns += [path("livesim/", include("django_livesim.urls"))]
"""
ASGI = """
from django_livesim.routing import livesim_application

application = livesim_application(application)
"""
LOAD_TEMPLATES = """
from pathlib import Path
import django_livesim
from django.template.loader import get_template

folder = Path(django_livesim.__file__).parent / "templates"
names = [str(path.relative_to(folder)) for path in folder.rglob("*.html")]
print(len([get_template(name) for name in names]), "templates in", folder)
"""
TYPED = """
from django_livesim import Refused, Simulation, command, register, start


@register
class Pond(Simulation):
    def setup(self, frogs: int = 3) -> None:
        self.state = {"frogs": frogs}

    def step(self, dt: float) -> None:
        self.state["frogs"] += self.random.randint(0, 1)

    @command
    def add(self, n: int) -> None:
        if n < 0:
            raise Refused("a pond gives no frogs away")


run = start("pond", {"frogs": 5}, key="demo")
"""


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    return distribution.installed(tmp_path_factory.mktemp("bare") / "env", str(wheel))


@pytest.fixture(scope="module")
def project(bare, tmp_path_factory):
    """A new project with the app in it."""
    folder = tmp_path_factory.mktemp("project")
    bare.run("-m", "django", "startproject", "mysite", ".", cwd=folder)
    for name, addition in {"settings.py": SETTINGS, "urls.py": ROUTES, "asgi.py": ASGI}.items():
        with (folder / "mysite" / name).open("a") as file:
            file.write(addition)
    return folder


def test_what_it_requires_is_all_that_is_installed(bare):
    pip = [sys.executable, "-m", "pip", "--python", str(bare.folder), "--disable-pip-version-check"]
    subprocess.run([*pip, "check"], check=True, stdout=subprocess.DEVNULL)
    listed = subprocess.run([*pip, "list", "--format=freeze"], capture_output=True, text=True, check=True)
    there = {line.split("==")[0].lower().replace("_", "-") for line in listed.stdout.splitlines()}
    assert {"django", "channels", "channels-redis", "django-htmx", "orjson", "django-livesim"} <= there
    assert there & {"daphne", "uvicorn", "psycopg", "mesa", "pytest", "django-environ"} == set()


def test_importing_it_warns_of_nothing(bare, tmp_path):
    code = "import django_livesim; print(django_livesim.__version__)"
    assert bare.run("-W", "error", "-c", code, cwd=tmp_path) == f"{PROJECT['version']}\n"


def test_in_a_new_project_the_checks_miss_daphne_alone(bare, project):
    said = bare.run("manage.py", "check", cwd=project)
    assert re.findall(r"livesim\.\w\d+", said) == ["livesim.W002"]


def test_its_migrations_are_complete_and_run(bare, project):
    said = bare.run("manage.py", "makemigrations", "--check", "--dry-run", cwd=project)
    assert said.startswith("No changes detected\n")
    bare.run("manage.py", "migrate", "--verbosity", "0", cwd=project)
    assert "[]" in bare.run("manage.py", "livesim", "list", "--json", cwd=project)


def test_its_static_files_are_collected(bare, project, source):
    bare.run("manage.py", "collectstatic", "--no-input", "--verbosity", "0", cwd=project)
    ours = source / "django_livesim" / "static"
    missing = [
        path for path in ours.rglob("*.*") if not (project / "static" / path.relative_to(ours)).exists()
    ]
    assert missing == []


def test_its_templates_load(bare, project):
    said = bare.run("manage.py", "shell", "--no-imports", "-c", LOAD_TEMPLATES, cwd=project)
    assert int(said.split()[0]) > 20
    assert str(bare.folder) in said


def test_a_project_with_the_settings_of_the_deploying_page_passes_every_check(bare, project):
    settings = "from mysite.settings import *\n" + block("docs/deploying.md", "SECURE_HSTS_SECONDS")
    (project / "mysite" / "production.py").write_text(settings)
    env = {"SECRET_KEY": "long-and-not-guessed-" * 3, "REDIS_URL": "redis://127.0.0.1:1/0"}
    env |= {"DJANGO_SETTINGS_MODULE": "mysite.production"}
    said = bare.run("manage.py", "check", "--deploy", "--fail-level", "WARNING", cwd=project, **env)
    assert said == "System check identified no issues (0 silenced).\n"


def types_of(bare, folder, text):
    """What mypy says of a host's file that uses the installed package; its status."""
    (folder / "host.py").write_text(text)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(bare.python), "host.py"]
    done = subprocess.run(
        [*mypy, "--config-file=", "--no-incremental"], cwd=folder, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def test_a_host_that_uses_it_rightly_passes_a_strict_type_check(bare, tmp_path):
    assert types_of(bare, tmp_path, TYPED) == (0, "Success: no issues found in 1 source file\n")


@pytest.mark.parametrize(
    ("right", "wrong"),
    [('key="demo"', "key=5"), ('{"frogs": 5}', "5"), ("self.random.randint", "self.random.frog")],
)
def test_a_host_that_uses_it_wrongly_is_told_by_the_type_checker(bare, tmp_path, right, wrong):
    status, said = types_of(bare, tmp_path, TYPED.replace(right, wrong))
    assert status == 1, said
    assert "host.py" in said
