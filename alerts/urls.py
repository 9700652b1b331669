"""Warnings, answers, the desk."""

from django.urls import path

from alerts import correcting, coverage_pages, desk, ladder_pages, views, ways, wishes

urlpatterns = [
    path("warnings/", views.warnings, name="warnings"),
    path("warnings/events/", views.events, name="events"),
    path("warnings/<uuid:pk>/", views.warning, name="warning"),
    path("warnings/wishes/", wishes.wishes, name="wishes"),
    path("warnings/wishes/<slug:slug>/", wishes.wish, name="wish"),
    path("warnings/wishes/<slug:slug>/preview/", wishes.preview, name="wish-preview"),
    path("warnings/wishes/<slug:slug>/undo/", wishes.undo, name="wish-undo"),
    path("warnings/assets/", wishes.assets_page, name="assets"),
    path("warnings/assets/undo/", wishes.undo_giving_up, name="asset-undo"),
    path("warnings/assets/<int:pk>/give-up/", wishes.give_up, name="asset-give-up"),
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
    path("warnings/<uuid:pk>/report/", views.report_too, name="warning-report"),
    path("answer/<str:token>/", views.answer, name="answer"),
    path("desk/", desk.queue, name="desk"),
    path("desk/assets/", wishes.claims, name="claims"),
    path("desk/assets/<int:pk>/", wishes.decide, name="claim-decide"),
    path("desk/<slug:reference>/", desk.case, name="case"),
    path("desk/<slug:reference>/confirm/", desk.confirm_release, name="confirm"),
    path("desk/<slug:reference>/private.json", desk.private_json, name="private-json"),
    path("desk/<slug:reference>/released.json", desk.released_json, name="released-json"),
    path("desk/<slug:reference>/release/", desk.release_case, name="release"),
    path("desk/<slug:reference>/let-stand/", desk.let_stand, name="let-stand"),
    path("desk/<slug:reference>/decline/", desk.decline_case, name="decline"),
    path("desk/<slug:reference>/correct/<slug:kind>/", correcting.correct, name="correct"),
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
