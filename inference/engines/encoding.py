"""From text to tokens by the `tokenizers` library. Any thread; the others go on meanwhile.

`Tokenizer.encode` keeps the interpreter for itself: a text of 100,000 characters would stop the event loop, and every
answer, for half a second. Its batches let go of it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


def encode(tokenizer: "Tokenizer", text: str) -> "Encoding":
    """Return the text's tokens and where they stand in it, with nothing put before or after."""
    return tokenizer.encode_batch([text], add_special_tokens=False)[0]


def encode_ids(tokenizer: "Tokenizer", text: str) -> list[int]:
    """Return the ids alone, in a third of the time."""
    return list(tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids)
