"""How far loading has come: real loads by transformers, and what CTranslate2 says."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from threading import Event

import pytest
from transformers.utils import logging

from inference import response
from inference.apps import BUNDLED
from inference.catalog import Catalog, ModelEntry
from inference.engines.loading import LoadingError
from inference.engines.selection import EngineOptions, Loader
from inference.manager import ModelManager
from inference.protocol import ChatSettings, ResponseDone, ResponseLoading, ServerEvent
from inference.response import Response
from inference.tasks.chat import ChatAnswer
from inference.tasks.conversation import Conversation
from inference.usage import Ledger
from tests.inference.engines.conftest import DecoderDirectory
from tests.inference.engines.small_translators import save_marian

PHRASEBOOK = BUNDLED / "aister-phrasebook"


def load(source: Path, report: Callable[[float], None], **options: object) -> None:
    task = options.pop("task", "chat")
    entry = ModelEntry(id="small", task=task, source=str(source))  # type: ignore[arg-type]
    loader = Loader(EngineOptions(threads=1, max_rows=2, cache_bytes=2**24, **options))  # type: ignore[arg-type]
    loader(entry, report).close()


def check_fractions(told: list[float]) -> None:
    """A fraction for each tensor, from none of them to all."""
    assert told == [number / (len(told) - 1) for number in range(len(told))]
    assert len(told) > 10


def test_a_chat_model_tells_which_part_of_its_weights_is_read(decoder_directory: DecoderDirectory) -> None:
    told: list[float] = []
    load(decoder_directory("llama"), told.append)
    check_fractions(told)


def test_a_translation_model_of_transformers_tells_it_and_one_of_ctranslate2_does_not(tmp_path: Path) -> None:
    told: list[float] = []
    marian = save_marian(tmp_path / "marian", targets=("fr",))
    load(marian, told.append, task="translation")
    check_fractions(told)
    for expected in (True, False):  # at first it is converted, by way of transformers
        told.clear()
        load(PHRASEBOOK, told.append, task="translation", converted=tmp_path / "converted")
        assert bool(told) is expected


def test_a_load_that_fails_leaves_other_progress_bars_as_they_were(decoder_directory: DecoderDirectory) -> None:
    def fail(_fraction: float) -> None:
        raise OSError("no")

    with pytest.raises(LoadingError):
        load(decoder_directory("llama"), fail)
    assert logging.set_tqdm_hook(None) is None


async def test_who_waits_hears_how_much_of_a_real_model_is_read(
    decoder_directory: DecoderDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(response, "LOADING_EVERY_S", 0.001)
    loader = Loader(EngineOptions(threads=1, max_rows=2, cache_bytes=2**24))
    is_half_told = Event()

    def load_slowly(entry: ModelEntry, report: Callable[[float], None]) -> object:
        """Load, but stop at the middle until the one who waits has heard of it."""

        def pause(fraction: float) -> None:
            report(fraction)
            assert fraction < 0.5 or is_half_told.wait(10)

        return loader(entry, pause)

    entry = ModelEntry(id="small", task="chat", source=str(decoder_directory("llama")))
    manager = ModelManager(Catalog([entry]), load_slowly, budget_bytes=2**30, queue_capacity=4)  # type: ignore[arg-type]
    events: list[ServerEvent] = []

    def hear(event: ServerEvent) -> None:
        events.append(event)
        if isinstance(event, ResponseLoading) and (event.percent or 0) >= 50:
            is_half_told.set()

    conversation = Conversation()
    answer = ChatAnswer(conversation, conversation.draft_with("hello"), ChatSettings(max_tokens=2))
    asked = Response("1", answer, model_id="small", key_id=1, transport="websocket", emit=hear)
    ledger = Ledger(lambda _records: None)
    async with asyncio.timeout(30):
        await asked.run(manager, ledger)
    percents = [event.percent for event in events if isinstance(event, ResponseLoading)]
    known = [percent for percent in percents if percent is not None]
    assert percents == [None] * (len(percents) - len(known)) + sorted(known)
    assert any(50 <= percent < 100 for percent in known)
    assert isinstance(events[-1], ResponseDone)
    assert events[-1].status == "completed"
    await asyncio.to_thread(manager.close)
    ledger.close()
