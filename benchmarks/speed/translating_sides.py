"""Servers that translate for many clients: ours, and LibreTranslate's. Plain HTTP for both, the same client, the same
int8 file, sentences of so many tokens and outputs as long, greedy.
"""

import http.client
import json
import os
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import sentencepiece

from benchmarks.server import ROOT
from benchmarks.speed import marian, peers, serving
from benchmarks.speed.clients import HANGS_S, RefusedError
from benchmarks.speed.idle_sides import free_port, wait_for_port
from benchmarks.speed.scale import Scale
from benchmarks.speed.worker import Figures, Run

ROUNDS = 4
"""Sentences of each client in a run, one at a time; all clients begin each round together."""
CUT = ("-m", "benchmarks.speed.cut", "serve")


class Service(NamedTuple):
    """A server that translates: where it is asked, how, and what it is asked."""

    address: str
    path: str
    headers: Mapping[str, str]
    question: Callable[[str], dict[str, str]]
    answer: Callable[[Any], str]


def sentences(number: int, count: int, tokens: int) -> list[str]:
    """Return sentences of run `number`, of so many tokens for the model, its end token among them."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(marian.original() / "source.spm"))
    named = (pieces.id_to_piece(token) for token in range(pieces.get_piece_size()))
    words = [piece[1:] for piece in named if piece.startswith("▁") and piece[1:].isalpha() and piece.islower()]
    rng = random.Random(number)
    made: list[str] = []
    while len(made) < count:
        text = " ".join(rng.choices(words, k=tokens - 1))
        if len(pieces.encode(text)) == tokens - 1:
            made.append(text)
    return made


def translate(connection: http.client.HTTPConnection, service: Service, text: str) -> None:
    """Have a sentence translated; raise RefusedError when it is not."""
    body = json.dumps(service.question(text))
    connection.request("POST", service.path, body, {**service.headers, "Content-Type": "application/json"})
    response = connection.getresponse()
    told = response.read()
    if response.status != 200 or not service.answer(json.loads(told)):
        raise RefusedError(f"{response.status}: {told[:500]!r}")


def measured(service: Service, scale: Scale, number: int, clients: int) -> Figures:
    """Let all clients translate, a sentence each in every round; return sentences a second."""
    asked = sentences(number, clients * ROUNDS, scale.sentence_tokens)
    took_s = 0.0
    with ThreadPoolExecutor(clients) as pool, ExitStack() as stack:
        opened = [
            stack.enter_context(closing(http.client.HTTPConnection(service.address, timeout=HANGS_S)))
            for _ in range(clients)
        ]
        for connection in opened:
            connection.connect()
        for turn in range(ROUNDS):
            texts, began_s = asked[turn * clients : (turn + 1) * clients], time.perf_counter()
            list(pool.map(translate, opened, [service] * clients, texts))
            took_s += time.perf_counter() - began_s
    return {"sentences_per_s": len(asked) / took_s}


@contextmanager
def our_service(threads: int) -> Iterator[Service]:
    """Our server with the model, which it converts for CTranslate2 as it starts."""
    settings = {"AISTER_TRANSLATION_MODEL": str(marian.original()), "AISTER_TRANSLATION_ENGINE": "ctranslate2"}
    with serving.started(None, threads, CUT, **settings) as server:
        yield Service(
            urlsplit(server.url).netloc,
            "/v1/translate",
            {"Authorization": f"Bearer {server.key}"},
            lambda text: {"text": text, "source": marian.SOURCE, "target": marian.TARGET},
            lambda told: told["translations"][0]["text"],
        )


def package(directory: Path) -> None:
    """Write the model as Argos Translate, which LibreTranslate is built on, has its packages, both ways round: of fewer
    than two packages it would look for more, in the network.
    """
    converted, original = marian.converted(), marian.original()
    for source, target in ((marian.SOURCE, marian.TARGET), (marian.TARGET, marian.SOURCE)):
        place = directory / f"{source}_{target}"
        (place / "model").mkdir(parents=True)
        (place / "model" / "model.bin").symlink_to(converted / "model.bin")
        shutil.copy(original / "source.spm", place / "sentencepiece.model")
        facts = {"package_version": "1.0", "argos_version": "1.9.6", "type": "translate"}
        ends = {"from_code": source, "from_name": source, "to_code": target, "to_name": target}
        (place / "metadata.json").write_text(json.dumps({**facts, **ends}))
        names = marian.names()[:-1]  # the converted model has no padding
        (place / "model" / "shared_vocabulary.json").write_text(json.dumps(names))
        config = json.loads((converted / "config.json").read_text())
        named = {key: names[int(config[key])] for key in ("bos_token", "eos_token", "unk_token", "decoder_start_token")}
        (place / "model" / "config.json").write_text(json.dumps({**config, **named, "add_source_eos": True}))


@contextmanager
def libretranslate(scale: Scale, **settings: str) -> Iterator[Service]:
    """LibreTranslate's server with the model, which translates greedily as ours does."""
    python, port = peers.installed(ROOT / "benchmarks" / "libretranslate.txt"), free_port()
    with tempfile.TemporaryDirectory(prefix="libretranslate-") as home:
        package(Path(home, "packages"))
        kept = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": home}
        environment = {
            **kept,
            "ARGOS_PACKAGES_DIR": str(Path(home, "packages")),
            "ARGOS_BEAM_SIZE": "1",
            "AISTER_BENCH_TOKENS": str(scale.sentence_tokens),
            **settings,
        }
        command = [str(python), str(Path(__file__).with_name("offline_libretranslate.py"))]
        log = Path(home, "log")
        with log.open("wb") as output:
            address = ["--host", "127.0.0.1", "--port", str(port)]
            process = subprocess.Popen(
                [*command, *address], cwd=home, env=environment, stdout=output, stderr=subprocess.STDOUT
            )
        try:
            await_port(port, log)
            yield Service(
                f"127.0.0.1:{port}",
                "/translate",
                {},
                lambda text: {"q": text, "source": marian.SOURCE, "target": marian.TARGET},
                lambda told: told["translatedText"],
            )
        finally:
            process.terminate()
            process.wait()


def await_port(port: int, log: Path) -> None:
    """Return when LibreTranslate listens; raise RuntimeError, with its log, when it does not."""
    try:
        wait_for_port(port)
    except OSError as error:
        raise RuntimeError(f"LibreTranslate did not start:\n{log.read_text()}") from error


@contextmanager
def run_of(service: AbstractContextManager[Service], scale: Scale, clients: int) -> Iterator[Run]:
    """Return the runs of a service with so many clients."""
    with service as opened:
        yield lambda number: measured(opened, scale, number, clients)


def ours(scale: Scale, threads: int) -> AbstractContextManager[Run]:
    """Our server, with one thread less than it might have: so it is by default."""
    return run_of(our_service(max(1, threads - 1)), scale, scale.streams)


def one_thread(scale: Scale, _threads: int) -> AbstractContextManager[Run]:
    """LibreTranslate with one thread in CTranslate2."""
    return run_of(libretranslate(scale, ARGOS_INTRA_THREADS="1"), scale, scale.streams)


def two_threads(scale: Scale, _threads: int) -> AbstractContextManager[Run]:
    """LibreTranslate with two threads in CTranslate2."""
    return run_of(libretranslate(scale, ARGOS_INTRA_THREADS="2"), scale, scale.streams)


def defaults(scale: Scale, _threads: int) -> AbstractContextManager[Run]:
    """LibreTranslate with as many threads as it takes by itself."""
    return run_of(libretranslate(scale), scale, scale.streams)
