"""What a newcomer tries first is answered right by the models that ship with Aister."""

import pytest

from tests.live import Server
from tests.server.client import http, session


async def test_the_guide_remembers_a_name_and_says_how_to_get_a_key(live: Server) -> None:
    async with session(live) as chat:
        await chat.ask("message.create", text="Hi! My name is Marta.")
        how = (await chat.ask("message.create", text="How do I get an API key?")).text
        name = (await chat.ask("message.create", text="What is my name?")).text
    assert "keys create" in how or "admin" in how
    assert "Marta" in name


@pytest.mark.parametrize(
    ("target", "words"),
    [("fr", "bonjour"), ("de", "guten morgen"), ("es", "buenos días"), ("it", "buongiorno"), ("pt", "bom dia")],
)
def test_the_phrasebook_says_good_morning(live: Server, target: str, words: str) -> None:
    with http(live) as client:
        done = client.post("/v1/translate", json={"text": "Good morning", "target": target}).json()
    (translation,) = done["translations"]
    assert translation["text"].lower().rstrip(".!") == words
    assert translation["source"] == "en"
