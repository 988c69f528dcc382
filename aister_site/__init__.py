"""The site: settings, URL and ASGI roots, the server."""
