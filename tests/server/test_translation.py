"""Translation: texts and lists, languages named and detected, many requests at a time."""

from typing import Any

import pytest

from tests.live import Server
from tests.server.client import error_code, http, session

FRENCH = {"source": "en", "target": "fr"}


async def test_a_translation_says_all_it_should(live: Server) -> None:
    async with session(live, "translate") as translation:
        answer = await translation.ask("translation.create", "one", text="Good morning", **FRENCH)
    types = [kind for kind in answer.types if kind != "response.queued"]
    assert types == ["response.created", *["response.delta"] * (len(types) - 2), "response.done"]
    created = next(event for event in answer.events if event["type"] == "response.created")
    assert created == {
        "type": "response.created",
        "id": "one",
        "request_id": answer.last["request_id"],
        "model": "aister-phrasebook",
    }
    usage, timing = answer.last.pop("usage"), answer.last.pop("timing")
    assert answer.last == {
        "type": "response.done",
        "id": "one",
        "request_id": created["request_id"],
        "status": "completed",
        "finish_reason": "stop",
        "translations": [{"text": answer.deltas, "source": "en", "confidence": 1.0, "uncertain": False}],
    }
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0
    assert (usage["cached_tokens"], usage["truncated"]) == (0, 0)
    assert 0 <= timing["queue_ms"] <= timing["first_token_ms"] <= timing["total_ms"]


async def test_the_deltas_of_each_item_of_a_list_are_its_text(live: Server) -> None:
    texts = ["Good morning. Thank you. Where is the train station?", "Thank you.", " \n ", "Good morning"]
    async with session(live, "translate") as translation:
        answer = await translation.ask("translation.create", text=texts, **FRENCH)
    streamed = [""] * len(texts)
    for event in answer.events:
        if event["type"] == "response.delta":
            streamed[event["item"]] += event["text"]
    assert streamed == answer.translations
    assert all(text.strip() for text in (streamed[0], streamed[1], streamed[3]))


async def test_a_list_is_translated_as_its_texts_are_alone(live: Server) -> None:
    texts = ["Good morning", "Thank you.", "I would like a coffee, please.", "Good morning"]
    async with session(live, "translate") as translation:
        alone = [(await translation.ask("translation.create", text=text, **FRENCH)).translations[0] for text in texts]
        assert (await translation.ask("translation.create", text=texts, **FRENCH)).translations == alone


@pytest.mark.parametrize("text", ["Good morning", "Good morning. Thank you.", "Good morning.\n\n\tThank you.\r\n"])
async def test_white_space_around_and_between_is_kept(live: Server, text: str) -> None:
    async with session(live, "translate") as translation:
        plain = (await translation.ask("translation.create", text=text, **FRENCH)).translations[0]
        framed = (await translation.ask("translation.create", text=f"\n  {text} \t\n", **FRENCH)).translations[0]
    assert framed == f"\n  {plain} \t\n"
    assert [c for c in plain if c in "\n\r\t"] == [c for c in text if c in "\n\r\t"]


@pytest.mark.parametrize("text", [" ", "\n\n", "\U0001f600", "12345", "--- 3.14 ---"])
async def test_what_has_no_words_stays_as_it_is_and_costs_nothing(live: Server, text: str) -> None:
    async with session(live, "translate") as translation:
        answer = await translation.ask("translation.create", text=text, **FRENCH)
    assert answer.translations == [text]
    assert answer.last["usage"]["output_tokens"] == 0


async def test_a_text_in_the_target_language_stays_as_it_is(live: Server) -> None:
    async with session(live, "translate") as translation:
        answer = await translation.ask("translation.create", text="Good morning", source="en", target="en")
    assert answer.translations == ["Good morning"]


async def test_each_text_of_a_list_is_detected_by_itself(live: Server) -> None:
    texts = ["Where is the train station?", "Wo ist der Bahnhof, bitte?", "Où est la gare, s'il vous plaît ?"]
    async with session(live, "translate") as translation:
        answer = await translation.ask("translation.create", text=texts, source="auto", target="es")
    found = answer.last["translations"]
    assert [each["source"] for each in found] == ["en", "de", "fr"]
    assert all(0.5 < each["confidence"] <= 1 and not each["uncertain"] for each in found)


async def test_a_guess_says_that_it_is_one(live: Server) -> None:
    async with session(live, "translate") as translation:
        answer = await translation.ask("translation.create", text=["taxi", "Where is the train station?"], target="fr")
    guess, sure = answer.last["translations"]
    assert guess["uncertain"] is True
    assert guess["confidence"] < sure["confidence"]
    assert sure["uncertain"] is False


WARNED = {
    "code": "outside_vocabulary",
    "message": "The model does not know these words, so the translation may be wrong: walrus, juggles.",
    "words": ["walrus", "juggles"],
}


async def test_words_outside_the_models_vocabulary_are_told_beside_the_text_that_has_them(live: Server) -> None:
    texts = ["The walrus juggles.", "Good morning"]
    async with session(live, "translate") as translation:
        answer = await translation.ask("translation.create", text=texts, **FRENCH)
    with http(live) as client:
        posted = client.post("/v1/translate", json={"text": texts, **FRENCH}).json()
    for first, second in (answer.last["translations"], posted["translations"]):
        assert first["warning"] == WARNED
        assert "warning" not in second


@pytest.mark.parametrize("named", ["FR", "fr-CA", "fr_FR", " fr "])
async def test_a_language_may_be_written_in_other_ways(live: Server, named: str) -> None:
    async with session(live, "translate") as translation:
        plain = await translation.ask("translation.create", text="Good morning", **FRENCH)
        answer = await translation.ask("translation.create", text="Good morning", source="en", target=named)
    assert answer.translations == plain.translations


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"target": "xx"}, "unknown_language", "target"),
        ({"target": "auto"}, "unknown_language", "target"),
        ({"target": "ja"}, "unknown_language", "target"),
        ({"source": "xx"}, "unknown_language", "source"),
        ({"source": "x" * 10_000}, "unknown_language", "source"),
        ({"target": None}, "invalid_field", "target"),
        ({"target": ""}, "invalid_field", "target"),
        ({"text": ""}, "empty_text", "text"),
        ({"text": []}, "empty_text", "text"),
        ({"text": ["Good morning", ""]}, "empty_text", "text[1]"),
        ({"text": "x" * 50_001}, "text_too_long", "text"),
        ({"text": ["Good morning", "x" * 50_001]}, "text_too_long", "text[1]"),
        ({"text": ["x" * 40_000] * 3}, "text_too_long", "text"),
        ({"text": ["x"] * 129}, "text_too_long", "text"),
    ],
)
async def test_what_can_not_be_translated_is_refused_with_one_error(
    live: Server, fields: dict[str, Any], code: str, param: str
) -> None:
    async with session(live, "translate") as translation:
        asked = {"text": "Good morning", **FRENCH, **fields}
        answer = await translation.ask("translation.create", "bad", **asked)
        assert answer.types == ["error"]
        assert (answer.last["id"], answer.code, answer.last["error"]["param"]) == ("bad", code, param)
        assert (await translation.ask("translation.create", text="Good morning", **FRENCH)).status == "completed"


async def test_an_unknown_language_is_told_which_there_are(live: Server) -> None:
    async with session(live, "translate") as translation:
        answer = await translation.ask("translation.create", text="Good morning", target="tlh")
    assert answer.last["error"]["message"].endswith("It knows: en, fr, de, es, it, pt.")


async def test_the_session_may_name_the_languages(live: Server) -> None:
    async with session(live, "translate") as translation:
        settings = (await translation.do("session.update", settings=FRENCH))["settings"]
        assert settings == FRENCH
        french = await translation.ask("translation.create", text="Good morning")
        german = await translation.ask("translation.create", text="Good morning", target="de")
        settings = (await translation.do("session.update", settings={"target": None}))["settings"]
        assert settings == {"source": "en", "target": None}
        nowhere = await translation.ask("translation.create", text="Good morning")
    assert french.last["translations"][0]["source"] == "en"
    assert french.translations != german.translations
    assert nowhere.code == "invalid_field"


async def test_a_settings_update_with_a_mistake_changes_nothing(live: Server) -> None:
    async with session(live, "translate") as translation:
        event = await translation.do("session.update", settings={"source": "en", "target": 5})
        assert (error_code(event), event["error"]["param"]) == ("invalid_field", "settings.target")
        now = (await translation.do("session.update", settings={}))["settings"]
    assert now == {"source": None, "target": None}


async def test_sixteen_requests_may_be_open_and_the_next_is_refused(live: Server) -> None:
    ids = [f"t{number}" for number in range(16)]
    async with session(live, "translate") as translation:
        for event_id in [*ids, "extra"]:
            await translation.send("translation.create", event_id, text="Good morning. " * 200, **FRENCH)
        answers = await translation.answers(*ids, "extra")
        again = await translation.ask("translation.create", "extra", text="Good morning", **FRENCH)
    assert answers["extra"].types == ["error"]
    assert answers["extra"].code == "too_many_open"
    assert {answers[event_id].status for event_id in ids} == {"completed"}
    assert len({answers[event_id].translations[0] for event_id in ids}) == 1
    assert again.status == "completed"


async def test_an_open_id_can_not_be_used_again_and_its_request_goes_on(live: Server) -> None:
    async with session(live, "translate") as translation:
        for _ in range(2):
            await translation.send("translation.create", "same", text="Good morning. " * 200, **FRENCH)
        answer = await translation.answers("same")
    refused = answer[None]  # type: ignore[index]  # a null id
    assert (refused.types, refused.code) == (["error"], "duplicate_id")
    assert answer["same"].status == "completed"
    assert answer["same"].types.count("response.done") == 1


async def test_a_translation_is_cancelled_alone(live: Server) -> None:
    long_text = "Where is the train station? Good morning. I would like a coffee, please. " * 400
    async with session(live, "translate") as translation:
        await translation.send("translation.create", "long", text=long_text[:50_000], **FRENCH)
        await translation.send("translation.create", "short", text="Good morning", **FRENCH)
        await translation.send("response.cancel", "stop", target="long")
        answers = await translation.answers("long", "short")
    assert answers["stop"].last["found"] is True
    assert answers["short"].status == "completed"
    done = answers["long"].last
    assert (done["status"], done["finish_reason"]) == ("cancelled", "cancelled")
    # cancelled while it was still prepared, nothing is known of its texts, not even how many there are
    assert "".join(each["text"] for each in done["translations"]) == answers["long"].deltas


async def test_many_languages_at_once_do_not_get_mixed_up(live: Server) -> None:
    targets = ["fr", "de", "es", "it", "pt"]
    async with session(live, "translate") as translation:
        alone = {
            target: (await translation.ask("translation.create", target, text="Thank you.", target=target)).translations
            for target in targets
        }
        for target in targets:
            await translation.send("translation.create", target, text="Thank you.", target=target)
        together = await translation.answers(*targets)
    assert {target: together[target].translations for target in targets} == alone
