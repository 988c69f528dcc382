"""Tensors of the sequence-to-sequence engine: one batch, decoded greedily step by step, or by beam search at one go.

Touched by the engine's thread only. A batch promises each row the tokens that `model.generate()` gives it alone (in
float32, unless two candidates are closer than rounding), whatever its neighbours and their padding.
"""

from typing import Any

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from inference.engines.sequence_rows import CancelFlag, Row


class GreedyBatch:
    """Each row's most likely token at each step. The encoder has run once the batch is made."""

    def __init__(self, model: Any, rows: list[Row], *, is_scored: bool = False) -> None:
        """Encode the rows, all of which have a first token or none of which have.

        Where `is_scored`, they are told how likely their tokens are.
        """
        self._model = model
        self.rows = rows
        self._is_scored = is_scored
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
        scores = self._adjust(self._ids, output.logits[:, -1].float())
        best, chosen = scores.max(-1)
        if not best.isfinite().all():  # NaN comes through max
            raise FloatingPointError("The model gave scores that are not finite.")
        self._ids = torch.cat([self._ids, chosen[:, None]], dim=-1)
        log_probabilities = (best - scores.logsumexp(-1)).tolist() if self._is_scored else [None] * len(self.rows)
        tokens = zip(self.rows, chosen.tolist(), log_probabilities, strict=True)
        done = [
            row
            for row, token, log_probability in tokens
            if row.write(token, self._ends, forced_end=self._forced_end, log_probability=log_probability)
        ]
        if done:
            self.keep([row for row in self.rows if row not in done])
        return done

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

    def stop(self) -> None:
        """Nothing runs between steps."""

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
            row.write_all(line[skipped:], ends)
        done, self.rows = self.rows, []
        return done

    def keep(self, rows: list[Row]) -> None:
        """Drop all rows but these, which are given in the batch's order."""
        self.rows = rows

    def stop(self) -> None:
        """Nothing runs between steps."""

    @property
    def memory_bytes(self) -> int:
        """Nothing is held between steps."""
        return 0


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
