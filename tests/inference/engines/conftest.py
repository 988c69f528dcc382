"""The small models, built once a session."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from inference.engines.decoder import DecoderEngine
from tests.inference.engines.small_decoders import CONFIGS, Driver, load_endless, make_engine, save_decoder

DecoderDirectory = Callable[[str], Path]


@pytest.fixture(scope="session")
def decoder_directory(tmp_path_factory: pytest.TempPathFactory) -> DecoderDirectory:
    """Return a function from an architecture's name to a directory with a model of it."""
    torch.set_num_threads(1)
    made: dict[str, Path] = {}

    def find(name: str) -> Path:
        if name not in made:
            made[name] = save_decoder(CONFIGS[name], tmp_path_factory.mktemp(name))
        return made[name]

    return find


@pytest.fixture(scope="session")
def plain_decoder(decoder_directory: DecoderDirectory) -> Callable[[str], torch.nn.Module]:
    """Return a function from an architecture's name to the model as transformers runs it."""
    made: dict[str, torch.nn.Module] = {}

    def find(name: str) -> torch.nn.Module:
        if name not in made:
            made[name] = AutoModelForCausalLM.from_pretrained(
                decoder_directory(name), attn_implementation="eager"
            ).eval()
        return made[name]

    return find


@pytest.fixture
def decoder_engine(decoder_directory: DecoderDirectory) -> DecoderEngine:
    """A packed engine with nothing in it, whose answers go on until their limit."""
    return make_engine(load_endless(decoder_directory("llama")))


@pytest.fixture
def driver(decoder_engine: DecoderEngine) -> Driver:
    """The engine's driver."""
    return Driver(decoder_engine)
