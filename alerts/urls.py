"""Warnings, answers, the desk."""

from django.urls import path

from alerts import correcting, desk, views

urlpatterns = [
    path("warnings/", views.warnings, name="warnings"),
    path("warnings/events/", views.events, name="events"),
    path("warnings/<uuid:pk>/", views.warning, name="warning"),
    path("answer/<str:token>/", views.answer, name="answer"),
    path("desk/", desk.queue, name="desk"),
    path("desk/<slug:reference>/", desk.case, name="case"),
    path("desk/<slug:reference>/confirm/", desk.confirm_release, name="confirm"),
    path("desk/<slug:reference>/private.json", desk.private_json, name="private-json"),
    path("desk/<slug:reference>/released.json", desk.released_json, name="released-json"),
    path("desk/<slug:reference>/release/", desk.release_case, name="release"),
    path("desk/<slug:reference>/decline/", desk.decline_case, name="decline"),
    path("desk/<slug:reference>/correct/<slug:kind>/", correcting.correct, name="correct"),
    path("desk/jumps/<int:pk>/looked-at/", desk.looked_at, name="looked-at"),
    path("desk/warnings/<uuid:pk>/", desk.warning_coverage, name="coverage"),
]
