"""Warnings, answers, the desk."""

from django.urls import path

from alerts import desk, views, wishes

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
    path("answer/<str:token>/", views.answer, name="answer"),
    path("desk/", desk.queue, name="desk"),
    path("desk/assets/", wishes.claims, name="claims"),
    path("desk/assets/<int:pk>/", wishes.decide, name="claim-decide"),
    path("desk/<slug:reference>/", desk.case, name="case"),
    path("desk/<slug:reference>/confirm/", desk.confirm_release, name="confirm"),
    path("desk/<slug:reference>/private.json", desk.private_json, name="private-json"),
    path("desk/<slug:reference>/released.json", desk.released_json, name="released-json"),
    path("desk/<slug:reference>/release/", desk.release_case, name="release"),
    path("desk/<slug:reference>/decline/", desk.decline_case, name="decline"),
    path("desk/jumps/<int:pk>/looked-at/", desk.looked_at, name="looked-at"),
    path("desk/warnings/<uuid:pk>/", desk.warning_coverage, name="coverage"),
]
