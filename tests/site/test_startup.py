"""What a server loads once it listens, in which order."""

import gc
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from aister_site import startup
from inference import catalog
from inference.apps import BUNDLED
from inference.engines.selection import EngineOptions, Loader
from inference.errors import AisterError
from inference.manager import ModelManager, State
from inference.tasks import detection
from tests.live import ROOT

LINKED = """
import sys
import threading
from pathlib import Path
from aister_site import linking
linking.link_torch()
[thread.join() for thread in threading.enumerate() if thread.name == "aister-link"]
assert "torch" not in sys.modules
assert "libtorch_cpu.so" in Path("/proc/self/maps").read_text()
import torch
assert torch.ones(2).sum() == 2
"""


@pytest.fixture
def manager() -> Iterator[ModelManager]:
    """Return a manager of the bundled models, none of them loaded."""
    models = catalog.build(BUNDLED, {})
    options = EngineOptions(threads=1, max_rows=4, cache_bytes=1 << 24)
    manager = ModelManager(models, Loader(options), budget_bytes=1 << 30, queue_capacity=4)
    yield manager
    manager.close()
    gc.unfreeze()


def test_models_are_ready_before_languages_can_be_told_apart(
    manager: ModelManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(detection, "_detectors", {})
    loaded: list[str] = []
    faults: list[str] = []
    is_over = threading.Event()
    model_ids = [entry.id for entry in manager.catalog if entry.is_default]
    with detection._lock:  # keeps the detector from being built
        startup.warm(manager, lambda ids: (loaded.extend(ids), is_over.set()), faults.append)
        for future in manager.preload(model_ids):
            future.result(60)
        assert {manager.state(model_id) for model_id in model_ids} == {State.RESIDENT}
        assert not is_over.is_set()
    assert is_over.wait(60)
    assert (loaded, faults) == (model_ids, [])
    assert len(detection._detectors) == 1


def test_garbage_is_collected_again_when_the_models_are_loaded_or_can_not_be(manager: ModelManager) -> None:
    model_ids = [entry.id for entry in manager.catalog]
    assert [model.entry.id for model in startup.load_models(manager, model_ids)] == model_ids
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    manager.close()
    with pytest.raises(AisterError, match="restart"):
        startup.load_models(manager, model_ids)
    assert gc.isenabled()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere torch gets no head start")
def test_torch_finds_its_libraries_loaded() -> None:
    subprocess.run([sys.executable, "-c", LINKED], cwd=ROOT, check=True, timeout=120)
