"""Addresses of this package: the page that a sign-in link opens."""

from django.urls import path

from accounts import views

urlpatterns = [path("sign-in", views.sign_in, name="sign-in")]
