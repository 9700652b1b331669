"""Reporting and lists."""

from django.urls import path

from sharing import feeds, tools, views

urlpatterns = [
    path("", views.home, name="home"),
    path("report/", views.report, name="report"),
    path("report/understood/", views.preview, name="preview"),
    path("reports/", views.reports, name="reports"),
    path("reports/<slug:reference>/", views.receipt, name="receipt"),
    path("reports/<slug:reference>/warn/", views.warn, name="warn"),
    path("reports/<slug:reference>/withdraw/", views.ask_withdrawal, name="ask-withdrawal"),
    path("lists/<slug:kind>.txt", feeds.plain_list, name="list"),
    path("tools/", tools.tools, name="tools"),
    path("tools/new/", tools.issue, name="tool-issue"),
    path("tools/keys/<slug:lookup>/", tools.tool, name="tool"),
    path("tools/keys/<slug:lookup>/test/", tools.test, name="tool-test"),
    path("tools/keys/<slug:lookup>/revoke/", tools.revoke, name="tool-revoke"),
    path("tools/settings/<slug:slug>/", tools.recipe, name="tool-recipe"),
]
