"""Which of the waiting sequences make the next batch: a pure function. No torch here.

Fairness has two levels, keys and within a key its requests: the batch starts from the key served longest ago, in it
from the request served longest ago, with that one's oldest sequence. So every key is served at least once in as many
batches as keys wait, whatever another sends. The rest of the batch is filled in the same order with sequences of like
length, as padding is computed for nothing.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

# Sequences share a batch when the longer is at most twice the shorter, or both are short: there, a step costs the
# same anyway.
LIKE_RATIO = 2
SHORT_TOKENS = 16


@dataclass(frozen=True, slots=True)
class WaitingSequence:
    """One sequence that waits. Only those of the same `group` may share a batch.

    `number` is the order of arrival. `key_served` and `request_served` are the numbers of the last batches that
    served its key and its request, or -1.
    """

    number: int
    key: str
    request: int
    tokens: int
    group: Hashable = None
    key_served: int = -1
    request_served: int = -1


def form_batch(waiting: Iterable[WaitingSequence], *, max_tokens: int, max_sequences: int) -> list[WaitingSequence]:
    """Choose the next batch: at most `max_sequences`, whose number times the longest is at most `max_tokens`.

    The first in turn is always chosen, alone if it has more tokens than that. Returns nothing when nothing waits.
    """
    turns = in_turn(waiting)
    batch = turns[:1]
    longest = shortest = batch[0].tokens if batch else 0
    for sequence in turns[1:]:
        if len(batch) >= max_sequences:
            break
        high, low = max(longest, sequence.tokens), min(shortest, sequence.tokens)
        if sequence.group == batch[0].group and _are_alike(low, high) and high * (len(batch) + 1) <= max_tokens:
            batch.append(sequence)
            longest, shortest = high, low
    return batch


def in_turn(waiting: Iterable[WaitingSequence]) -> list[WaitingSequence]:
    """Order by turn: one sequence of each key, then the second of each; within a key, one of each of its requests."""
    waiting = list(waiting)
    in_request = _ranks(waiting, lambda each: (each.key, each.request), lambda each: (each.number,))
    in_key = _ranks(
        waiting, lambda each: each.key, lambda each: (in_request[each.number], each.request_served, each.number)
    )
    return sorted(waiting, key=lambda each: (in_key[each.number], each.key_served, each.number))


def _ranks(
    sequences: Iterable[WaitingSequence],
    group: Callable[[WaitingSequence], Hashable],
    order: Callable[[WaitingSequence], tuple[int, ...]],
) -> dict[int, int]:
    """Return each sequence's place in its group, from 0, by its number."""
    seen: Counter[Hashable] = Counter()
    ranks = {}
    for sequence in sorted(sequences, key=order):
        ranks[sequence.number] = seen[group(sequence)]
        seen[group(sequence)] += 1
    return ranks


def _are_alike(low: int, high: int) -> bool:
    return high <= max(SHORT_TOKENS, LIKE_RATIO * low)
