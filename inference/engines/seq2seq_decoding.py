"""Tensors of the sequence-to-sequence engine: one batch, decoded greedily step by step, or by beam search at one go.

Touched by the engine's thread only. A batch promises each row the tokens that `model.generate()` gives it alone (in
float32, unless two candidates are closer than rounding), whatever its neighbours and their padding.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from inference.engines.translation_text import Sequence

# A model that has lost its way repeats itself until its limit. Output that is this much longer than the source and
# has ended in the same few tokens over and over is cut after the first of them. Sources that repeat themselves are
# safe: their translations are no longer.
LOOP_SLACK_TOKENS = 16
LOOP_TOKENS = 24
LOOP_PERIOD_TOKENS = 12


@dataclass(eq=False, slots=True)
class Row:
    """One sequence in a batch, the tokens written for it so far (without its first token) and the most that may be."""

    sequence: Sequence
    limit: int
    written: list[int] = field(default_factory=list)
    hit_limit: bool = False


class CancelFlag(Protocol):
    """Says whether nobody waits for a batch any more."""

    def __call__(self) -> bool:
        """True when all of the batch's requests are cancelled."""


class Batch(Protocol):
    """Rows that are decoded together."""

    rows: list[Row]

    def step(self) -> list[Row]:
        """Run the decoder once; take the rows that are done out of the batch and return them."""

    def keep(self, rows: list[Row]) -> None:
        """Drop all rows but these, which are given in the batch's order."""

    @property
    def memory_bytes(self) -> int:
        """Bytes of keys, values and encoder states held."""


class GreedyBatch:
    """Each row's most likely token at each step. The encoder has run once the batch is made."""

    def __init__(self, model: Any, rows: list[Row]) -> None:
        """Encode the rows, all of which have a first token or none of which have."""
        self._model = model
        self.rows = rows
        self._ends = end_tokens(model)
        self._forced_end = model.generation_config.forced_eos_token_id is not None
        tokens, mask = pad(model, rows)
        # generate() encodes and prepares, then hands over to `custom_generate` instead of decoding: so everything
        # that a model's generation config asks of the scores (banned words, forced tokens, ...) is here without a
        # list of it being kept here.
        prepared = model.generate(
            input_ids=tokens,
            attention_mask=mask,
            decoder_input_ids=decoder_starts(model, rows),
            max_new_tokens=max(row.limit for row in rows) + 1,
            custom_generate=_hand_over,
        )
        self._ids, self._adjust, self._state = prepared
        self._fed = 0  # columns of self._ids, shaped (rows, tokens), that the decoder has seen

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """Run the decoder once; take the rows that are done out of the batch and return them.

        Raises FloatingPointError when a row has no likeliest token.
        """
        output = self._model(decoder_input_ids=self._ids[:, self._fed :], **self._state)
        self._state["past_key_values"] = output.past_key_values
        self._fed = self._ids.shape[1]
        best, chosen = self._adjust(self._ids, output.logits[:, -1].float()).max(-1)
        if not best.isfinite().all():  # NaN comes through max
            raise FloatingPointError("The model gave scores that are not finite.")
        self._ids = torch.cat([self._ids, chosen[:, None]], dim=-1)
        done = [row for row, token in zip(self.rows, chosen.tolist(), strict=True) if self._ended(row, token)]
        if done:
            self.keep([row for row in self.rows if row not in done])
        return done

    def _ended(self, row: Row, token: int) -> bool:
        at_limit = len(row.written) + 1 >= row.limit
        if token in self._ends or (at_limit and self._forced_end):
            row.hit_limit = token not in self._ends
            return True
        row.written.append(token)
        row.hit_limit = at_limit or cut_loop(row.written, len(row.sequence.tokens))
        return row.hit_limit

    @torch.inference_mode()
    def keep(self, rows: list[Row]) -> None:
        """Drop all rows but these, which are given in the batch's order."""
        places = torch.tensor([self.rows.index(row) for row in rows], dtype=torch.long, device=self._ids.device)
        self.rows = rows
        if not rows:
            return
        self._ids = self._ids[places]
        self._state["attention_mask"] = self._state["attention_mask"][places]
        encoded = self._state["encoder_outputs"]
        encoded.last_hidden_state = encoded.last_hidden_state[places]
        self._state["past_key_values"].batch_select_indices(places)

    @property
    def memory_bytes(self) -> int:
        """Bytes of keys, values and encoder states held."""
        cache = self._state["past_key_values"]
        layers = [*cache.self_attention_cache.layers, *cache.cross_attention_cache.layers]
        tensors = [tensor for layer in layers if layer.is_initialized for tensor in (layer.keys, layer.values)]
        return sum(tensor.nbytes for tensor in [*tensors, self._state["encoder_outputs"].last_hidden_state])


class BeamBatch:
    """Beam search: one step decodes the whole batch, and stops early only when all of it is cancelled."""

    def __init__(self, model: Any, rows: list[Row], beams: int, is_cancelled: CancelFlag) -> None:
        """Take the rows, all of which have the same first token or none."""
        self._model = model
        self.rows = rows
        self._beams = beams
        self._is_cancelled = is_cancelled

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """Decode all rows and return them."""
        first = self.rows[0].sequence.first_token
        tokens, mask = pad(self._model, self.rows)
        found = self._model.generate(
            input_ids=tokens,
            attention_mask=mask,
            num_beams=self._beams,
            max_new_tokens=max(row.limit for row in self.rows) + (first is not None),
            stopping_criteria=StoppingCriteriaList([_Cancelled(self._is_cancelled)]),
            **({} if first is None else {"forced_bos_token_id": first}),
        )
        ends = end_tokens(self._model)
        skipped = 1 if first is None else 2
        for row, line in zip(self.rows, found.tolist(), strict=True):
            _write_beam(row, line[skipped:], ends)
        done, self.rows = self.rows, []
        return done

    def keep(self, rows: list[Row]) -> None:
        """Drop all rows but these, which are given in the batch's order."""
        self.rows = rows

    @property
    def memory_bytes(self) -> int:
        """Nothing is held between steps."""
        return 0


def _write_beam(row: Row, tokens: list[int], ends: frozenset[int]) -> None:
    length = next((place for place, token in enumerate(tokens) if token in ends), None)
    row.hit_limit = length is None or length > row.limit
    for token in tokens[: row.limit if length is None else min(length, row.limit)]:
        row.written.append(token)
        if cut_loop(row.written, len(row.sequence.tokens)):
            row.hit_limit = True
            return


class _Cancelled(StoppingCriteria):
    def __init__(self, is_cancelled: CancelFlag) -> None:
        self._is_cancelled = is_cancelled

    def __call__(self, input_ids: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:  # noqa: ARG002
        return torch.full(input_ids.shape[:1], self._is_cancelled(), dtype=torch.bool, device=input_ids.device)


def _hand_over(
    _model: Any, input_ids: torch.Tensor, logits_processor: Any, **prepared: Any
) -> tuple[torch.Tensor, Any, dict[str, Any]]:
    """Return what generate() has prepared: decoder ids (rows, tokens), processors of scores, model arguments."""
    names = ("encoder_outputs", "attention_mask", "past_key_values", "use_cache")
    return input_ids, logits_processor, {name: prepared[name] for name in names}


def pad(model: Any, rows: list[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows' tokens and their mask, both shaped (rows, longest), padded on the right."""
    longest = max(len(row.sequence.tokens) for row in rows)
    filler = model.generation_config.pad_token_id
    spare = [longest - len(row.sequence.tokens) for row in rows]
    tokens = [[*row.sequence.tokens, *[filler] * spare[place]] for place, row in enumerate(rows)]
    mask = [[1] * (longest - each) + [0] * each for each in spare]
    return torch.tensor(tokens, device=model.device), torch.tensor(mask, device=model.device)


def decoder_starts(model: Any, rows: list[Row]) -> torch.Tensor:
    """Return what each row's output starts with, shaped (rows, 1), or (rows, 2) where there is a first token."""
    start = model.generation_config.decoder_start_token_id
    first = (row.sequence.first_token for row in rows)
    return torch.tensor([[start] if token is None else [start, token] for token in first], device=model.device)


def end_tokens(model: Any) -> frozenset[int]:
    """Return the tokens that end an output."""
    ends = model.generation_config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [ends])


def cut_loop(written: list[int], source_tokens: int) -> bool:
    """Say whether the output has fallen into a loop; if so, cut it after the loop's first round."""
    if len(written) < source_tokens + LOOP_SLACK_TOKENS:
        return False
    tail = written[-LOOP_TOKENS:]
    for period in range(1, LOOP_PERIOD_TOKENS + 1):
        if len(tail) == LOOP_TOKENS and tail[period:] == tail[:-period]:
            end = len(written)
            while end > period and written[end - 1] == written[end - 1 - period]:
                end -= 1
            del written[end:]
            return True
    return False
