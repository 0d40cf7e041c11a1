"""Where the visitor of a page logs in and out: at the host's own pages, or else at the admin's."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.http import HttpRequest, QueryDict
from django.shortcuts import resolve_url
from django.urls import NoReverseMatch, Resolver404, get_script_prefix, resolve, reverse
from django.utils.encoding import escape_uri_path
from django.utils.http import url_has_allowed_host_and_scheme, urlencode


def livesim_logout() -> str:
    """Where a form posts to that logs out: the host's page of that name, else the admin's; empty without."""
    return _address("logout") or _address("admin:logout")


def livesim_login(request: HttpRequest) -> str:
    """Where an anonymous visitor logs in and comes back from; empty where the host has no such page.

    That is LOGIN_URL; where there is no page, as Django's default often has
    it, the admin's.
    """
    if not django_settings.LOGIN_URL:
        return ""
    path = next(filter(_is_a_page, (_address(django_settings.LOGIN_URL), _address("admin:login"))), "")
    return f"{path}?{urlencode({'next': _way_back(request)})}" if path else ""


def _way_back(request: HttpRequest) -> str:
    """The page that was asked for, or from which htmx asks; else the page of its run, or the list of runs."""
    if request.method in ("GET", "HEAD"):
        return _without_key(request.path, request.GET)
    page = request.headers.get("HX-Current-URL", "")
    if url_has_allowed_host_and_scheme(page, {request.get_host()}):
        seen = urlsplit(page)
        if not seen.path.startswith("//"):
            return _without_key(seen.path, QueryDict(seen.query))
    run_id = request.resolver_match.kwargs.get("run_id") if request.resolver_match else None
    return reverse("livesim:run-detail", args=[run_id]) if run_id else reverse("livesim:run-list")


def _without_key(path: str, asked: QueryDict) -> str:
    """The address of a page without a shared link's key, which is nothing for another page to know."""
    query = asked.copy()
    query.pop("key", None)
    path = escape_uri_path(path)
    return f"{path}?{query.urlencode()}" if query else path


def _address(place: Any) -> str:
    try:
        return str(resolve_url(place))
    except NoReverseMatch:
        return ""


def _is_a_page(address: str) -> bool:
    """Whether there is something at an address: at another host's we cannot see, and believe it."""
    path = urlsplit(address)
    if path.netloc:
        return True
    try:
        resolve(path.path.removeprefix(get_script_prefix().rstrip("/")))
    except Resolver404:
        return False
    return True
