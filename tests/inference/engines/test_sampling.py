"""Choosing tokens: each row by its own logits and noise."""

import pytest
import torch

from inference.engines.generation import Sampling
from inference.engines.sampling import CANDIDATES, Draw, choose_tokens, uniform

VOCABULARY = 1000


def draw(index: int = 0, seed: int = 1, seen: set[int] | None = None, **options: float) -> Draw:
    return Draw(Sampling(**options), seed, index, seen)  # type: ignore[arg-type]


def logits(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, VOCABULARY, generator=torch.Generator().manual_seed(seed)) * 3


def many(row: torch.Tensor, count: int = 4000, **options: float) -> list[int | None]:
    """Draw for one row of logits again and again."""
    return choose_tokens(row.expand(count, -1).clone(), [draw(index, **options) for index in range(count)])


def test_temperature_zero_takes_the_likeliest() -> None:
    rows = logits(4)
    assert choose_tokens(rows.clone(), [draw(temperature=0)] * 4) == rows.argmax(-1).tolist()


@pytest.mark.parametrize("temperature", [1e-9, 1e-310, 5e-324])
def test_a_temperature_close_to_zero_takes_the_likeliest(temperature: float) -> None:
    rows = logits(4) * 10
    assert choose_tokens(rows.clone(), [draw(temperature=temperature)] * 4) == rows.argmax(-1).tolist()


def test_tokens_come_as_often_as_their_probability_says() -> None:
    row = torch.full((1, VOCABULARY), -30.0)
    row[0, [3, 500, 999]] = torch.tensor([0.5, 0.3, 0.2]).log() * 2
    tokens = many(row, temperature=2.0)
    for token, probability in ((3, 0.5), (500, 0.3), (999, 0.2)):
        assert tokens.count(token) / len(tokens) == pytest.approx(probability, abs=0.03)


def test_top_k_leaves_the_likeliest() -> None:
    row = logits(1)
    assert set(many(row, temperature=5.0, top_k=3)) == set(row[0].topk(3).indices.tolist())


def test_top_p_leaves_the_fewest_that_make_up_its_share() -> None:
    row = torch.full((1, VOCABULARY), -30.0)
    row[0, [3, 500, 999]] = torch.tensor([0.5, 0.3, 0.2]).log()
    assert set(many(row, top_p=0.51)) == {3, 500}
    assert set(many(row, top_p=0.001)) == {3}


def test_no_more_than_the_candidates_are_drawn() -> None:
    assert len(set(many(torch.zeros(1, VOCABULARY), count=6000))) == CANDIDATES


def test_a_repetition_penalty_makes_what_was_seen_less_likely() -> None:
    row = torch.zeros(1, VOCABULARY)
    row[0, 5], row[0, 6], row[0, 7] = 4.0, 3.0, 2.5
    penalised = draw(temperature=0, repetition_penalty=1.5, seen={5, 900})
    assert choose_tokens(row.clone(), [penalised]) == [6]
    below = torch.full((1, VOCABULARY), -9.0)
    below[0, 5], below[0, 6] = -1.0, -1.2
    assert choose_tokens(below, [penalised]) == [6]


def test_a_row_draws_the_same_in_any_batch() -> None:
    rows = logits(6)
    draws = [draw(n, seed=n, temperature=0.5 + n / 4, top_p=0.9, top_k=n * 10) for n in range(6)]
    together = choose_tokens(rows.clone(), draws)
    alone = [choose_tokens(rows[n : n + 1].clone(), [draws[n]])[0] for n in range(6)]
    assert together == alone


def test_a_hair_between_logits_seldom_changes_the_token() -> None:
    row = torch.zeros(1, VOCABULARY)  # all alike: the least noise puts them in another order
    noisy = row + torch.randn(1, VOCABULARY, generator=torch.Generator().manual_seed(1)) * 1e-5
    row[0, :CANDIDATES] += 5
    noisy[0, :CANDIDATES] += 5
    same = [a == b for a, b in zip(many(row), many(noisy), strict=True)]
    assert sum(same) / len(same) > 0.99


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_row_that_is_not_finite_has_no_token(wrong: float, temperature: float) -> None:
    rows = logits(3)
    expected = choose_tokens(rows.clone(), [draw(temperature=temperature)] * 3)
    rows[1, 17] = wrong
    assert choose_tokens(rows, [draw(temperature=temperature)] * 3) == [expected[0], None, expected[2]]


def test_a_row_without_any_possible_token_has_no_token() -> None:
    assert choose_tokens(torch.full((1, VOCABULARY), -torch.inf), [draw()]) == [None]


def test_impossible_tokens_are_never_drawn() -> None:
    row = torch.full((1, VOCABULARY), -torch.inf)
    row[0, [8, 9]] = 0.0
    assert set(many(row)) == {8, 9}


def test_the_noise_is_even_and_depends_on_seed_and_index() -> None:
    points = [uniform(seed, index) for seed in range(50) for index in range(50)]
    assert len(set(points)) == len(points)
    assert all(0 <= point < 1 for point in points)
    assert sum(points) / len(points) == pytest.approx(0.5, abs=0.02)
    assert uniform(1, 23) != uniform(12, 3)
