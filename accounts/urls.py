"""Addresses of this package: the page that a sign-in link opens."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
