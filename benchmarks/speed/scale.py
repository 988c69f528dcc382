"""How much is measured: the shapes of the models and the sizes of the loads. Plain data."""

import msgspec


class Scale(msgspec.Struct, frozen=True):
    """One set of sizes. `shape` names a model of `shapes.LLAMAS`."""

    name: str
    shape: str = "135m"
    streams: int = 16
    prompt_tokens: int = 400
    new_tokens: int = 128
    history_tokens: int = 1500
    turn_tokens: int = 30
    idle_sockets: int = 2000
    waiting_requests: int = 500
    asked_under_load: int = 40
    curve_streams: tuple[int, ...] = (1, 2, 4, 8, 16)
    sentences: int = 32
    sentence_tokens: int = 24


SCALES = {
    scale.name: scale
    for scale in (
        Scale("full"),
        Scale(
            "small",
            streams=4,
            prompt_tokens=64,
            new_tokens=8,
            history_tokens=200,
            turn_tokens=10,
            idle_sockets=100,
            waiting_requests=40,
            asked_under_load=6,
            curve_streams=(1, 2),
            sentences=4,
        ),
        Scale(
            "tiny",
            shape="tiny",
            streams=2,
            prompt_tokens=16,
            new_tokens=4,
            history_tokens=60,
            turn_tokens=4,
            idle_sockets=40,
            waiting_requests=20,
            asked_under_load=4,
            curve_streams=(1, 2),
            sentences=2,
        ),
    )
}
"""`full` is what issues speak of and what RESULTS.md shows; `small` tries a row out; `tiny` is for the tests."""
