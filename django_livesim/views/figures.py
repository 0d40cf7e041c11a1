"""The figures of a run: on its page, and by themselves as JSON or CSV."""

from __future__ import annotations

import csv
import functools
import io
import logging
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.http import content_disposition_header
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from django_livesim import gateway
from django_livesim.gateway.figures import newest_figures
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol.errors import BadArgs, Code, Forbidden, LivesimError, NoRun
from django_livesim.views.respond import View, outside_transactions, status_of, with_retry

logger = logging.getLogger(__name__)

FORMATS = ("json", "csv")
LONGEST = 30
"""Characters of a tick."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


PARTING = re.compile(r"[;\x00-\x1f\x7f]")
"""What may part cells or lines in one."""


def figures_context(run: Run, simulation: Any) -> dict[str, Any]:
    """What the page shows of figures; `simulation` is None where its code is not installed here."""
    if simulation is not None and not simulation.has_metrics:
        return {"has_figures": False}
    newest = newest_figures(run)
    return {"has_figures": simulation is not None or newest is not None, "newest_figures": newest}


def as_data(view: View) -> View:
    """Tell refusals as JSON: code, message, fields. Who may not know of a run learns nothing of it."""

    @functools.wraps(view)
    def answering(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except (NoRun, Forbidden):
            problem = LivesimError(_("There is no such run that you may see."), code=Code.NO_RUN)
        except LivesimError as exc:
            problem = exc
        except (OperationalError, InterfaceError) as exc:
            logger.warning("The database does not answer: %s: %s", request.path, exc)
            told = _("The database does not answer. Try again.")
            problem = LivesimError(told, code=Code.DB_DOWN, retry=5)
        said = {"code": str(problem.code), "message": problem.message, "fields": problem.fields}
        return with_retry(JsonResponse(said, status=status_of(problem)), problem)

    return outside_transactions(answering)


@never_cache
@require_safe
@as_data
def run_series(request: HttpRequest, run_id: UUID) -> HttpResponse:
    """The stored figures. `?since=TICK` gives later ones, `?name=...`, also again, these; `?format=csv`."""
    form = request.GET.get("format", "json")
    if form not in FORMATS:
        told = _("Expected one of: %(formats)s.") % {"formats": ", ".join(FORMATS)}
        raise BadArgs(f"format: {told}", fields={"format": [told]})
    actor = Actor.from_request(request)
    names = request.GET.getlist("name") or None
    found = gateway.series(run_id, actor=actor, names=names, since=_since(request))
    return _csv(gateway.get(run_id, actor=actor), found) if form == "csv" else JsonResponse(found)


def _since(request: HttpRequest) -> int | None:
    text = request.GET.get("since")
    try:
        if text is not None and len(text) > LONGEST:
            raise ValueError(text)
        return None if text is None else int(text)
    except ValueError:
        told = _("Expected a tick, an integer.")
        raise BadArgs(f"since: {told}", fields={"since": [told]}) from None


def _csv(run: Run, found: dict[str, Any]) -> HttpResponse:
    """A thousand lines at most, and so whole; of figures that there are, whatever was asked for."""
    text = io.StringIO()
    rows = csv.writer(text)
    series = {name: values for name, values in found["series"].items() if any(v is not None for v in values)}
    rows.writerow(["tick", "time", *map(_safe, series)])
    for tick, at, *values in zip(found["ticks"], found["at"], *series.values(), strict=True):
        rows.writerow([tick, datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"), *values])
    response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = content_disposition_header(True, f"{file_name(run)}.csv")
    return response


def _safe(name: str) -> str:
    """A heading that no spreadsheet takes for a formula, or for two cells."""
    name = " ".join(PARTING.sub(" ", name).split())
    return f"'{name}" if name.startswith(FORMULA) else name


def file_name(run: Run) -> str:
    """What a file of the run's figures is called, without its kind."""
    words = (slugify(run.simulation), slugify(run.name)[:60], run.id.hex[:8])
    return "-".join(word for word in words if word)
