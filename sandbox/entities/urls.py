from __future__ import annotations

from django.urls import path
from django.views.generic import TemplateView

from sandbox.entities import views
from sandbox.entities.shared import KEY, SIMULATION

page = TemplateView.as_view(
    template_name="entities/simulation.html", extra_context={"simulation": SIMULATION, "key": KEY}
)

urlpatterns = [
    path("simulation/", page, name="document-simulation"),
    path("html/", views.as_html, name="document-html"),
]
