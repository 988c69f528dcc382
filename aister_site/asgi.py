"""The ASGI application: HTTP for Django, WebSockets for the consumers. Plain ASGI, any server can run it."""

import os

from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.urls import path, re_path

from aister_site.guard import Guard

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "aister_site.settings")
http = get_asgi_application()  # sets Django up: before anything that has models

from inference.consumers.chat import ChatConsumer  # noqa: E402
from inference.consumers.translation import TranslationConsumer  # noqa: E402
from inference.consumers.unknown import UnknownPathConsumer  # noqa: E402

sockets = URLRouter(
    [
        path("v1/chat", ChatConsumer.as_asgi()),
        path("v1/translate", TranslationConsumer.as_asgi()),
        re_path("", UnknownPathConsumer.as_asgi()),
    ]
)
application = Guard(ProtocolTypeRouter({"http": http, "websocket": sockets}))
