"""Models named by hub id: downloaded once into AISTER_HOME, then served without the hub."""

import subprocess
from pathlib import Path

import httpx

from tests.hub import hub
from tests.live import LOADED, Server, spawn, start

MODELS = {"AISTER_CHAT_MODEL": "org/aister-guide", "AISTER_TRANSLATION_MODEL": "org/aister-phrasebook"}
QUESTION = {"messages": [{"role": "user", "text": "How do I get an API key?"}]}


def check_that_both_answer(server: Server) -> None:
    with httpx.Client(base_url=server.url, headers=server.headers, timeout=60) as client:
        answer = client.post("/v1/chat", json=QUESTION).json()
        assert (answer["status"], answer["message"]["role"]) == ("completed", "assistant")
        translated = client.post("/v1/translate", json={"text": "Good morning", "target": "fr"}).json()
        assert [each["text"] for each in translated["translations"]] == ["Bonjour"]
        defaults = {model["id"] for model in client.get("/v1/models").json()["models"] if model["default"]}
        assert defaults == set(MODELS.values())
        assert len(client.get("/v1/languages").json()["languages"]) == 6


def test_a_hub_id_is_downloaded_once_and_then_needs_no_hub(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with hub() as endpoint, start(home, **MODELS, HF_ENDPOINT=endpoint) as server:
        server.wait_for(LOADED)
        check_that_both_answer(server)
    assert list((home / "models").glob("models--org--*"))
    with start(home, **MODELS, HF_ENDPOINT=endpoint, HF_HUB_OFFLINE="1") as server:
        server.wait_for(LOADED)
        check_that_both_answer(server)


def test_a_model_that_the_hub_lacks_ends_the_start_with_one_line_that_names_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with hub() as endpoint, log.open("wb") as output:
        process = spawn(tmp_path / "home", output, AISTER_CHAT_MODEL="org/no-such-model", HF_ENDPOINT=endpoint)
        try:
            assert process.wait(60) == 1
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert log.read_text().splitlines()[-1].startswith("aister: Model org/no-such-model can't be used.")
