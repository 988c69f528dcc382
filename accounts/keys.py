"""The text of keys and tokens: make one, read one, digest one. Pure: no database, any thread.

`aister_<id>_<secret><checksum>` is a key, `aistertok_<id>_<secret><checksum>` a token. The id (10 characters, 59
bits) finds the row. The secret (32 characters, 190 bits) makes it unguessable, so that a plain SHA-256 is all that
need be kept. The checksum (6 characters, the CRC-32 of all before it) tells a typo or a guess without a look at the
database. Only letters, digits and `_` occur: a token rides in a WebSocket subprotocol, which takes no colon.
"""

import hashlib
import re
import secrets
import string
import zlib
from enum import StrEnum
from typing import NamedTuple

from accounts.errors import AccountError

ALPHABET = string.digits + string.ascii_letters
ID_CHARS = 10
SECRET_CHARS = 32
CHECKSUM_CHARS = 6
PATTERN = re.compile(
    rf"(aister|aistertok)_([0-9A-Za-z]{{{ID_CHARS}}})_[0-9A-Za-z]{{{SECRET_CHARS + CHECKSUM_CHARS}}}", re.ASCII
)
PUBLIC_ID = re.compile(rf"[0-9A-Za-z]{{{ID_CHARS}}}", re.ASCII)


class Kind(StrEnum):
    """What a text is, by its first letters."""

    KEY = "aister"
    TOKEN = "aistertok"


class Parsed(NamedTuple):
    """A well-formed key or token, and where to look for it. Says nothing about whether it is a real one."""

    kind: Kind
    public_id: str


def new_public_id() -> str:
    """Return a random id, the part of a key that may be shown."""
    return random_text(ID_CHARS)


def generate(kind: Kind, public_id: str) -> str:
    """Return the text of a new key or token with this id and a fresh secret."""
    body = f"{kind}_{public_id}_{random_text(SECRET_CHARS)}"
    return body + checksum(body)


def parse(text: str) -> Parsed:
    """Read a key or token; raise AccountError `malformed_key` when it is not whole."""
    match = PATTERN.fullmatch(text)
    if match is None or checksum(text[:-CHECKSUM_CHARS]) != text[-CHECKSUM_CHARS:]:
        raise AccountError("malformed_key")
    return Parsed(Kind(match[1]), match[2])


def digest(text: str) -> str:
    """Return what the database keeps of a key or token: its SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def mask(public_id: str) -> str:
    """Return how a key is shown to people: enough to tell it from others, nothing to use it with."""
    return f"{Kind.KEY}_{public_id}_…"


def checksum(body: str) -> str:
    """Return the CRC-32 of `body` in base 62, 6 characters."""
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(CHECKSUM_CHARS):
        number, remainder = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[remainder])
    return "".join(reversed(digits))


def random_text(length: int) -> str:
    """Return `length` random letters and digits, 5.95 bits each."""
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
