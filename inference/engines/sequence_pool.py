"""The requests that have joined a sequence-to-sequence engine, and which of their sequences still wait. No torch here.

Touched by the engine's thread only. Bounded by what the engine admits; a request leaves with `drop`.
"""

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

from inference.engines.base import EngineRequest, Usage
from inference.engines.sequence_batches import WaitingSequence, form_batch
from inference.engines.translation_text import Sequence

LOOKAHEAD_SEQUENCES = (
    128  # of each request, that a batch is chosen from: forming one must not grow with the longest text
)


@dataclass(eq=False, slots=True, kw_only=True)
class SequenceRequest(EngineRequest):
    """Sequences to be answered one by one: each comes back whole, in any order, as `Delta(text, item=its place here)`.

    Its `log_probability` is told of greedy ones where the model's lexicon asks for it.

    `num_beams` is 1 (greedy) to 8. No output is longer than three times its source and 16 tokens, nor than
    `max_new_tokens`.
    """

    sequences: tuple[Sequence, ...]
    num_beams: int = 1
    max_new_tokens: int | None = None


@dataclass(eq=False, slots=True)
class Joined:
    """A request that has joined: which of its sequences wait, how many are open, and what it has cost so far.

    `served` numbers the last batch that it was in. After a batch that it was in has failed it runs alone, so as to
    fail alone.
    """

    request: SequenceRequest
    number: int
    waiting: deque[int]
    open_sequences: int
    served: int
    is_new: bool = True
    runs_alone: bool = False
    hit_limit: bool = False
    read: set[int] = field(default_factory=set)
    output_tokens: int = 0

    @property
    def usage(self) -> Usage:
        """Tokens of the sequences that have been in a batch, and tokens written."""
        sequences = self.request.sequences
        return Usage(
            input_tokens=sum(len(sequences[item].tokens) for item in self.read), output_tokens=self.output_tokens
        )


@dataclass(frozen=True, slots=True)
class Ticket:
    """Sequence number `item` of a request, chosen for a batch."""

    joined: Joined
    item: int

    @property
    def sequence(self) -> Sequence:
        """What the model reads."""
        return self.joined.request.sequences[self.item]


class SequencePool:
    """Joined requests, and the fair choice of the next batch from them."""

    def __init__(self) -> None:
        """Start with none."""
        self.joined: dict[SequenceRequest, Joined] = {}
        self._keys_served: dict[str, int] = {}
        self._batches_chosen = 0
        self._sequences_seen = 0

    def __len__(self) -> int:
        """Return how many requests have joined."""
        return len(self.joined)

    def admit(self, request: SequenceRequest) -> None:
        """Let all sequences of the request wait."""
        # A newcomer's turn comes before those that were in the last batch and after those that have waited longer:
        # never served would mean always first, and a stream of newcomers could keep the others waiting for ever.
        served = self._batches_chosen - 2
        self._keys_served.setdefault(request.key, served)
        waiting = deque(range(len(request.sequences)))
        self.joined[request] = Joined(request, self._sequences_seen, waiting, len(waiting), served)
        self._sequences_seen += max(1, len(waiting))

    def drop(self, joined: Joined) -> None:
        """Let go of the request."""
        del self.joined[joined.request]
        if not any(each.key == joined.request.key for each in self.joined):
            del self._keys_served[joined.request.key]

    def next_batch(self, *, max_tokens: int, max_sequences: int) -> list[Ticket]:
        """Choose the next batch and take it out of what waits. Empty when nothing waits."""
        tickets = {
            each.number + item: Ticket(each, item)
            for each in self.joined.values()
            for item in islice(each.waiting, LOOKAHEAD_SEQUENCES)
        }
        waiting = [self._describe(number, ticket) for number, ticket in tickets.items()]
        chosen = [
            tickets[each.number] for each in form_batch(waiting, max_tokens=max_tokens, max_sequences=max_sequences)
        ]
        for ticket in chosen:
            joined = ticket.joined
            joined.waiting.remove(ticket.item)
            joined.read.add(ticket.item)
            joined.served = self._keys_served[joined.request.key] = self._batches_chosen
        self._batches_chosen += bool(chosen)
        return chosen

    def _describe(self, number: int, ticket: Ticket) -> WaitingSequence:
        joined, request, sequence = ticket.joined, ticket.joined.request, ticket.sequence
        beams = request.num_beams
        # Greedy rows may differ in their first token, but all must have one or none; generate() forces one on all
        # rows of a beam search.
        first = sequence.first_token is not None if beams == 1 else sequence.first_token
        return WaitingSequence(
            number=number,
            key=request.key,
            request=joined.number,
            tokens=len(sequence.tokens) * beams,
            group=(beams, first, joined.number if joined.runs_alone else None),
            key_served=self._keys_served[request.key],
            request_served=joined.served,
        )

    def put_back(self, tickets: list[Ticket]) -> None:
        """Let the sequences of a batch that failed wait again, first in their requests, which run alone from now on."""
        for ticket in reversed(tickets):
            ticket.joined.waiting.appendleft(ticket.item)
            ticket.joined.runs_alone = True
