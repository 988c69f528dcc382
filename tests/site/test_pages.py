"""Pages for what went wrong: plain words and a way on."""

import logging
from logging.config import DictConfigurator

import pytest
from django.conf import settings
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from aister_site.seldom import Seldom
from inference import outages


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("what a client wrote")


def away(request: HttpRequest) -> HttpResponse:
    raise OperationalError("the server at db.example closed the connection")


urlpatterns = [path("broken", broken), path("away", away)]


def test_an_unknown_page_says_so_and_leads_on(client: Client) -> None:
    response = client.get("/nothing")
    assert response.status_code == 404
    assert "There is no such page" in response.text
    assert 'href="/admin/"' in response.text


def test_a_form_out_of_date_says_so() -> None:
    response = Client(enforce_csrf_checks=True).post("/sign-in", {"code": "x"})
    assert response.status_code == 403
    assert "This page was out of date" in response.text


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of refused forms, with filters that have seen none, twice: asgi.py sets up Django again."""
    log = logging.getLogger("django.security.csrf")
    made = DictConfigurator(settings.LOGGING).configure_filter
    names = settings.LOGGING["loggers"][log.name]["filters"]
    monkeypatch.setattr(log, "filters", [made(dict(settings.LOGGING["filters"][name])) for name in 2 * names])


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of refused forms."""
    return [record.getMessage() for record in caplog.records if record.name == "django.security.csrf"]


@pytest.mark.usefixtures("refusals")
def test_forms_out_of_date_do_not_flood_the_log_but_each_reason_is_told(caplog: pytest.LogCaptureFixture) -> None:
    page = Client(enforce_csrf_checks=True)
    for number in range(3):
        page.post("/sign-in", {"code": "x"})
        page.post("/sign-in", {"code": "x"}, headers={"Origin": f"https://{number}.example/x?secret"})
    assert told(caplog) == [
        "Forbidden (CSRF cookie not set.)",
        "Forbidden (Origin checking failed - https://0.example does not match any trusted origins.)",
    ]


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("null", "null"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://name:secret@a.example", "what is no address"),
        ("https://a.example secret", "what is no address"),
        ("secret does not match", "what is no address"),
    ],
)
@pytest.mark.usefixtures("refusals")
def test_only_the_origin_of_a_form_from_elsewhere_is_logged(
    sent: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    Client(enforce_csrf_checks=True).post("/sign-in", {"code": "x"}, headers={"Origin": sent})
    assert told(caplog) == [f"Forbidden (Origin checking failed - {said} does not match any trusted origins.)"]


@override_settings(ROOT_URLCONF="tests.site.test_pages")
def test_a_page_that_fails_tells_nothing_of_why() -> None:
    response = Client(raise_request_exception=False).get("/broken")
    assert response.status_code == 500
    assert "Something went wrong on the server" in response.text
    assert "what a client wrote" not in response.text


@override_settings(ROOT_URLCONF="tests.site.test_pages")
def test_a_page_that_needs_a_database_that_is_away_says_when_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "lines", Seldom())
    response = Client().get("/away")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "5")
    assert "The server can't use its database right now" in response.text
    assert "db.example" not in response.text
