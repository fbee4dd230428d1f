"""Draws with unequal probabilities, and the weights that make up for them."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from weakneg import strategies
from weakneg.strategies.pool import Pool, Scores, Selection
from weakneg.strategies.sampling import inclusion_probabilities, systematic_sample

DRAWS = 1500
# Probabilities of .95, .5, ...: one bag is much harder than the others.
P = [0.95, 0.5, 0.3, 0.1, 0.05, 0.02, 0.01]
LENGTHS = [2.0, 1.0, 3.0, 0.5, 1.0, 4.0, 1.0]
WEIGHTED = [
    ("importance_sampling", {"uniform": 0.0}),
    ("importance_sampling", {"uniform": 0.1}),
    ("importance_sampling", {"uniform": 1.0}),
    ("info_batch", {"pruned": 0.0}),
    ("info_batch", {"pruned": 0.5}),
    ("info_batch", {"pruned": 0.9}),
]
weighted = pytest.mark.parametrize(("name", "options"), WEIGHTED, ids=str)


def pool(p=P, lengths=LENGTHS):
    """Bags with these probabilities and one-dimensional embeddings; ids are positions."""
    logits = torch.tensor(p, dtype=torch.float64).logit()
    embeddings = torch.tensor(lengths, dtype=torch.float64)[:, None]

    def score(with_gradients):
        gradients = logits.sigmoid()[:, None] * embeddings
        return Scores(logits, embeddings, lambda label, rows: gradients[rows])

    return Pool(torch.arange(len(p)), score, None, strategy="mine", epoch=1)


def draws(name, options, k, n=DRAWS):
    """Ids and weights (n, k) of many choices."""
    select, generator = strategies.load(name, options), torch.Generator().manual_seed(0)
    bags = pool()
    found = [select(bags, k, generator) for _ in range(n)]
    return torch.stack([each.ids for each in found]), torch.stack([each.weights for each in found])


def assert_mean(samples, expected):
    """The mean is the one expected, up to five standard errors."""
    error = samples.std(0) / math.sqrt(len(samples)) + 1e-12
    assert ((samples.mean(0) - expected).abs() < 5 * error).all()


@weighted
@pytest.mark.parametrize("k", [1, 3, 6])
def test_the_weighted_mean_is_an_unbiased_estimate_of_the_mean_of_the_pool(name, options, k):
    """Of the loss, of its gradient, of anything; and the weights add up to k on average."""
    values = torch.randn(len(P), 3, generator=torch.Generator().manual_seed(1)).double()
    p = torch.tensor(P).double()
    values = torch.cat([values, -(1 - p).log()[:, None], p[:, None]], 1)
    ids, weights = draws(name, options, k)
    assert_mean((weights[..., None] * values[ids]).mean(1), values.mean(0))
    assert_mean(weights.sum(1), k)


@pytest.mark.parametrize("name", ["importance_sampling", "info_batch"])
def test_without_the_weights_it_would_not_be(name):
    losses = -(1 - torch.tensor(P).double()).log()
    ids, _ = draws(name, {}, 2)
    error = losses[ids].mean(1).std() / math.sqrt(DRAWS)
    assert losses[ids].mean() - losses.mean() > 10 * error


def test_weights_of_importance_sampling_by_hand():
    """Gradients of 3, 1, .5, .5: of two bags, the first is certain, and then 1 of (1, .5, .5)."""
    select = strategies.load("importance_sampling", {"uniform": 0.0})
    bags = pool([0.5, 0.5, 0.25, 0.125], [6.0, 2.0, 2.0, 4.0])
    seen = set()
    for seed in range(50):
        found = select(bags, 2, torch.Generator().manual_seed(seed))
        chosen = dict(zip(found.ids.tolist(), found.weights.tolist(), strict=True))
        assert chosen.pop(0) == pytest.approx(2 / 4)
        ((other, weight),) = chosen.items()
        assert weight == pytest.approx(2 / 4 / [0, 0.5, 0.25, 0.25][other])
        assert sorted(found.scores.tolist()) == sorted([3, [0, 1, 0.5, 0.5][other]])
        seen.add(other)
    assert seen == {1, 2, 3}
    # Where no bag is certain, the weight is the 1 / (N p) of the paper.
    (one,) = select(bags, 1, torch.Generator().manual_seed(0)).ids.tolist()
    (weight,) = select(bags, 1, torch.Generator().manual_seed(0)).weights.tolist()
    assert weight == pytest.approx(1 / (4 * [3, 1, 0.5, 0.5][one] / 5))


@pytest.mark.parametrize("uniform", [0.01, 0.1, 0.5])
def test_a_share_of_uniform_draws_bounds_the_weights(uniform):
    _, weights = draws("importance_sampling", {"uniform": uniform}, 3, n=500)
    assert weights.max() <= 1 / uniform


def test_weights_of_info_batch_by_hand():
    """Two of six bags are above the mean. With r = 1/2, M = 2 + 4/2 are left on average."""
    select = strategies.load("info_batch", {"pruned": 0.5})
    bags = pool([0.9, 0.8, 0.1, 0.1, 0.1, 0.1], [1.0] * 6)

    def weights(k):
        found = [select(bags, k, torch.Generator().manual_seed(seed)) for seed in range(60)]
        return {
            (bag < 2, round(weight, 9))
            for each in found
            for bag, weight in zip(each.ids.tolist(), each.weights.tolist(), strict=True)
        }

    assert weights(2) == {(True, round(4 / 6, 9)), (False, round(4 / 6 * 2, 9))}
    # Of five, both are certain, and the other four are pruned with r = 1/4.
    assert weights(5) == {(True, round(5 / 6, 9)), (False, round(5 / 6 / 0.75, 9))}
    assert weights(6) == {(True, 1), (False, 1)}


def test_uniform_draws_have_weights_of_1():
    for name, options in (("importance_sampling", {"uniform": 1}), ("info_batch", {"pruned": 0})):
        _, weights = draws(name, options, 3, n=20)
        torch.testing.assert_close(weights, torch.ones(20, 3).double())


def test_selective_backprop_draws_by_the_power_of_the_rank():
    """Ranks of 1/4 to 1, squared, are as 1 to 4 to 9 to 16; bags with equal losses share a rank."""
    select = strategies.load("selective_backprop", {"beta": 2.0})

    def shares(p):
        generator, bags = torch.Generator().manual_seed(0), pool(p, [1.0] * 4)
        found = [select(bags, 1, generator) for _ in range(DRAWS)]
        assert all(each.weights is None for each in found)
        assert found[0].scores.item() == pytest.approx(-math.log(1 - p[found[0].ids.item()]))
        return np.bincount([each.ids.item() for each in found], minlength=4) / DRAWS

    def assert_shares(found, expected):
        expected = np.array(expected) / sum(expected)
        assert (abs(found - expected) < 5 * np.sqrt(expected / DRAWS)).all()

    assert_shares(shares([0.1, 0.9, 0.7, 0.3]), [1, 16, 9, 4])
    assert_shares(shares([0.2, 0.2, 0.9, 0.2]), [9, 9, 16, 9])


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.one_of(st.floats(0.01, 10), st.just(1.0), st.just(1e6)), min_size=1),
    share=st.floats(0, 1),
)
def test_probabilities_by_bisection(sizes, share):
    """min(1, c size), where c is such that they add up to k."""
    size, k = torch.tensor(sizes, dtype=torch.float64), round(share * len(sizes))
    low, high = 0.0, 2e2 * len(sizes)
    for _ in range(100):
        c = (low + high) / 2
        low, high = (c, high) if (c * size).clamp(max=1).sum() < k else (low, c)
    found = inclusion_probabilities(size, k)
    torch.testing.assert_close(found, (high * size).clamp(max=1), rtol=1e-9, atol=1e-9)
    assert found.sum().item() == pytest.approx(k)
    assert found.max() <= 1


def test_units_without_a_size_are_drawn_alike_if_there_are_too_few_others():
    sizes = torch.tensor([0.0, 5.0, 0.0, 0.0, 1.0])
    assert inclusion_probabilities(sizes, 3).tolist() == pytest.approx([1 / 3, 1, 1 / 3, 1 / 3, 1])
    assert inclusion_probabilities(torch.zeros(4), 1).tolist() == [0.25] * 4


@pytest.mark.parametrize("k", [1, 2, 4])
def test_units_are_drawn_with_their_probabilities(k):
    probability = inclusion_probabilities(torch.tensor([8.0, 3.0, 2.0, 1.0, 1.0, 0.5]), k)
    generator = torch.Generator().manual_seed(0)
    chosen = torch.stack([systematic_sample(probability, k, generator) for _ in range(DRAWS)])
    assert all(len(set(row)) == k for row in chosen.tolist())
    counts = torch.bincount(chosen.flatten(), minlength=6)
    spread = (DRAWS * probability * (1 - probability)).sqrt()
    assert ((counts - DRAWS * probability).abs() <= 5 * spread + 1e-6).all()
    assert counts[probability == 1].tolist() == [DRAWS] * int((probability == 1).sum())


def test_units_that_are_alike_are_drawn_as_without_probabilities():
    """Every pair of five is equally probable, in either order."""
    generator = torch.Generator().manual_seed(0)
    equal = torch.full((5,), 0.4).double()
    counts = Counter(tuple(systematic_sample(equal, 2, generator).tolist()) for _ in range(DRAWS))
    assert set(counts) == set(itertools.permutations(range(5), 2))
    for count in counts.values():
        assert abs(count - DRAWS / 20) < 5 * math.sqrt(DRAWS / 20)


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.sampled_from([1e-9, 0.1, 1 / 3, 1.0, 7.0, 1e9]), min_size=1, max_size=60),
    share=st.floats(0, 1),
    seed=st.integers(0, 9),
)
def test_rounding_draws_no_unit_twice(sizes, share, seed):
    k = round(share * len(sizes))
    probability = inclusion_probabilities(torch.tensor(sizes), k)
    chosen = systematic_sample(probability, k, torch.Generator().manual_seed(seed))
    assert len(chosen.unique()) == k


def test_points_that_rounding_puts_into_one_unit_are_told_apart():
    """Units a little longer than 1, and a line that ends before the last point."""
    long = torch.tensor([1 + 1e-6, 1 - 1e-6, 1 - 1e-6], dtype=torch.float64)
    short = torch.tensor([0.3, 0.3, 0.3], dtype=torch.float64)
    for seed in range(200):
        for probability, k in ((long, 3), (short, 1), (short, 2)):
            chosen = systematic_sample(probability, k, torch.Generator().manual_seed(seed))
            assert len(chosen.unique()) == k


def test_weights_that_cannot_be_used_are_refused():
    ids, scores = torch.tensor([3, 5]), torch.zeros(2).double()
    Selection(ids, scores, torch.tensor([0.5, 1.5]).double())
    for weights in (torch.ones(3).double(), torch.ones(2)):
        with pytest.raises(ValueError, match=r"weights must be float64 of shape \(2,\), as"):
            Selection(ids, scores, weights)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="weights must be finite and above 0"):
            Selection(ids, scores, torch.tensor([1.0, bad]).double())
