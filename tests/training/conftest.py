"""The phrasebook's corpus, read and filled once for all who look at it: five seconds."""

import pytest

from training.phrases_corpus import Phrases, read_corpus


@pytest.fixture(scope="session")
def corpus() -> Phrases:
    return read_corpus()
