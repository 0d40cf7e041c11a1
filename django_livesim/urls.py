"""The pages: `path("livesim/", include("django_livesim.urls"))`."""

from __future__ import annotations

from django.urls import path

from django_livesim import views

app_name = "livesim"

urlpatterns = [
    path("", views.run_list, name="run-list"),
    path("start/", views.run_start, name="run-start"),
    path("bulk/", views.run_bulk, name="run-bulk"),
    path("health/", views.health, name="health"),
    path("runs/<uuid:run_id>/", views.run_detail, name="run-detail"),
    path("runs/<uuid:run_id>/commands/", views.run_message, name="run-message"),
    path("runs/<uuid:run_id>/commands/<str:name>/", views.run_command, name="run-command"),
    path("runs/<uuid:run_id>/control/<slug:verb>/", views.run_control, name="run-control"),
    path("runs/<uuid:run_id>/scheduled/<int:command_id>/cancel/", views.run_cancel, name="run-cancel"),
    path("runs/<uuid:run_id>/share/", views.run_share, name="run-share"),
    path("runs/<uuid:run_id>/embed/", views.run_embed, name="run-embed"),
    path("runs/<uuid:run_id>/delete/", views.run_delete, name="run-delete"),
    path("runs/<uuid:run_id>/series/", views.run_series, name="run-series"),
    path("runs/<uuid:run_id>/answers/<slug:client_id>/", views.run_answer, name="run-answer"),
    path("<str:simulation>/mine/", views.run_mine, name="run-mine"),
    path("<str:simulation>/<path:key>/", views.run_by_key, name="run-by-key"),
]
