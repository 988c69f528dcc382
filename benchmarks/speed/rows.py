"""The rows of RESULTS.md, in one table: what is measured, against what, and how much better it must be."""

from typing import Literal, NamedTuple


class Figure(NamedTuple):
    """A figure of a run: its name, how people call it, its unit, and whether more of it is better."""

    name: str
    title: str
    unit: str
    better: Literal["more", "less"]
    scale: float = 1.0  # what it is multiplied by for people


TOKENS = Figure("tokens_per_s", "tokens a second", "tokens/s", "more")
FIRST = Figure("first_token_s", "to the first token", "ms", "less", 1000)
FIRST_P95 = Figure("first_token_p95_s", "to the first token, p95", "ms", "less", 1000)
LAG = Figure("lag_p99_ms", "lag of the event loop, p99", "ms", "less")
MEMORY = Figure("kb_a_socket", "memory a socket", "KB", "less")
READY = Figure("ready_s", "from the command to /readyz", "s", "less")
SENTENCES = Figure("sentences_per_s", "sentences a second", "sentences/s", "more")


class Row(NamedTuple):
    """One row. Sides are `module:function` of this package.

    With `at_least`, the ratio says how many times better ours is; with `at_most`, how many times the peer's figure ours
    is; without a peer, `at_most` holds for the figure itself. Of several peers the best one counts.
    """

    name: str
    measured: str
    against: str
    figure: Figure
    ours: str
    peers: tuple[str, ...]
    at_least: float | None = None
    at_most: float | None = None
    streams: int | None = None


ENGINE, PEER = "engine_sides:chat", "transformers_sides"
LIBRETRANSLATE = tuple(f"translating_sides:{side}" for side in ("one_thread", "two_threads", "defaults"))
ROWS = {
    row.name: row
    for row in (
        Row(
            "generate",
            "chat streams at once",
            "`generate`, one request at a time",
            TOKENS,
            ENGINE,
            (f"{PEER}:one_at_a_time",),
            at_least=4,
        ),
        Row(
            "continuous",
            "chat streams at once",
            "transformers' `ContinuousBatchingManager`",
            TOKENS,
            ENGINE,
            (f"{PEER}:continuous_batching",),
            at_least=2,
        ),
        Row(
            "static",
            "chat streams at once",
            "one static batch that knows all requests beforehand",
            TOKENS,
            ENGINE,
            (f"{PEER}:static_batch",),
            at_least=0.85,
        ),
        Row(
            "turn",
            "turn 5 of a long conversation",
            "the same without the kept cache",
            FIRST,
            "engine_sides:warm_turn",
            ("engine_sides:cold_turn",),
            at_least=8,
        ),
        Row(
            "server",
            "sockets streaming through the whole server",
            "the engine alone, same requests",
            TOKENS,
            "server_sides:sockets",
            ("engine_sides:chat_of_texts",),
            at_least=0.9,
        ),
        Row("lag", "event loop while all streams decode", "-", LAG, "server_sides:loop_lag", (), at_most=20),
        Row(
            "warm",
            "a request to a warm server",
            "a fresh process for each request",
            FIRST,
            "startup_sides:warm",
            ("startup_sides:fresh",),
            at_least=20,
        ),
        Row(
            "warm-bundled",
            "a request to a warm server, bundled model",
            "a fresh process for each request",
            FIRST,
            "startup_sides:warm_bundled",
            ("startup_sides:fresh_bundled",),
            at_least=100,
        ),
        Row(
            "one",
            "one chat stream",
            "bf16 `generate`",
            TOKENS,
            ENGINE,
            (f"{PEER}:one_at_a_time",),
            at_least=1,
            streams=1,
        ),
        Row(
            "one-int8",
            "one chat stream, int8 weights",
            "bf16 `generate`, and Aister in bf16",
            TOKENS,
            "engine_sides:chat_int8",
            (f"{PEER}:one_at_a_time", ENGINE),
            at_least=1,
            streams=1,
        ),
        Row(
            "idle",
            "idle sockets",
            "a bare Daphne that echoes",
            MEMORY,
            "idle_sides:ours",
            ("idle_sides:echo",),
            at_most=1.5,
        ),
        Row(
            "fairness",
            "a key's requests while another key has hundreds waiting",
            "the same key alone",
            FIRST_P95,
            "server_sides:other_key_crowded",
            ("server_sides:other_key_unloaded",),
            at_most=2,
        ),
        Row(
            "translate-batch",
            "sentences translated, a request each",
            "CTranslate2's own batch call, same int8 file",
            SENTENCES,
            "translation_sides:engine",
            ("translation_sides:batch_call",),
            at_least=0.8,
        ),
        Row(
            "translate",
            "32 clients, a sentence each, through the whole server",
            "LibreTranslate 1.9.6, same int8 file",
            SENTENCES,
            "translating_sides:ours",
            LIBRETRANSLATE,
            at_least=3,
            streams=32,
        ),
        Row(
            "translate-one",
            "one client, a sentence at a time",
            "LibreTranslate 1.9.6, same int8 file",
            SENTENCES,
            "translating_sides:ours",
            LIBRETRANSLATE,
            at_least=0.9,
            streams=1,
        ),
        Row("start", "a server started again, until it is ready", "-", READY, "startup_sides:again", (), at_most=4),
    )
}


class Curve(NamedTuple):
    """A line of the charts: a side at one number of streams after the other."""

    name: str
    side: str


CURVES = (
    Curve("Aister", ENGINE),
    Curve("transformers, one static batch", f"{PEER}:static_batch"),
    Curve("transformers, continuous batching", f"{PEER}:continuous_batching"),
    Curve("transformers, one at a time", f"{PEER}:one_at_a_time"),
)
