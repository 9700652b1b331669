"""Warnings, answers, the desk."""

from django.urls import path

from alerts import coverage_pages, desk, ladder_pages, views

urlpatterns = [
    path("warnings/", views.warnings, name="warnings"),
    path("warnings/events/", views.events, name="events"),
    path("warnings/<uuid:pk>/", views.warning, name="warning"),
    path("warnings/<uuid:pk>/report/", views.report_too, name="warning-report"),
    path("answer/<str:token>/", views.answer, name="answer"),
    path("desk/", desk.queue, name="desk"),
    path("desk/<slug:reference>/", desk.case, name="case"),
    path("desk/<slug:reference>/confirm/", desk.confirm_release, name="confirm"),
    path("desk/<slug:reference>/private.json", desk.private_json, name="private-json"),
    path("desk/<slug:reference>/released.json", desk.released_json, name="released-json"),
    path("desk/<slug:reference>/release/", desk.release_case, name="release"),
    path("desk/<slug:reference>/decline/", desk.decline_case, name="decline"),
    path("desk/jumps/<int:pk>/looked-at/", desk.looked_at, name="looked-at"),
    path("desk/warnings/<uuid:pk>/", coverage_pages.show, name="coverage"),
    path("desk/warnings/<uuid:pk>/<slug:slug>/", coverage_pages.member, name="coverage-member"),
    path(
        "desk/warnings/<uuid:pk>/<slug:slug>/answer/", coverage_pages.answer_for, name="answer-for"
    ),
    path("desk/warnings/<uuid:pk>/<slug:slug>/pause/", coverage_pages.pause, name="pause-calls"),
    path("ladder/", ladder_pages.show, name="ladder"),
    path("ladder/<slug:what>/", ladder_pages.act, name="ladder-act"),
]
