"""accounts.throttling: how often one may guess, and who is let in all the same."""

import logging
import threading
from typing import Any

import pytest
from django.conf import settings

from accounts import authentication, keys, throttling, tokens
from accounts.authentication import Caller, recognise
from accounts.errors import AccountError
from accounts.models import ApiKey
from accounts.throttling import FailedAttempts, PasswordAttempts, Windows
from tests.accounts.conftest import MakeKey

HERE, ELSEWHERE = "198.51.100.7", "198.51.100.8"
MALFORMED = "aister_abc"


class Clock:
    """Seconds that pass when a test says so."""

    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def attempts(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> FailedAttempts:
    """Two failures a minute for who asks with keys, twenty look-ups."""
    attempts = FailedAttempts(2, clock)
    monkeypatch.setattr(throttling, "keys", attempts)
    return attempts


def unknown(kind: keys.Kind = keys.Kind.KEY) -> str:
    return keys.generate(kind, keys.new_public_id())


def refusal(text: str | None, address: str = HERE) -> tuple[str, float | None]:
    """Return why this text does not do, and the seconds to wait."""
    headers = {} if text is None else {"authorization": f"Bearer {text}"}
    with pytest.raises(AccountError) as caught:
        recognise(headers, address)
    assert caught.value.message in (
        "",
        "The Authorization header is not 'Bearer <key>'. Send 'Authorization: Bearer <key>'.",
    )
    return caught.value.code, caught.value.retry_after_s


def accepted(text: str, address: str = HERE) -> ApiKey:
    caller = recognise({"authorization": f"Bearer {text}"}, address)
    return ApiKey.objects.get(pk=caller.key_id)


# -- windows ----------------------------------------------------------------------------------------------------------


def test_a_minute_begins_with_the_first_and_ends_for_all(clock: Clock) -> None:
    windows = Windows(clock)
    assert windows.look(HERE) == (0, 0)
    assert [windows.add(HERE), windows.add(HERE)] == [1, 2]
    clock.now_s += 59.5
    assert windows.add(HERE) == 3
    assert windows.look(HERE) == (3, 1)
    clock.now_s += 0.5
    assert windows.look(HERE) == (0, 0)
    assert windows.add(HERE) == 1
    assert windows.look(HERE) == (1, 60)


def test_addresses_count_apart(clock: Clock) -> None:
    windows = Windows(clock)
    windows.add(HERE)
    assert windows.add(ELSEWHERE) == 1


def test_what_is_taken_back_was_not_there(clock: Clock) -> None:
    windows = Windows(clock)
    windows.take_back(HERE)
    assert [windows.add(HERE), windows.add(HERE)] == [1, 2]
    windows.take_back(HERE)
    assert windows.add(HERE) == 2
    for _ in range(3):
        windows.take_back(HERE)
    assert windows.look(HERE)[0] == 0


def test_the_oldest_address_makes_room(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttling, "MAX_ADDRESSES", 3)
    windows = Windows(clock)
    for number in range(4):
        windows.add(str(number))
    assert [windows.look(str(number))[0] for number in range(4)] == [0, 1, 1, 1]


def test_addresses_whose_minute_is_over_are_not_kept(clock: Clock) -> None:
    windows = Windows(clock)
    for number in range(100):
        windows.add(str(number))
    clock.now_s += 60
    windows.look(HERE)
    assert not windows._windows


def test_threads_lose_no_count() -> None:
    windows = Windows()
    threads = [threading.Thread(target=lambda: [windows.add(HERE) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert windows.look(HERE)[0] == 4_000


# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "code"),
    [(MALFORMED, "malformed_key"), ("", "malformed_key"), (unknown(), "wrong_key")],
    ids=["malformed", "empty", "wrong"],
)
def test_an_address_is_told_so_often_what_is_wrong_and_then_to_wait(
    attempts: FailedAttempts, clock: Clock, text: str, code: str
) -> None:
    assert [refusal(text), refusal(text)] == [(code, None)] * 2
    clock.now_s += 18
    assert refusal(text) == ("too_many_attempts", 42)
    assert refusal(text, ELSEWHERE) == (code, None)
    clock.now_s += 42
    assert refusal(text) == (code, None)


@pytest.mark.django_db
def test_guesses_of_all_kinds_count_together(attempts: FailedAttempts) -> None:
    refusal(MALFORMED)
    refusal(unknown(keys.Kind.TOKEN))
    assert refusal(unknown())[0] == "too_many_attempts"


def test_a_wrong_checksum_costs_no_query_before_and_after(
    attempts: FailedAttempts, django_assert_num_queries: Any, db: None
) -> None:
    almost = unknown()[:-1] + "!"
    with django_assert_num_queries(0):
        codes = [refusal(almost)[0] for _ in range(4)]
    assert codes == ["malformed_key", "malformed_key", "too_many_attempts", "too_many_attempts"]


def test_a_valid_key_is_let_in_beside_someone_who_guesses(attempts: FailedAttempts, make_key: MakeKey) -> None:
    text, key = make_key()
    for guess in (MALFORMED, unknown()) * 9:
        refusal(guess)
    for _ in range(30):
        assert accepted(text) == key


def test_after_ten_times_as_many_look_ups_nothing_more_is_looked_up(
    attempts: FailedAttempts, clock: Clock, make_key: MakeKey, django_assert_num_queries: Any
) -> None:
    text, key = make_key()
    with django_assert_num_queries(20):
        for _ in range(20):
            refusal(unknown())
    clock.now_s += 30
    with django_assert_num_queries(0):
        for refused in (text, unknown(), MALFORMED, None):
            assert refusal(refused) == ("too_many_attempts", 30)
    assert accepted(text, ELSEWHERE) == key
    clock.now_s += 30
    assert accepted(text) == key


def test_what_is_no_guess_does_not_count(attempts: FailedAttempts, make_key: MakeKey) -> None:
    revoked, key = make_key()
    key.revoke()
    for _ in range(30):
        assert refusal(None) == ("missing_key", None)
        assert refusal(revoked) == ("revoked_key", None)
    assert refusal(MALFORMED) == ("malformed_key", None)


@pytest.mark.django_db
def test_a_database_that_fails_is_no_guess(attempts: FailedAttempts, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(authentication, "find", broken)
        for _ in range(3):
            with pytest.raises(RuntimeError):
                recognise({"authorization": f"Bearer {unknown()}"}, HERE)
    assert refusal(MALFORMED) == ("malformed_key", None)


@pytest.mark.parametrize("kind", list(keys.Kind))
def test_who_is_throttled_does_not_learn_which_ids_there_are(
    kind: keys.Kind, attempts: FailedAttempts, make_key: MakeKey, django_assert_num_queries: Any
) -> None:
    _, key = make_key()
    row = key if kind is keys.Kind.KEY else tokens.mint(Caller.from_rows(key, None))[1]
    for known_id in (row.public_id, keys.new_public_id()) * 3:
        with django_assert_num_queries(1):
            code, _ = refusal(keys.generate(kind, known_id))
    assert code == "too_many_attempts"


@pytest.mark.django_db
def test_the_first_refusal_is_logged_with_the_address_alone(
    attempts: FailedAttempts, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            refusal(unknown())
    assert caplog.messages == [
        f"Too many failed attempts from {HERE}; more are refused for 60 s. "
        "If that is a proxy of yours, set AISTER_TRUSTED_PROXIES."
    ]


def test_the_operator_says_how_many(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(settings.CONFIGURATION, "AISTER_ATTEMPTS", 1)
    monkeypatch.setattr(throttling, "keys", FailedAttempts(clock=clock))
    assert [refusal(MALFORMED)[0], refusal(MALFORMED)[0]] == ["malformed_key", "too_many_attempts"]


# -- passwords --------------------------------------------------------------------------------------------------------


def guess(passwords: PasswordAttempts, address: str = HERE, *, is_right: bool = False) -> str:
    """Try a password; return what came of it."""
    try:
        with passwords.watch(address):
            if not is_right:
                raise ValueError("wrong")
    except ValueError:
        return "wrong"
    except AccountError as error:
        return error.code
    return "right"


def test_passwords_are_refused_unseen_after_so_many_failures(clock: Clock) -> None:
    passwords = PasswordAttempts(2, clock)
    assert [guess(passwords), guess(passwords)] == ["wrong", "wrong"]
    assert guess(passwords, is_right=True) == "too_many_attempts"
    assert guess(passwords, ELSEWHERE, is_right=True) == "right"
    clock.now_s += 60
    assert guess(passwords, is_right=True) == "right"


def test_right_passwords_do_not_count(clock: Clock) -> None:
    passwords = PasswordAttempts(2, clock)
    assert [guess(passwords, is_right=True) for _ in range(5)] == ["right"] * 5
    assert [guess(passwords), guess(passwords), guess(passwords)] == ["wrong", "wrong", "too_many_attempts"]


def test_passwords_tried_at_the_same_time_count_before_they_are_looked_at(clock: Clock) -> None:
    passwords = PasswordAttempts(2, clock)
    with passwords.watch(HERE), passwords.watch(HERE):
        assert guess(passwords, is_right=True) == "too_many_attempts"
