"""Scripts and styles: whether what is served is what this version has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import staticfiles_storage

from django_livesim import conf
from django_livesim.cli.doctor.finding import Finding, advice, ok, problem

OURS = "django_livesim"
COLLECT = "Run: python manage.py collectstatic --no-input"


def look() -> Iterator[Finding]:
    """htmx in the installed django-htmx, and the files that were collected."""
    if not apps.is_installed("django.contrib.staticfiles"):
        hint = (
            "Add: INSTALLED_APPS += ['django.contrib.staticfiles'], or serve the folder static/ of each app."
        )
        yield advice("static", "staticfiles is not installed", hint=hint)
        return
    htmx = f"django_htmx/htmx-{conf.settings.HTMX_VERSION}.min.js"
    if finders.find(htmx) is None:
        hint = 'Run: pip install --upgrade django-htmx\nand have INSTALLED_APPS name "django_htmx".'
        yield problem("static", f"no app has {htmx}", hint=hint)
        return
    if settings.DEBUG:
        yield ok("static", "runserver serves the files of each app")
    elif not settings.STATIC_ROOT:
        message = (
            "STATIC_ROOT is not set and DEBUG is off: pages have no scripts and styles unless you serve them"
        )
        hint = f'Set STATIC_ROOT = BASE_DIR / "static"\n{COLLECT}\nand have the web server serve it.'
        yield advice("static", message, hint)
    else:
        yield _collected([htmx, *_our_files()])


def _our_files() -> list[str]:
    folder = Path(apps.get_app_config("livesim").path, "static", OURS)
    return sorted(f"{OURS}/{file.name}" for file in folder.iterdir() if file.is_file())


def _collected(names: list[str]) -> Finding:
    missing = [name for name in names if not _is_there(name)]
    if missing:
        message = f"{len(missing)} of {len(names)} files are not collected, as {missing[0]}"
        return problem("static", message, hint=COLLECT)
    old = [name for name in names if not _is_current(name)]
    if old:
        message = f"{len(old)} of {len(names)} files that were collected are of another version, as {old[0]}"
        return problem("static", message, hint=COLLECT)
    return ok("static", f"{len(names)} files are collected and current")


def _is_there(name: str) -> bool:
    """Under its own name, or the one that a storage with a manifest has for it."""
    stored_name = getattr(staticfiles_storage, "stored_name", None)
    try:
        return bool(staticfiles_storage.exists(stored_name(name) if stored_name else name))
    except ValueError:  # not in the manifest
        return False


def _is_current(name: str) -> bool:
    """Whether it is as the app has it; one that is kept under a hashed name alone is not compared."""
    source = finders.find(name)
    if source is None or not staticfiles_storage.exists(name):
        return True
    with staticfiles_storage.open(name) as stored:
        return bytes(stored.read()) == Path(str(source)).read_bytes()
