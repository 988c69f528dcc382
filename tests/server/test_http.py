"""The API over plain HTTP: the same work for a single shot, and what there is to know."""

import json
import re
from typing import Any

import httpx
import pytest

from accounts import keys
from inference.engines.seq2seq_selection import has_gpu
from tests.live import Server
from tests.server.admin import Admin
from tests.server.client import http, session

QUESTION = [{"role": "user", "text": "What is Aister?"}]
GREEDY = {"temperature": 0}
JSON = "application/json"


def error(response: httpx.Response) -> tuple[int, str, str | None]:
    """Return what a refusal says: status, code, field. It is an `error` event like any other."""
    body = response.json()
    assert response.headers["content-type"] == JSON
    assert set(body) == {"type", "id", "request_id", "error"}
    assert body["type"] == "error"
    assert body["request_id"].startswith("req_")
    assert set(body["error"]) == {"code", "message", "param", "retry_after"}
    return response.status_code, body["error"]["code"], body["error"]["param"]


def sent_events(response: httpx.Response) -> list[dict[str, Any]]:
    """Return the events of a text/event-stream, each under the name that its type gives it."""
    events = []
    for block in response.text.removesuffix("\n\n").split("\n\n"):
        name, data = block.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def without_ids(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return events without what is different each time."""
    varying = {"request_id", "message_id", "timing", "usage"}
    kept = [{name: value for name, value in event.items() if name not in varying} for event in events]
    return [{**event, "message": {**event["message"], "id": None}} if event.get("message") else event for event in kept]


# -- chat -------------------------------------------------------------------------------------------------------------


def test_a_conversation_is_answered_with_response_done(live: Server) -> None:
    with http(live) as client:
        response = client.post("/v1/chat", json={"messages": QUESTION, "settings": GREEDY})
    done = response.json()
    assert (response.status_code, response.headers["content-type"]) == (200, JSON)
    assert set(done) == {"type", "id", "request_id", "status", "finish_reason", "message", "usage", "timing"}
    assert (done["type"], done["id"], done["status"], done["finish_reason"]) == (
        "response.done",
        "1",
        "completed",
        "stop",
    )
    assert done["message"]["role"] == "assistant"
    assert done["message"]["text"]


async def test_http_and_websocket_answer_alike(live: Server) -> None:
    with http(live) as client:
        body = {"messages": QUESTION, "settings": GREEDY, "id": "same", "type": "message.create"}
        single = client.post("/v1/chat", json=body).json()
        streamed = sent_events(client.post("/v1/chat", json={**body, "stream": True}))
    async with session(live) as chat:
        await chat.do("session.update", settings=GREEDY)
        answer = await chat.ask("message.create", "same", text=QUESTION[0]["text"])
    assert without_ids([single]) == without_ids([answer.last])
    assert next(event["type"] for event in streamed if event["type"] != "response.queued") == "response.created"
    assert "".join(event["text"] for event in streamed if event["type"] == "response.delta") == answer.deltas
    assert without_ids(streamed[-1:]) == without_ids([answer.last])
    assert {type(value) for value in streamed[-1]["usage"].values()} == {int}


def test_a_stream_is_not_to_be_held_back_or_kept(live: Server) -> None:
    with http(live) as client:
        response = client.post("/v1/chat", json={"messages": QUESTION, "stream": True})
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["cache-control"] == "no-cache"
    assert response.headers["x-accel-buffering"] == "no"


def test_a_system_message_may_come_first(live: Server) -> None:
    system = {"role": "system", "text": "Answer in one word."}
    with http(live) as client:
        plain = client.post("/v1/chat", json={"messages": QUESTION, "settings": GREEDY}).json()
        told = client.post("/v1/chat", json={"messages": [system, *QUESTION], "settings": GREEDY}).json()
        late = client.post("/v1/chat", json={"messages": [*QUESTION, system, *QUESTION]})
        alone = client.post("/v1/chat", json={"messages": [system]})
    assert told["usage"]["input_tokens"] > plain["usage"]["input_tokens"]
    assert error(late) == (400, "invalid_conversation", "messages")
    assert error(alone) == (409, "nothing_to_answer", "messages")


def test_what_websocket_gave_can_be_sent_by_http(live: Server) -> None:
    with http(live) as client:
        said = client.post("/v1/chat", json={"messages": QUESTION}).json()["message"]
        again = client.post("/v1/chat", json={"messages": [*QUESTION, said, *QUESTION]})
    assert again.status_code == 200


def test_a_prompt_seen_before_is_not_computed_again(live: Server) -> None:
    messages = [{"role": "user", "text": "This question was never asked before, and then twice: what is Aister?"}]
    with http(live) as client:
        first = client.post("/v1/chat", json={"messages": messages}).json()["usage"]
        second = client.post("/v1/chat", json={"messages": messages}).json()["usage"]
    assert second["input_tokens"] == first["input_tokens"]
    assert second["cached_tokens"] > first["cached_tokens"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "invalid_field", "messages")),
        ({"messages": []}, (400, "invalid_field", "messages")),
        ({"messages": "Hello!"}, (400, "invalid_field", "messages")),
        ({"messages": [{"role": "user", "content": "Hello!"}]}, (400, "invalid_field", "messages[0].content")),
        ({"messages": [{"role": "robot", "text": "x"}]}, (400, "invalid_field", "messages[0].role")),
        ({"messages": [{"role": "user", "text": ""}]}, (400, "empty_text", "messages[0].text")),
        ({"messages": [{"role": "system", "text": ""}, *QUESTION]}, (400, "empty_text", "messages[0].text")),
        ({"messages": [{"role": "user", "text": "x" * 100_001}]}, (413, "text_too_long", "messages[0].text")),
        ({"messages": [{"role": "assistant", "text": "Hi."}]}, (409, "nothing_to_answer", "messages")),
        ({"messages": QUESTION, "temperature": 1}, (400, "invalid_field", "temperature")),
        ({"messages": QUESTION, "settings": {"temperature": 9}}, (400, "invalid_field", "settings.temperature")),
        ({"messages": QUESTION, "settings": {"system": " "}}, (400, "empty_text", "settings.system")),
        ({"messages": QUESTION, "stream": "yes"}, (400, "invalid_field", "stream")),
        ({"messages": QUESTION, "id": "a b"}, (400, "invalid_field", "id")),
        ({"messages": QUESTION, "type": "translation.create"}, (400, "invalid_field", "type")),
        ({"messages": QUESTION, "model": "nothing"}, (404, "unknown_model", "model")),
        ({"messages": QUESTION, "model": "aister-phrasebook"}, (400, "wrong_task", "model")),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_body_that_can_not_be_answered_is_refused(
    live: Server, body: dict[str, Any], expected: tuple[int, str, str], stream: bool
) -> None:
    with http(live) as client:
        assert error(client.post("/v1/chat", json={"stream": stream, **body})) == expected


@pytest.mark.parametrize("stream", [False, True])
def test_what_only_the_model_can_refuse_is_json_under_its_status(live: Server, stream: bool) -> None:
    body = {"messages": [{"role": "user", "text": "hello " * 5_000}], "stream": stream, "id": "mine"}
    with http(live) as client:
        response = client.post("/v1/chat", json=body)
    assert error(response) == (413, "text_too_long", "text")
    assert response.json()["id"] == "mine"


# -- translation ------------------------------------------------------------------------------------------------------


def test_a_text_is_translated_and_its_white_space_kept(live: Server) -> None:
    with http(live) as client:
        plain = client.post("/v1/translate", json={"text": "Good morning", "source": "en", "target": "fr"}).json()
        framed = client.post(
            "/v1/translate", json={"text": "\n Good morning\t\n", "source": "en", "target": "fr"}
        ).json()
    assert set(plain) == {"type", "id", "request_id", "status", "finish_reason", "translations", "usage", "timing"}
    assert framed["translations"][0]["text"] == f"\n {plain['translations'][0]['text']}\t\n"


def test_a_list_is_translated_item_by_item(live: Server) -> None:
    texts = ["Good morning", " ", "Thank you.\n"]
    with http(live) as client:
        done = client.post("/v1/translate", json={"text": texts, "target": "fr"}).json()
        alone = [
            client.post("/v1/translate", json={"text": text, "target": "fr"}).json()["translations"][0]
            for text in texts
        ]
    assert [each["text"] for each in done["translations"]] == [each["text"] for each in alone]
    assert done["translations"][2]["text"].endswith("\n")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, (400, "invalid_field", "text")),
        ({"text": "Good morning"}, (400, "invalid_field", "target")),
        ({"text": 5, "target": "fr"}, (400, "invalid_field", "text")),
        ({"text": "", "target": "fr"}, (400, "empty_text", "text")),
        ({"text": [], "target": "fr"}, (400, "empty_text", "text")),
        ({"text": "x" * 50_001, "target": "fr"}, (413, "text_too_long", "text")),
        ({"text": "Good morning", "target": "tlh"}, (400, "unknown_language", "target")),
        ({"text": "Good morning", "target": "fr", "source": "tlh"}, (400, "unknown_language", "source")),
        ({"text": "Good morning", "target": "fr", "model": "nothing"}, (404, "unknown_model", "model")),
        ({"text": "Good morning", "target": "fr", "model": "aister-guide"}, (400, "wrong_task", "model")),
        ({"text": "Good morning", "target": "fr", "stream": True}, (400, "invalid_field", "stream")),
    ],
)
def test_a_translation_body_that_can_not_be_answered_is_refused(
    live: Server, body: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    with http(live) as client:
        assert error(client.post("/v1/translate", json=body)) == expected


# -- bodies, methods, addresses ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/translate"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", (400, "invalid_json", None)),
        (b"{", (400, "invalid_json", None)),
        (b"[]", (400, "invalid_json", None)),
        (b"\xff\xfe", (400, "invalid_json", None)),
        (b"[" * 100_000, (400, "invalid_json", None)),
        (b" " * 524_289, (413, "frame_too_large", None)),
        (b"x" * 3_000_000, (413, "frame_too_large", None)),
    ],
)
def test_a_body_that_can_not_be_read_is_refused(
    live: Server, path: str, body: bytes, expected: tuple[int, str, None]
) -> None:
    with http(live) as client:
        assert error(client.post(path, content=body)) == expected


def test_the_largest_body_is_read_whatever_its_content_type(live: Server) -> None:
    body = json.dumps({"text": "Good morning", "source": "en", "target": "fr"}).encode()
    with http(live) as client:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        assert client.post("/v1/translate", content=body.ljust(524_288), headers=form).status_code == 200


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/translate"])
def test_a_plain_get_is_told_to_upgrade(live: Server, path: str) -> None:
    with http(live) as client:
        response = client.get(path)
    assert error(response) == (426, "upgrade_required", None)
    assert response.headers["upgrade"] == "websocket"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/chat", "POST"),
        ("DELETE", "/v1/translate", "POST"),
        ("PATCH", "/v1/tokens", "POST"),
        ("GET", "/v1/tokens", "POST"),
        ("POST", "/v1/models", "GET, HEAD"),
        ("POST", "/v1/languages", "GET, HEAD"),
        ("POST", "/healthz", "GET, HEAD"),
        ("POST", "/readyz", "GET, HEAD"),
    ],
)
def test_a_method_that_an_address_does_not_take_is_told_which_it_does(
    live: Server, method: str, path: str, allowed: str
) -> None:
    with http(live) as client:
        response = client.request(method, path)
    assert error(response) == (405, "method_not_allowed", None)
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/v1/models", "/v1/languages", "/healthz", "/readyz"])
def test_head_is_answered_as_get_without_a_body(live: Server, path: str) -> None:
    with http(live, headers={}) as client:
        head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"] == get.headers["content-type"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("path", ["/v1/", "/v1/nothing", "/v1/chat/", "/v1/models/aister-guide"])
def test_an_unknown_address_of_the_api_says_so_in_json(live: Server, method: str, path: str) -> None:
    with http(live) as client:
        assert error(client.request(method, path)) == (404, "unknown_endpoint", None)


@pytest.mark.parametrize("host", ["<script>", "a b"])
def test_a_host_that_can_not_be_is_refused_quietly(live: Server, host: str) -> None:
    with http(live) as client:
        assert client.get("/admin/login/", headers={"Host": host}).status_code == 400


# -- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/translate"])
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "missing_key"),
        ({"Authorization": "Basic YTpi"}, "malformed_key"),
        ({"Authorization": "Bearer aister_short"}, "malformed_key"),
        ({"Authorization": f"Bearer {keys.generate(keys.Kind.KEY, keys.new_public_id())}"}, "wrong_key"),
    ],
)
def test_who_is_not_known_is_told_why(live: Server, path: str, headers: dict[str, str], code: str) -> None:
    with http(live, headers) as client:
        response = client.post(path, content=b"not even read")
    assert error(response) == (401, code, None)
    assert response.headers["www-authenticate"] == "Bearer"


def test_revoked_and_expired_keys_are_refused(live: Server, admin: Admin) -> None:
    for end, code in ((admin.revoke, "revoked_key"), (admin.expire, "expired_key")):
        key = admin.make_key()
        end(key)
        with http(live, key.headers) as client:
            assert error(client.post("/v1/chat", json={"messages": QUESTION})) == (401, code, None)


def test_a_key_is_good_for_what_it_names(live: Server, admin: Admin) -> None:
    key = admin.make_key(tasks=["chat"], models="aister-guide", origins="https://app.example.com")
    with http(live, key.headers) as client:
        assert client.post("/v1/chat", json={"messages": QUESTION}).status_code == 200
        translation = client.post("/v1/translate", json={"text": "Hi", "target": "fr"})
        elsewhere = client.post("/v1/chat", json={"messages": QUESTION}, headers={"Origin": "https://b.example"})
    assert error(translation) == (403, "forbidden_task", None)
    assert error(elsewhere) == (403, "forbidden_origin", None)
    key = admin.make_key(models="aister-phrasebook")
    with http(live, key.headers) as client:
        assert error(client.post("/v1/chat", json={"messages": QUESTION})) == (403, "forbidden_model", "model")


# -- what there is to know --------------------------------------------------------------------------------------------


def test_models_are_listed_for_everyone(live: Server) -> None:
    with http(live, headers={}) as client:
        models = client.get("/v1/models").json()["models"]
    assert [(model["id"], model["task"]) for model in models] == [
        ("aister-guide", "chat"),
        ("aister-phrasebook", "translation"),
    ]
    for model in models:
        assert set(model) == {
            "id", "task", "default", "demonstration", "description", "languages", "examples", "loaded", "engine"
        }  # fmt: skip
        assert model["default"] is model["demonstration"] is model["loaded"] is True
        assert model["description"]
        assert model["examples"]
        assert model["engine"]["parameters"] > 0
    paths = {model["task"]: model["engine"]["path"] for model in models if model["default"]}
    assert paths == {"chat": "packed", "translation": "transformers" if has_gpu() else "ctranslate2"}


def test_languages_are_listed_for_everyone(live: Server) -> None:
    with http(live, headers={}) as client:
        languages = client.get("/v1/languages").json()["languages"]
        named = client.get("/v1/languages?model=aister-phrasebook").json()["languages"]
        unknown = client.get("/v1/languages?model=nothing")
        chat = client.get("/v1/languages?model=aister-guide")
    assert languages == named
    assert {language["code"]: language["name"] for language in languages} == {
        "en": "English", "fr": "French", "de": "German", "es": "Spanish", "it": "Italian", "pt": "Portuguese"
    }  # fmt: skip
    codes = [language["code"] for language in languages]
    assert all(language["targets"] == [code for code in codes if code != language["code"]] for language in languages)
    assert error(unknown) == (404, "unknown_model", "model")
    assert error(chat) == (400, "wrong_task", "model")


def test_health_is_told_to_everyone(live: Server) -> None:
    with http(live, headers={}) as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json() == {
        "status": "ready",
        "checks": {"models": True, "threads": True, "sessions": True, "database": True, "usage": True},
    }


# -- other origins ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/chat", "/v1/translate", "/v1/tokens", "/v1/models", "/v1/nothing"])
def test_a_page_of_any_origin_may_ask(live: Server, path: str) -> None:
    origin = {"Origin": "http://localhost:5173"}
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    with http(live, headers={}) as client:
        preflight = client.options(path, headers={**origin, **asked})
        refused = client.post(path, headers=origin)
    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
    allowed = preflight.headers["access-control-allow-headers"].lower()
    assert set(re.split(r",\s*", allowed)) >= {"authorization", "content-type"}
    for response in (preflight, refused):
        assert response.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in response.headers
        assert "set-cookie" not in response.headers


def test_pages_are_not_for_other_origins(live: Server) -> None:
    with http(live, headers={"Origin": "https://b.example"}) as client:
        for path in ("/", "/admin/login/", "/sign-in", "/readyz"):
            assert "access-control-allow-origin" not in client.get(path).headers
