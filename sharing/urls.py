"""Reporting and lists."""

from django.urls import path

from sharing import feeds, views

urlpatterns = [
    path("", views.home, name="home"),
    path("report/", views.report, name="report"),
    path("report/understood/", views.preview, name="preview"),
    path("reports/", views.reports, name="reports"),
    path("reports/<slug:reference>/", views.receipt, name="receipt"),
    path("reports/<slug:reference>/warn/", views.warn, name="warn"),
    path("lists/<slug:kind>.txt", feeds.plain_list, name="list"),
]
