"""What an operator does and sees: keys made and revoked in the Django admin over HTTP, rows read from the database."""

import html
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, TypeVar

import httpx

from accounts import keys
from tests.live import Server
from tests.server.client import WAIT_S, http

T = TypeVar("T")
KEYS = "/admin/accounts/apikey/"


@dataclass(frozen=True)
class Key:
    """A key that was made for one test."""

    text: str
    pk: int

    @property
    def headers(self) -> dict[str, str]:
        """What a program sends with it."""
        return {"Authorization": f"Bearer {self.text}"}


class Admin:
    """Somebody signed in to the admin."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.http = http(server, headers={})
        self.http.get("/sign-in")
        link = re.search(r"#(\S+)", server.manage("signin", "--url", server.url))
        assert link is not None
        assert self.post("/sign-in", code=link[1]).status_code == 302

    def post(self, path: str, **fields: Any) -> httpx.Response:
        """Post a form, as a page of ours does."""
        return self.http.post(path, data={"csrfmiddlewaretoken": self.csrf_token, **fields})

    @property
    def csrf_token(self) -> str:
        """What a page of ours proves itself with."""
        return str(self.http.cookies["csrftoken"])

    def make_key(self, **fields: Any) -> Key:
        """Make a key in the form for new ones; `fields` are its fields."""
        form = {"public_id": keys.new_public_id(), "name": "Test", "lifetime": "", "max_sessions": "100", **fields}
        page = html.unescape(self.post(f"{KEYS}add/", **form).text)
        text, pk = re.search(r"aister_\w{10}_\w{38}", page), re.search(rf"{KEYS}(\d+)/change/", page)
        assert text is not None, page
        assert pk is not None, page
        return Key(text[0], int(pk[1]))

    def revoke(self, key: Key) -> None:
        """Revoke a key on its page."""
        assert self.post(f"{KEYS}{key.pk}/revoke/").status_code == 302

    def expire(self, key: Key) -> None:
        """Let a key's time be over. The form takes only days, so the row is changed instead."""
        with closing(sqlite3.connect(self.server.home / "aister.sqlite3", timeout=WAIT_S)) as database, database:
            database.execute("UPDATE accounts_apikey SET expires_at = '2020-01-01 00:00:00' WHERE id = ?", [key.pk])


def usage(server: Server, **wanted: Any) -> list[dict[str, Any]]:
    """Return the usage rows with these values, as they are committed at this moment."""
    where = " AND ".join(f"{column} = ?" for column in wanted) or "TRUE"
    with closing(sqlite3.connect(f"file:{server.home / 'aister.sqlite3'}?mode=ro", uri=True)) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute(f"SELECT * FROM inference_usagerecord WHERE {where}", list(wanted.values()))
        return [dict(row) for row in rows]


def eventually(look: Callable[[], T]) -> T:
    """Return what `look` finds, once it finds something: for what no client is told of."""
    deadline_s = monotonic() + WAIT_S
    while not (found := look()):
        assert monotonic() < deadline_s, "it never came"
        sleep(0.02)
    return found
