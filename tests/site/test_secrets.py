"""Nothing secret in a log, and nothing of AISTER_HOME for other eyes: a server that logs all it can, behind nginx.

What proxies do log is URLs, so secrets that stand in one are sent past nginx; there they stand for a client's mistake.
"""

import secrets
import stat

import httpx

from accounts import keys
from tests.live import Server
from tests.nginx import Site
from tests.server.admin import eventually
from tests.server.client import connected, http, refusal, session

PLACES = ("/?key=", "/v1/chat?token=", "/sign-in?code=", "/admin/?k=", "/", "/v1/", "/sign-in/", "/admin/", "/static/")
CHARACTERS = 16  # that many of a secret in a row, at its end or its beginning, give it away


class Secrets:
    """What must not be found, by what it is."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}

    def add(self, name: str, text: str) -> str:
        """Keep a secret and return it."""
        self.texts[name] = text
        return text

    def found_in(self, log: str) -> list[str]:
        """Return the names of those of which a part is in a text. The id of a key, which begins it, is none."""
        parts = {name: text.rpartition("_")[2] if "aister" in text else text for name, text in self.texts.items()}
        return [name for name, text in parts.items() if text[:CHARACTERS] in log or text[-CHARACTERS:] in log]


def wrong_key() -> str:
    """Return a key that is well-formed and none."""
    return keys.generate(keys.Kind.KEY, keys.new_public_id())


def sign_in(site: Site, kept: Secrets) -> None:
    """Go in by a link, set a password, fail with another, and go in with it."""
    code = site.server.manage("signin", **site.nginx.settings).split()[0].partition("#")[2]
    with http(site.server, {}) as client:
        client.headers.update({"Origin": site.server.url, "Referer": f"{site.server.url}/"})
        post(client, "/sign-in", code=kept.add("wrong code", secrets.token_urlsafe(32)))
        assert post(client, "/sign-in", code=kept.add("code", code)).status_code == 302
        post(client, "/sign-in", code=code)
        password = kept.add("password", secrets.token_urlsafe(32))
        changed = post(client, "/admin/auth/user/1/password/", password1=password, password2=password)
        assert changed.status_code == 302
        kept.add("session", client.cookies["sessionid"])
        kept.add("CSRF cookie", client.cookies["csrftoken"])
        token = client.post("/v1/tokens", headers={"X-CSRFToken": client.cookies["csrftoken"]}).json()["token"]
        kept.add("token of a page", token)
        client.get("/admin/accounts/apikey/")
    with http(site.server, {"Origin": site.server.url, "Referer": f"{site.server.url}/"}) as client:
        wrong = kept.add("wrong password", secrets.token_urlsafe(32))
        post(client, "/admin/login/", username="admin", password=wrong)
        post(client, "/admin/login/", username="admin", password=password)
        client.post("/admin/login/", data={"username": "admin", "password": password}, headers={"Origin": "null"})


def post(client: httpx.Client, path: str, **fields: str) -> httpx.Response:
    """Post a form of the page at that address."""
    client.get(path)
    return client.post(path, data={"csrfmiddlewaretoken": client.cookies["csrftoken"], **fields})


async def ask(server: Server, kept: Secrets) -> None:
    """Chat and translate, with the key and with a token; be refused with others."""
    prompt = kept.add("prompt", f"prompt {secrets.token_hex(16)}")
    with http(server) as client:
        token = kept.add("token", client.post("/v1/tokens").json()["token"])
        client.post("/v1/chat", json={"messages": [{"role": "user", "text": prompt}], "settings": {"system": prompt}})
        client.post("/v1/translate", json={"text": prompt, "target": prompt})
        client.post("/v1/chat", headers={"Authorization": f"Bearer {kept.add('wrong key', wrong_key())}"})
        client.post("/v1/chat", headers={"Authorization": f"Basic {server.key}"})
        client.post("/v1/chat", headers={"Authorization": server.key[:-1]})
    offered = ["aister.v1", f"aister.token.{token}"]
    async with session(server, subprotocols=offered) as chat, session(server, "translate") as translation:
        await chat.ask("message.create", text=prompt)
        await chat.say(prompt)
        await translation.ask("translation.create", text=[prompt], target="fr")
    for secret in (token[:-1], server.key, kept.texts["wrong key"]):
        await refusal(server, "/v1/chat", subprotocols=["aister.v1", f"aister.token.{secret}"])


async def put_into_urls(direct: Server, kept: Secrets) -> None:
    """Do what nobody should: put secrets where addresses are."""
    for name in ("first key", "token", "code", "session"):
        secret = kept.texts[name]
        with http(direct, {}) as client:
            for url in (
                f"/?key={secret}",
                f"/v1/chat?token={secret}",
                f"/sign-in?code={secret}",
                f"/admin/?k={secret}",
            ):
                client.get(url)
                client.post(url)
            for url in (f"/{secret}", f"/v1/{secret}", f"/sign-in/{secret}", f"/admin/{secret}", f"/static/{secret}"):
                client.get(url)
                client.post(url)
            client.post("/sign-in", headers={"Referer": f"https://b.example/{secret}", "X-Forwarded-Proto": "https"})
            client.get("/", headers={"Host": secret})
            client.request(secret[:20], "/v1/chat")
        for path in (f"/v1/chat?token={secret}", f"/v1/{secret}", f"/{secret}"):
            async with connected(direct, path) as lost:
                await lost.closed()


async def test_a_log_of_everything_holds_no_secret_and_no_text(site: Site) -> None:
    server, kept = site.server, Secrets()
    kept.add("first key", server.key)
    kept.add("secret_key", (server.home / "secret_key").read_text().strip())
    sign_in(site, kept)
    await ask(server, kept)
    assert kept.found_in(log_of(server, "through-nginx") + site.nginx.log) == []
    await put_into_urls(direct(site), kept)
    log = log_of(server, "directly")
    assert kept.found_in(log) == []
    assert "Referer checking failed - https://b.example does not match any trusted origins." in log


def direct(site: Site) -> Server:
    """The server as who is on its machine reaches it."""
    url = f"http://127.0.0.1:{site.nginx.upstream}"
    return Server(site.server.process, url, site.server.key, site.server.home, site.server.log)


def log_of(server: Server, last: str) -> str:
    """Return what the server wrote to stdout and stderr up to now, when something is logged that names `last`."""
    with http(server, {"Origin": f"https://{last}.example"}) as client:
        client.post("/sign-in")
    return eventually(lambda: text if f"https://{last}.example" in (text := server.log.read_text()) else "")


def test_what_is_in_the_home_is_for_its_owner_only_whatever_the_umask(site: Site) -> None:
    home = site.server.home
    private = [path for path in home.rglob("*") if not path.is_relative_to(home / "models")]  # those hold no secret
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [home, *private]}
    assert modes["home"] == 0o700
    assert {"secret_key", "first_key", "aister.sqlite3", "aister.sqlite3-wal"} <= modes.keys()
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
    assert (modes["secret_key"], modes["first_key"]) == (0o600, 0o600)
