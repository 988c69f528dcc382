"""accounts.keys: the format of keys and tokens."""

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import keys
from accounts.errors import AccountError
from accounts.keys import Kind


@pytest.mark.parametrize(("kind", "prefix"), [(Kind.KEY, "aister_"), (Kind.TOKEN, "aistertok_")])
def test_a_text_has_prefix_id_secret_and_checksum(kind: Kind, prefix: str) -> None:
    text = keys.generate(kind, "abcDEF0123")
    assert re.fullmatch(rf"{prefix}abcDEF0123_[0-9A-Za-z]{{38}}", text)


def test_what_was_generated_parses() -> None:
    public_id = keys.new_public_id()
    assert keys.parse(keys.generate(Kind.TOKEN, public_id)) == keys.Parsed(Kind.TOKEN, public_id)


def test_a_secret_has_190_bits_and_is_never_the_same() -> None:
    assert len(keys.ALPHABET) ** keys.SECRET_CHARS >= 2**190
    assert len({keys.generate(Kind.KEY, "abcDEF0123") for _ in range(100)}) == 100


def test_the_checksum_is_the_crc_32_in_base_62() -> None:
    assert keys.checksum("123456789") == "3Jzrme"  # CRC-32 of this is 0xCBF43926


def test_any_changed_character_is_a_malformed_key() -> None:
    text = keys.generate(Kind.KEY, "abcDEF0123")
    for place in range(len(text)):
        typo = text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :]
        with pytest.raises(AccountError) as caught:
            keys.parse(typo)
        assert caught.value.code == "malformed_key"


@pytest.mark.parametrize(
    "change", [lambda t: t[:-1], lambda t: t + "a", lambda t: " " + t, lambda t: t + "\n", lambda t: t.upper()]
)
def test_a_key_copied_badly_is_malformed(change) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(AccountError) as caught:
        keys.parse(change(keys.generate(Kind.KEY, "abcDEF0123")))
    assert caught.value.code == "malformed_key"


@given(st.text())
def test_rubbish_is_malformed_and_never_repeated(text: str) -> None:
    with pytest.raises(AccountError) as caught:
        keys.parse(text)
    assert (caught.value.code, caught.value.message, str(caught.value)) == ("malformed_key", "", "malformed_key")


def test_a_key_is_not_a_token_of_the_same_secret() -> None:
    key = keys.generate(Kind.KEY, "abcDEF0123")
    with pytest.raises(AccountError):
        keys.parse(key.replace("aister_", "aistertok_"))


def test_a_text_fits_into_a_subprotocol() -> None:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", keys.generate(Kind.TOKEN, keys.new_public_id()))


def test_the_digest_is_sha_256() -> None:
    assert keys.digest("aister") == hashlib.sha256(b"aister").hexdigest()


def test_the_mask_shows_the_id_only() -> None:
    assert keys.mask("abcDEF0123") == "aister_abcDEF0123_…"
