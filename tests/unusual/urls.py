from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib import admin
from django.urls import include, path

from tests.unusual.app import views
from tests.unusual.sites import back_office

urlpatterns = [
    path("send/<str:run>/", views.send, name="send"),
    path("send-and-break/<str:run>/", views.send_and_break, name="send-and-break"),
    *i18n_patterns(
        path("administration/", admin.site.urls),
        path("back-office/", back_office.urls),
        path("simulations/", include("django_livesim.urls")),
    ),
]
