"""The URL root."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from accounts.forms import SignInForm

admin.site.site_header = admin.site.site_title = "Aister"
admin.site.index_title = "Keys, usage and people"
admin.site.login_form = SignInForm

urlpatterns = [
    path("favicon.ico", RedirectView.as_view(url="/static/aister/favicon.svg")),
    path("admin/", admin.site.urls),
    path("", include("accounts.urls")),
    path("", include("inference.urls")),
]
