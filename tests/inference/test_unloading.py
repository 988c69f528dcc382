"""What is left of a model in the process's memory once it is unloaded: measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
STATM = Path("/proc/self/statm")

CYCLES = """
import asyncio, resource, sys
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM
from inference.catalog import Catalog, ModelEntry
from inference.engines.base import Finished
from inference.engines.generation import GenerationRequest
from inference.engines.selection import EngineOptions, Loader
from inference.manager import ModelManager
from tests.inference.engines.small_decoders import train_tokenizer

def megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

def save(directory, width):
    config = LlamaConfig(vocab_size=400, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=4,
                         num_attention_heads=8, num_key_value_heads=8, max_position_embeddings=2048)
    LlamaForCausalLM(config).save_pretrained(directory)
    train_tokenizer().save_pretrained(directory)

async def use(manager, model_id):
    async with manager.lease(model_id) as model:
        ended = asyncio.Event()
        request = GenerationRequest(key="k", prompt=list(range(10, 310)), max_tokens=20)
        model.scheduler.submit(request, lambda news: isinstance(news, Finished) and ended.set())
        await ended.wait()
    return megabytes()

async def main(home):
    save(home / "tiny", 64)
    save(home / "large", 768)
    entries = [ModelEntry(id=name, task="chat", source=str(home / name)) for name in ("tiny", "large")]
    options = EngineOptions(threads=1, max_rows=4, cache_bytes=2**28, dtype="float32")
    manager = ModelManager(Catalog(entries), Loader(options), budget_bytes=2**31, queue_capacity=8)
    before = await use(manager, "tiny")  # what is imported and made once is not what is measured
    for _ in range(2):
        loaded = await use(manager, "large")
        manager.drain(["large"])
        print(before, loaded, megabytes())
    manager.close()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(not STATM.exists(), reason="needs /proc")
def test_an_unloaded_model_leaves_the_process_as_it_was(tmp_path: Path) -> None:
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CYCLES, tmp_path],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert said.returncode == 0, said.stderr
    for line in said.stdout.splitlines():
        before, loaded, after = map(float, line.split())
        assert loaded > before + 100  # MB: the weights alone take 150
        assert after < 1.08 * before  # 1.04 seen; 1.1 to 1.12 when the heap keeps its free pages
