from __future__ import annotations

from django.urls import path
from django.views.generic import TemplateView

urlpatterns = [path("chat/", TemplateView.as_view(template_name="chat/chat.html"), name="document-chat")]
