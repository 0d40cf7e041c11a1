from __future__ import annotations

from django.urls import path

from sandbox.pictures import views

urlpatterns = [
    path("pictures/", views.pictures, name="document-pictures"),
    path("pictures/<int:image_id>.png", views.picture, name="document-picture"),
    path("pictures/<int:image_id>/thumbnail.png", views.thumbnail, name="document-thumbnail"),
]
