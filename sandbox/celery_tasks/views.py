from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from django_livesim.contrib.celery import owned_by
from django_livesim.models import Run
from django_livesim.permissions import Actor
from django_livesim.protocol.names import ENDED, EXTERNAL, Status
from sandbox.celery_tasks.statuses import run_of, status_of
from sandbox.celery_tasks.tasks import EXAMPLES

MOST = 20  # that may wait or run: anybody may come here
FORGOTTEN = timedelta(hours=1)  # nobody tells the end of a task whose message or whose worker is lost


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest) -> HttpResponse:
    """What can be started; a POST starts it, for everybody to see or for whoever is logged in."""
    example = EXAMPLES.get(request.POST.get("task", ""))
    if example is None:
        return _offer(request, 422 if request.method == "POST" else 200)
    if _open() >= MOST:
        return _offer(request, 429, f"{MOST} wait or run already. Come back when a worker is done with them.")
    private = request.user.is_authenticated and "private" in request.POST
    with owned_by(request.user, visibility="private" if private else "public"):
        task = example.delay()
    return redirect("document-task", task.id)


def _offer(request: HttpRequest, status: int, refused: str = "") -> HttpResponse:
    examples = {name: task.__doc__ for name, task in EXAMPLES.items()}
    shown = {"examples": examples, "refused": refused, "worker": _worker()}
    return render(request, "celery_tasks/start.html", shown, status=status)


def _worker() -> str:
    """What to type for a worker; with the Redis that the sandbox has started, which is no secret."""
    command = "celery -A sandbox.celery_tasks worker --concurrency 2"
    is_told = settings.DEBUG and "@" not in settings.REDIS
    return f"REDIS_URL={settings.REDIS} {command}" if is_told else command


def _open() -> int:
    """How many of the examples were sent of late and have not ended."""
    names = [task.name for task in EXAMPLES.values()]
    of_late = Run.objects.filter(
        simulation=EXTERNAL, name__in=names, created_at__gt=timezone.now() - FORGOTTEN
    )
    return of_late.filter(status__in=[status for status in Status if status not in ENDED]).count()


@never_cache
@require_safe
def show(request: HttpRequest, task_id: str) -> HttpResponse:
    """The page of a task: as it stands now, and as its socket says."""
    actor = Actor.from_request(request)
    run = run_of(task_id, actor)
    status = status_of(run, actor)
    shown = {"task_id": task_id, "run": run, "status": status, "worker": _worker()}
    return render(request, "celery_tasks/task.html", shown)
