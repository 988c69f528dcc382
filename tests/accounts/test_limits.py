"""accounts.limits: requests per minute of each key."""

from dataclasses import replace

import pytest

from accounts.authentication import Caller
from accounts.errors import AccountError
from accounts.limits import RequestLimiter

CALLER = Caller(
    key_id=1,
    public_id="abcDEF0123",
    name="Test",
    tasks=None,
    models=None,
    origins=None,
    requests_per_minute=2,
    max_sessions=None,
    token_id=None,
    expires_at=None,
)


def test_a_key_may_make_its_requests_and_then_no_more() -> None:
    limiter = RequestLimiter()
    first, second = limiter.spend(CALLER), limiter.spend(CALLER)
    assert first is not None
    assert second is not None
    assert (first.limit, first.remaining, second.remaining) == (2, 1, 0)
    with pytest.raises(AccountError) as caught:
        limiter.spend(CALLER)
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after_s is not None
    assert 1 <= caught.value.retry_after_s <= 60


def test_the_next_minute_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = RequestLimiter()
    clock = [1_000_000.0]
    monkeypatch.setattr("time.time", lambda: clock[0])
    limiter.spend(CALLER)
    limiter.spend(CALLER)
    clock[0] += 45
    with pytest.raises(AccountError) as caught:
        limiter.spend(CALLER)
    assert caught.value.retry_after_s == 15
    clock[0] += 15
    allowance = limiter.spend(CALLER)
    assert allowance == (2, 1, 60)


def test_tokens_count_with_their_key_and_keys_apart() -> None:
    limiter = RequestLimiter()
    limiter.spend(CALLER)
    limiter.spend(replace(CALLER, token_id=5))
    with pytest.raises(AccountError):
        limiter.spend(replace(CALLER, token_id=6))
    limiter.spend(replace(CALLER, key_id=2))


def test_looking_spends_nothing() -> None:
    limiter = RequestLimiter()
    for _ in range(3):
        allowance = limiter.look(CALLER)
        assert allowance is not None
        assert (allowance.limit, allowance.remaining, allowance.reset_s) == (2, 2, 0)


def test_a_key_without_a_limit_is_not_counted() -> None:
    limiter = RequestLimiter()
    unlimited = replace(CALLER, requests_per_minute=None)
    assert limiter.spend(unlimited) is None
    assert limiter.look(unlimited) is None
