from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from django_livesim.models import Task
from sandbox.hello.simulations import hello

MOST = 20  # that may wait: anybody may come here
SHOWN = 10
LONGEST = 200  # characters


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def home(request: HttpRequest) -> HttpResponse:
    """What became of the last ones; a POST has a worker greet, and answers at once."""
    tasks = Task.objects.filter(name=hello.name)
    if request.method != "POST":
        return render(request, "hello/home.html", {"tasks": tasks[:SHOWN]})
    if tasks.open().count() >= MOST:
        told = f"{MOST} wait already. Come back when a worker has called them."
        return render(request, "hello/home.html", {"tasks": tasks[:SHOWN], "refused": told}, status=429)
    hello.enqueue(request.POST.get("words", "")[:LONGEST].replace("\0", "").split())
    return redirect("document-hello")
