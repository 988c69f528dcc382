"""The addresses of the API and the playground."""

from django.urls import path, re_path

from inference.views import information, playground, tasks, tokens

urlpatterns = [
    path("", playground.playground, name="playground"),
    path("v1/chat", tasks.chat),
    path("v1/translate", tasks.translate),
    path("v1/tokens", tokens.create),
    path("v1/models", information.models),
    path("v1/languages", information.languages),
    path("healthz", information.healthz),
    path("readyz", information.readyz),
    re_path(r"^v1/", playground.unknown),
]
