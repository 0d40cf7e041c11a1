from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from django_livesim.contrib.celery import owned_by
from django_livesim.permissions import Actor
from sandbox.celery_tasks.statuses import run_of, status_of
from sandbox.celery_tasks.tasks import EXAMPLES


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest) -> HttpResponse:
    """What can be started; a POST starts it, for everybody to see or for whoever is logged in."""
    example = EXAMPLES.get(request.POST.get("task", ""))
    if example is None:
        examples = {name: task.__doc__ for name, task in EXAMPLES.items()}
        status = 422 if request.method == "POST" else 200
        return render(request, "celery_tasks/start.html", {"examples": examples}, status=status)
    private = request.user.is_authenticated and "private" in request.POST
    with owned_by(request.user, visibility="private" if private else "public"):
        task = example.delay()
    return redirect("document-task", task.id)


@never_cache
@require_safe
def show(request: HttpRequest, task_id: str) -> HttpResponse:
    """The page of a task: as it stands now, and as its socket says."""
    actor = Actor.from_request(request)
    run = run_of(task_id, actor)
    status = status_of(run, actor)
    return render(request, "celery_tasks/task.html", {"task_id": task_id, "run": run, "status": status})
