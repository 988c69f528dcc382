"""Pages for what went wrong: plain words and a way on."""

from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path


def broken(request: HttpRequest) -> HttpResponse:
    raise ValueError("what a client wrote")


urlpatterns = [path("broken", broken)]


def test_an_unknown_page_says_so_and_leads_on(client: Client) -> None:
    response = client.get("/nothing")
    assert response.status_code == 404
    assert "There is no such page" in response.text
    assert 'href="/admin/"' in response.text


def test_a_form_out_of_date_says_so() -> None:
    response = Client(enforce_csrf_checks=True).post("/sign-in", {"code": "x"})
    assert response.status_code == 403
    assert "This page was out of date" in response.text


@override_settings(ROOT_URLCONF="tests.site.test_pages")
def test_a_page_that_fails_tells_nothing_of_why() -> None:
    response = Client(raise_request_exception=False).get("/broken")
    assert response.status_code == 500
    assert "Something went wrong on the server" in response.text
    assert "what a client wrote" not in response.text
