from __future__ import annotations

from django.urls import path
from django.views.generic import TemplateView

index = TemplateView.as_view(template_name="documents/index.html")

urlpatterns = [path("", index, name="documents")]
