"""What a soak must not overlook: each verdict, on records that were made up to be good, and to be bad."""

import random

import pytest

from benchmarks.soak import verdict
from benchmarks.soak.record import Fault, Record, Request
from benchmarks.soak.sampling import Sample
from benchmarks.soak.verdict import Row

TOKENS = (12, 0, 4)


def sample(at_s: float, uss_mb: float = 500.0, descriptors: int = 60, threads: int = 20) -> Sample:
    """A moment of a server that does little."""
    return Sample(
        at_s=at_s,
        rss_mb=uss_mb,
        pss_mb=uss_mb + 50,
        uss_mb=uss_mb,
        threads=threads,
        descriptors=descriptors,
        cpu_percent=50.0,
        clients_cpu_percent=20.0,
        others_cpu_percent=0.0,
        database_mb=1.0,
        sessions=30,
        open_requests=5,
        requests_per_s=10.0,
        latencies={},
        expected={},
        unexpected={},
    )


def hour(rise_mb: float = 0.0, scatter_mb: float = 0.0, descriptors: int = 0, threads: int = 0) -> list[Sample]:
    """An hour that begins with a steep warm-up of five minutes, and then rises evenly, with some scatter."""
    rng = random.Random(1)
    samples = []
    for at_s in range(5, 3605, 5):
        part = at_s / 3600
        uss_mb = 500 + min(at_s, 300) + rise_mb * part + rng.uniform(-scatter_mb, scatter_mb)
        samples.append(sample(at_s, uss_mb, 60 + round(descriptors * part), 20 + round(threads * part)))
    return samples


def request(request_id: str | None, end: str = "completed", code: str | None = None) -> Request:
    """A request as its client saw it."""
    tokens = TOKENS if end in ("completed", "cancelled", "failed") else None
    return Request("chat", 0.0, request_id, 0.1, 0.2, end, code, tokens)  # type: ignore[arg-type]


def row(request_id: str, status: str = "completed", tokens: tuple[int, int, int] = TOKENS) -> Row:
    """A row of the ledger."""
    return Row(request_id, status, tokens)


# -- growth -----------------------------------------------------------------------------------------------------------


def test_memory_that_is_flat_after_the_warm_up_is_good() -> None:
    assert verdict.memory(hour(rise_mb=2, scatter_mb=5)).is_good


@pytest.mark.parametrize(("rise_mb", "scatter_mb"), [(30, 0), (0, 30), (14, 10)])
def test_memory_that_rises_or_jumps_about_is_bad(rise_mb: float, scatter_mb: float) -> None:
    assert not verdict.memory(hour(rise_mb, scatter_mb)).is_good


def test_memory_that_falls_does_not_make_up_for_jumps() -> None:
    assert not verdict.memory(hour(rise_mb=-50, scatter_mb=30)).is_good


def test_a_run_too_short_for_a_trend_says_so() -> None:
    assert "too short" in verdict.memory(hour(rise_mb=900)[:12]).says
    assert "too short" in verdict.counts([]).says


def test_descriptors_and_threads_that_pile_up_are_bad() -> None:
    assert verdict.counts(hour(descriptors=5, threads=1)).is_good
    assert not verdict.counts(hour(descriptors=60)).is_good
    assert not verdict.counts(hour(threads=10)).is_good


# -- the ledger -------------------------------------------------------------------------------------------------------


def test_a_ledger_with_every_request_once_is_good() -> None:
    requests = [request("a"), request("b", "gone"), request(None, "gone"), request("c", "refused", "rate_limited")]
    assert verdict.ledger(requests, [row("a"), row("b", "cancelled"), row("of the one without an id")]).is_good


@pytest.mark.parametrize(
    ("requests", "rows"),
    [
        ([request("a")], []),
        ([request("a", "gone")], []),
        ([request("a")], [row("a"), row("a")]),
        ([request("a"), request("a")], [row("a")]),
        ([request("a")], [row("a"), row("nobody's")]),
        ([request("a")], [row("a", "cancelled")]),
        ([request("a")], [row("a", tokens=(12, 0, 5))]),
        ([request("a", "refused", "overloaded")], [row("a")]),
        ([request("a", "failed", "usage_unavailable")], [row("a")]),
    ],
    ids=[
        "lost",
        "lost of one gone",
        "doubled",
        "answered twice",
        "stray",
        "other end",
        "other tokens",
        "refused",
        "told",
    ],
)
def test_a_ledger_that_says_something_else_than_clients_saw_is_bad(requests: list[Request], rows: list[Row]) -> None:
    assert not verdict.ledger(requests, rows).is_good


# -- errors, the log, the end -----------------------------------------------------------------------------------------


def test_errors_count_only_when_nobody_had_them_coming() -> None:
    expected = Fault(1.0, "guesses keys", "wrong_key", is_expected=True)
    assert verdict.faults([expected]).is_good
    judged = verdict.faults([expected, Fault(2.0, "chats", "internal_error", is_expected=False)])
    assert not judged.is_good
    assert judged.says == "1 expected errors, 1 others: chats: internal_error (1)."


def test_an_error_is_expected_of_whom_it_is_meant_for_and_while_the_server_stops() -> None:
    record = Record()
    record.fault("guesses keys", "wrong_key", ["wrong_key"])
    record.fault("chats", "wrong_key")
    record.fault("chats", "restarting")
    record.is_stopping = True
    record.fault("chats", "restarting")
    record.fault("chats", "internal_error")
    assert [fault.is_expected for fault in record.faults] == [True, False, False, True, False]


def test_an_error_in_an_answer_is_a_fault() -> None:
    record = Record()
    done = {"type": "response.done", "request_id": "req_1", "status": "failed", "error": {"code": "internal_error"}}
    usage = {"input_tokens": 1, "cached_tokens": 0, "output_tokens": 0}
    record.hear(record.begin("chat"), {**done, "usage": usage}, "chats")
    assert [(fault.who, fault.code, fault.is_expected) for fault in record.faults] == [
        ("chats", "internal_error", False)
    ]
    assert record.open_requests == 0


def test_a_request_that_is_refused_has_ended_without_a_row() -> None:
    record = Record()
    refused = record.begin("chat")
    error = {"type": "error", "id": "1", "request_id": "req_1", "error": {"code": "rate_limited"}}
    record.hear(refused, error, "hurries", ["rate_limited"])
    assert (refused.end, refused.code, refused.has_row, record.open_requests) == ("refused", "rate_limited", False, 0)
    assert verdict.faults(record.faults).is_good


def test_a_log_with_a_traceback_is_bad() -> None:
    assert verdict.log([]).is_good
    assert not verdict.log(["Traceback (most recent call last):"]).is_good


def test_a_stop_that_fails_or_must_be_forced_is_bad() -> None:
    assert verdict.stop(0, 3.0).is_good
    assert not verdict.stop(1, 3.0).is_good
    assert not verdict.stop(None, 40.0).is_good


def test_a_long_run_without_one_of_its_kinds_of_client_is_bad() -> None:
    made = {"chats": 5}
    assert verdict.visits(made, ["chats", "translates"], 10.0).is_good
    judged = verdict.visits(made, ["chats", "translates"], 3600.0)
    assert not judged.is_good
    assert judged.says == "5 visits. Nobody who: translates."
