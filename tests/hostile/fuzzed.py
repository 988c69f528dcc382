"""What no client of ours would send, as Hypothesis strategies: events that are nearly right, frames that are nearly
frames, heads and bodies of HTTP requests. Every text of it holds `MARK`, which must never turn up in a log.
"""

import json
import random
import re
import struct

from hypothesis import strategies as st

Strategy = st.SearchStrategy

MARK = "zq7xmark"
GOOD_IDS = ["1", "2", "a", "x" * 64]


def quoted(text: str) -> str:
    """Return a text as JSON, with nothing but ASCII in it."""
    return json.dumps(text)


DEEP = [opened * depth + closed * depth for opened, closed in ("[]", ('{"a":', "}")) for depth in (3, 400, 3_000)]
ODD_VALUES = [
    *("null", "true", "false", "0", "-0", "1", "-1", "0.5", "1e999", "-1e999", "NaN", "Infinity", "1e-400", "9" * 400),
    *("2147483648", "18446744073709551616", "1.0", "tru", "+1", "01", ".5", "0x1", "'a'", "\x00", '"\x01"', '"\\x"'),
    *('""', '" "', '"\\ud800"', '"\\udfff\\ud800"', '"\\u0000"', '"\\ud83d\\ude00"', "[]", "{}", "[1,]", '{"a":1,}'),
    *('"auto"', '"en"', '"fr"', '"user"', '"assistant"', '"system"', "[[]]", "[null]", "", ",", ":", "{", "]", '"'),
    *DEEP,
]


def is_json(value: str) -> bool:
    """Say whether Python reads it as JSON, NaN and all."""
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


TEXTS = st.one_of(st.just("Hello!"), st.text(max_size=10)).map(lambda text: quoted(MARK + text))
JSON_VALUES = [value for value in ODD_VALUES if is_json(value)]
VALUES = st.one_of(
    *[st.sampled_from(JSON_VALUES)] * 4,
    st.sampled_from(ODD_VALUES),
    *(TEXTS, st.integers().map(str), st.floats(allow_nan=False).map(repr), st.just("[" + quoted(MARK) + "]")),
)
IDS = st.one_of(
    *[st.sampled_from([quoted(text) for text in GOOD_IDS])] * 12,
    st.sampled_from(['""', '"a b"', quoted("x" * 65), '"\\u00e9"', '"1\\n"', '"\\ud800"', '"a\\u0000"', "1", "null"]),
    VALUES,
)
KEYS = st.one_of(st.sampled_from(['"\\u0074ype"', '"id"', '"type"', '"text"', '""', '"\\ud800"', "a"]), TEXTS)
SETTING_NAMES = ["system", "temperature", "top_p", "top_k", "repetition_penalty", "max_tokens", "seed", "stop"]
SETTINGS = st.lists(
    st.tuples(
        st.sampled_from([*SETTING_NAMES, "source", "target", MARK]),
        st.one_of(st.sampled_from(["null", "1", "4", "0.7", '["e"]', "[]"]), VALUES),
    ),
    max_size=3,
).map(lambda pairs: "{" + ",".join(f'"{name}":{value}' for name, value in pairs) + "}")
BRIEF = SETTINGS.map(lambda settings: f'{settings[:-1]}{"," if len(settings) > 2 else ""}"max_tokens":4}}')
MESSAGES = st.lists(
    st.builds('{{"role":{},"text":{}}}'.format, st.sampled_from(['"user"', '"assistant"', '"system"', "1"]), TEXTS),
    max_size=3,
).map(lambda messages: "[" + ",".join(messages) + "]")

# Every event that a client has, with its fields; a test holds this to inference/protocol/.
FIELDS: dict[str, dict[str, Strategy[str]]] = {
    "message.create": {"text": TEXTS},
    "message.edit": {"message_id": TEXTS, "text": TEXTS},
    "response.regenerate": {},
    "response.cancel": {"target": st.one_of(st.sampled_from([quoted(text) for text in GOOD_IDS]), TEXTS)},
    "session.update": {"settings": SETTINGS},
    "conversation.get": {},
    "conversation.load": {"messages": MESSAGES},
    "translation.create": {
        "text": st.one_of(TEXTS, st.lists(TEXTS, max_size=3).map(lambda texts: "[" + ",".join(texts) + "]")),
        "source": st.sampled_from(['"en"', '"auto"', "null", '"xx"']),
        "target": st.sampled_from(['"fr"', '"en"', "null", '"xx"']),
    },
}
SOUND = [
    json.dumps({"type": kind, "id": event_id, **fields}).encode()
    for kind, event_id, fields in [
        ("message.create", "1", {"text": f"{MARK} Hello!"}),
        ("message.edit", "2", {"message_id": MARK, "text": MARK}),
        ("response.regenerate", "a", {}),
        ("response.cancel", "2", {"target": "1"}),
        ("session.update", "1", {"settings": {"max_tokens": 4, "temperature": 0.7, "seed": 1}}),
        ("session.update", "a", {"settings": {"source": "en", "target": "fr"}}),
        ("conversation.get", "2", {}),
        ("conversation.load", "a", {"messages": [{"role": "user", "text": MARK}]}),
        ("translation.create", "1", {"text": [MARK, "Good morning"], "source": "en", "target": "fr"}),
    ]
]
BODIES: dict[str, dict[str, Strategy[str]]] = {
    "/v1/chat": {"messages": MESSAGES, "settings": BRIEF, "stream": st.sampled_from(["true", "false"])},
    "/v1/translate": FIELDS["translation.create"],
    "/v1/tokens": {"tasks": VALUES, "models": VALUES, "origin": VALUES, "expires_in_s": st.integers().map(str)},
}


@st.composite
def objects(draw: st.DrawFn, fields: dict[str, Strategy[str]], pairs: list[tuple[str, str]]) -> str:
    """A JSON object with these fields, and now and then something wrong with it."""
    pairs = [*pairs, *((f'"{name}"', draw(value)) for name, value in fields.items())]
    faults = ["order", "value", "key", "drop", "twice", "more"]
    for fault in draw(st.lists(st.sampled_from(faults), max_size=draw(st.sampled_from([0, 0, 2])))):
        place = draw(st.integers(0, max(0, len(pairs) - 1)))
        if fault == "more" or not pairs:
            pairs.append((draw(KEYS), draw(VALUES)))
        elif fault == "value":
            pairs[place] = (pairs[place][0], draw(VALUES))
        elif fault == "key":
            pairs[place] = (draw(KEYS), pairs[place][1])
        elif fault == "drop":
            del pairs[place]
        elif fault == "twice":
            pairs.append((pairs[place][0], draw(VALUES)))
        else:
            pairs = pairs[place:] + pairs[:place]
    return "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"


@st.composite
def events(draw: st.DrawFn) -> bytes:
    """An event, nearly right, or wrong here and there, or bytes that are none."""
    kind = draw(st.sampled_from([*FIELDS, *FIELDS, MARK]))
    pairs = [('"type"', quoted(kind)), ('"id"', draw(IDS))]
    data = draw(objects(FIELDS.get(kind, {}), pairs)).encode()
    match draw(st.integers(0, 39)):
        case 0:
            data = data[: draw(st.integers(0, len(data)))]
        case 1:
            data = draw(st.sampled_from([b"\xef\xbb\xbf", b" ", b"\n\t", b"[", b"{}", b"/**/"])) + data
        case 2:
            data += draw(st.sampled_from([b" ", b"}", b"{}", b"\x00", b",", data[:9]]))
        case 3:
            place = draw(st.integers(0, len(data)))
            data = data[:place] + draw(st.binary(min_size=1, max_size=3)) + data[place:]
        case 4:
            data = draw(st.binary(max_size=30))
        case 5:
            data = draw(st.sampled_from(ODD_VALUES)).encode()
    return data


@st.composite
def frames(draw: st.DrawFn) -> tuple[bytes, bool]:
    """The bytes of a frame that may break every rule, and whether it is as long as it says."""
    is_last = draw(st.sampled_from([True, True, False]))
    reserved = draw(st.sampled_from([0] * 12 + [1, 2, 4, 7]))
    opcode = draw(st.sampled_from([1, 1, 1, 0, 0, 2, 2, 9, 9, 10, 10, 8, 3, 7, 11, 15]))
    is_masked = draw(st.sampled_from([True] * 12 + [False]))
    payload = draw(st.one_of(st.binary(max_size=20), events(), CLOSES))
    announced = draw(st.one_of(*[st.just(len(payload))] * 12, st.integers(0, 2**64 - 1), st.integers(0, 200)))
    form = draw(st.sampled_from([0] * 12 + [126, 127]))
    mask = draw(st.binary(min_size=4, max_size=4))
    head = bytes([is_last << 7 | reserved << 4 | opcode]) + length_field(announced, form, is_masked=is_masked)
    if is_masked:
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return head + (mask if is_masked else b"") + payload, announced == len(payload)


CLOSES = st.one_of(
    st.sampled_from([b"", b"\x03", b"\x03\xe8", b"\x03\xee", b"\x00\x00", b"\xff\xff", b"\x03\xe8\xff"]),
    st.integers(0, 65_535).map(lambda code: struct.pack("!H", code) + MARK.encode()),
)


def length_field(length: int, form: int, *, is_masked: bool) -> bytes:
    """Return the bytes that say how long a frame is, in a form that is longer than need be where one is given."""
    mask = 0x80 if is_masked else 0
    if form == 127 or length > 65_535:
        return struct.pack("!BQ", mask | 127, length)
    if form == 126 or length > 125:
        return struct.pack("!BH", mask | 126, length)
    return bytes([mask | length])


HEADER_NAMES = st.sampled_from(
    [
        *("Host", "Origin", "Upgrade", "Connection", "Authorization", "Cookie", "Expect", "TE", "Daphne-Root-Path"),
        *("Key", "Version", "Protocol", "Extensions", "X-Forwarded-For", "Content-Length", "Transfer-Encoding"),
    ]
)
HEADER_VALUES = st.one_of(
    st.sampled_from(["", "websocket", "Upgrade", "13", "8", "null", "aister.v1", "aister.token.x", "Bearer x", "a=b;"]),
    st.text(st.characters(max_codepoint=255), max_size=20).map(lambda text: MARK + text),
)
PATHS = st.one_of(
    st.sampled_from(["/v1/chat", "/v1/translate", "/v1/chat?model=", "/v1/models?", "/", "/static/"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20).map(lambda text: f"/v1/{MARK}{text}"),
)
UPGRADE = ["Host: localhost", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
NONCE = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="


@st.composite
def heads(draw: st.DrawFn) -> bytes:
    """The head of a handshake without a key, with some lines too many, too few or wrong."""
    lines = [*UPGRADE, NONCE]
    for name, value in draw(st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=3)):
        if draw(st.booleans()):
            lines = [line for line in lines if not line.startswith(name)]
        prefix = "Sec-WebSocket-" if name in ("Key", "Version", "Protocol", "Extensions") else ""
        lines.insert(draw(st.integers(0, len(lines))), f"{prefix}{name}: {value}")
    method = draw(st.sampled_from(["GET"] * 8 + ["POST", "get", "HEAD", MARK]))
    version = draw(st.sampled_from(["HTTP/1.1"] * 8 + ["HTTP/1.0", "HTTP/2.0", ""]))
    return "\r\n".join([f"{method} {draw(PATHS)} {version}", *lines, "", ""]).encode("latin-1")


@st.composite
def posts(draw: st.DrawFn) -> tuple[str, bytes]:
    """The path and body of a request over HTTP."""
    path = draw(st.sampled_from(list(BODIES)))
    body = draw(objects(BODIES[path], [])).encode()
    if draw(st.integers(0, 9)) == 0:
        body = draw(st.one_of(st.binary(max_size=30), st.sampled_from(ODD_VALUES).map(str.encode)))
    query = draw(st.one_of(st.just(""), st.just("?model="), st.text(st.sampled_from("a=&%0f;?+"), max_size=9)))
    return path + (f"?{MARK}={query}" if query else ""), body


# -- relatives --------------------------------------------------------------------------------------------------------
# Hypothesis makes some 200 events a second. What it made is crossed and mangled here, a hundred times faster.

ODD_BYTES = [value.encode() for value in ODD_VALUES if value not in DEEP]
ODD_TOKENS = [value.encode() for value in JSON_VALUES]
ODD_BYTES += [b"\xff", b"\x80\x81", b"\r\n", b'"id":"a"', b'"type":"conversation.get"', b"\xc0\x80", b"\xed\xa0\x80"]
TOKEN = re.compile(rb'("(?:[^"\\]|\\.)*"|[^\[\]{}:,"]+)')


def mangle(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return bytes that are mostly `data`: crossed with `other`, or with a piece lost, doubled or replaced."""
    first, second = sorted(chance.randint(0, len(data)) for _ in range(2))
    pieces = {
        0: data[:first] + other[chance.randint(0, len(other)) :],
        1: data[:first] + data[second:],
        2: data[:second] + data[first:],
        3: data[:first] + chance.choice(ODD_BYTES) + data[first:],
        4: data[:first] + chance.choice(ODD_BYTES) + data[second:],
    }
    return pieces[chance.randrange(5)]


def exchange_tokens(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Return `data` with a value in the place of another, one of `other` or an odd one; or with another key."""
    parts, others = TOKEN.split(data), TOKEN.split(other)
    if len(parts) == 1:
        return data
    envelope = 8 if len(parts) > 9 and chance.random() < 0.8 else 0  # mostly, type and id stay as they are
    place = chance.randrange(envelope + 1, len(parts), 2)
    words = chance.choice([parts, others])[1::2] or ODD_TOKENS
    if parts[place + 1].startswith(b":"):
        words = [word for word in words if word.startswith(b'"')] or ODD_TOKENS
    elif chance.random() < 0.5:
        words = ODD_TOKENS
    parts[place] = chance.choice(words)
    return b"".join(parts)


def relatives(parents: list[bytes], chance: random.Random, many: int) -> list[bytes]:
    """Return the parents and `many` descendants of each, in any order: a quarter is mangled, the others still JSON."""
    born = list(parents)
    for parent in parents:
        for _ in range(many):
            change = mangle if chance.random() < 0.25 else exchange_tokens
            born.append(change(parent, chance.choice(parents), chance))
    chance.shuffle(born)
    return born
