"""Warnings, answers, the desk."""

from django.urls import path

from alerts import desk, views, ways

urlpatterns = [
    path("warnings/", views.warnings, name="warnings"),
    path("warnings/events/", views.events, name="events"),
    path("warnings/<uuid:pk>/", views.warning, name="warning"),
    path("warnings/ways/", ways.ways, name="ways"),
    path("warnings/ways/add/", ways.choose, name="way-choose"),
    path("warnings/ways/add/<slug:channel>/", ways.add, name="way-add"),
    path("warnings/ways/<int:pk>/", ways.way, name="way"),
    path("warnings/ways/<int:pk>/test/", ways.test, name="way-test"),
    path("warnings/ways/<int:pk>/switch/", ways.switch, name="way-switch"),
    path("warnings/ways/<int:pk>/secret/", ways.secret, name="way-secret"),
    path("warnings/ways/<int:pk>/remove/", ways.remove, name="way-remove"),
    path("ok/<str:token>/", ways.confirm, name="way-confirm"),
    path("mails/<str:token>/", ways.mails, name="mails"),
    path("w/<str:code>/", views.short, name="short"),
    path("answer/<str:token>/", views.answer, name="answer"),
    path("desk/", desk.queue, name="desk"),
    path("desk/<slug:reference>/", desk.case, name="case"),
    path("desk/<slug:reference>/release/", desk.release_case, name="release"),
    path("desk/<slug:reference>/decline/", desk.decline_case, name="decline"),
    path("desk/warnings/<uuid:pk>/", desk.warning_coverage, name="coverage"),
]
