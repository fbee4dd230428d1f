"""The strategies that draw at random, against the exact probabilities of small pools."""

import itertools
import math
from collections import Counter

import pytest
import torch
from scipy.stats import chi2
from small_pools import select, small_pool, tensor

from weakneg.errors import UserError
from weakneg.strategies import load

LOGITS = [2.0, -1.0, 0.5, -3.0]
LOSSES = [math.log1p(math.exp(z)) for z in LOGITS]


def draws(name, k, n, ordered=True, pool=None, **options):
    """How often each choice of k bags comes up in n draws; `ordered`: as a sequence."""
    pool, generator = pool or small_pool(tensor(LOGITS)), torch.Generator().manual_seed(0)
    strategy = load(name, options)
    chosen = (strategy(pool, k, generator).ids.tolist() for _ in range(n))
    return Counter(tuple(ids if ordered else sorted(ids)) for ids in chosen)


def sequences(weights, k):
    """The probability of each sequence, drawn one by one without replacement."""
    found = {}
    for order in itertools.permutations(range(len(weights)), k):
        left, probability = sum(weights), 1.0
        for bag in order:
            probability *= weights[bag] / left
            left -= weights[bag]
        found[order] = probability
    return found


def assert_drawn_from(counts, probabilities):
    assert sum(probabilities.values()) == pytest.approx(1)
    assert counts.keys() <= {each for each, p in probabilities.items() if p > 0}
    n = counts.total()
    expected = {each: n * p for each, p in probabilities.items() if p > 0}
    statistic = sum((counts[each] - e) ** 2 / e for each, e in expected.items())
    assert statistic < chi2.ppf(1 - 1e-6, max(len(expected) - 1, 1)), (counts, expected)


@pytest.mark.parametrize(
    ("name", "options", "weights"),
    [
        ("gibbs", {"of": {"strategy": "margin"}}, [math.exp(-abs(z)) for z in LOGITS]),
        ("gibbs", {"of": {"strategy": "hardest"}, "beta": 0.5}, [math.exp(s / 2) for s in LOSSES]),
        ("gibbs", {"of": {"strategy": "margin"}, "beta": 0.0}, [1.0] * 4),
        ("power", {"of": {"strategy": "hardest"}}, LOSSES),
        ("power", {"of": {"strategy": "hardest"}, "beta": 0.5}, [s**0.5 for s in LOSSES]),
        ("power", {"of": {"strategy": "hardest"}, "beta": 0.0}, [1.0] * 4),
        # The positive bag of the small pool has the logit 0.
        ("simans", {"a": 0.2}, [math.exp(-0.2 * z**2) for z in LOGITS]),
        ("simans", {"a": 0.2, "b": -2.0}, [math.exp(-0.2 * (z + 2) ** 2) for z in LOGITS]),
        ("simans", {"a": 0.0}, [1.0] * 4),
    ],
    ids=str,
)
def test_sequences_have_the_probabilities_of_a_weighted_draw(name, options, weights):
    assert_drawn_from(draws(name, 3, 2000, **options), sequences(weights, 3))


def test_scores_are_those_of_the_ranking_or_the_log_weights():
    logits = tensor(LOGITS)
    for options in ({"of": {"strategy": "margin"}}, {"of": {"strategy": "svm_margin"}}):
        of = options["of"]["strategy"]
        embeddings = tensor([[1.0, 2], [0, 1], [3, 1], [-1, 0]])
        expected = select(of, 4, logits, embeddings)
        found = select("gibbs", 4, logits, embeddings, **options)
        assert dict(zip(*map(torch.Tensor.tolist, (found.ids, found.scores)), strict=True)) == (
            dict(zip(*map(torch.Tensor.tolist, (expected.ids, expected.scores)), strict=True))
        )
    found = select("simans", 2, logits, positives=([1.0, 4.0], [[1.0]] * 2), b=-1.0)
    assert found.scores.tolist() == [-0.5 * (LOGITS[bag] - 1.5) ** 2 for bag in found.ids]


@pytest.mark.parametrize("name", ["gibbs", "power"])
def test_a_high_exponent_leaves_the_ranking_as_it_is(name):
    logits = torch.randn(50, generator=torch.Generator().manual_seed(0))
    ranked = select("hardest", 20, logits)
    drawn = select(name, 20, logits, beta=1e9, of={"strategy": "hardest"})
    assert torch.equal(ranked.ids, drawn.ids)
    assert torch.equal(ranked.scores, drawn.scores)


def test_bags_without_weight_are_drawn_last_and_uniformly():
    # The gradients of bags 0, 2 and 3 are 0; with the known label, that of bag 1 is p |h| = 1/2.
    pool = small_pool(torch.zeros(4), tensor([[0.0], [1], [0], [0]]))
    of = {"strategy": "gradient_embedding", "loss_label": "known"}
    counts = draws("power", 3, 600, pool=pool, of=of)
    rest = itertools.permutations((0, 2, 3), 2)
    assert_drawn_from(counts, {(1, *order): 1 / 6 for order in rest})
    flat = draws("power", 1, 600, pool=pool, of=of, beta=0.0)
    assert_drawn_from(flat, {(bag,): 1 / 4 for bag in range(4)})


def test_negative_scores_have_no_power():
    with pytest.raises(UserError, match=r"strategy 'power', epoch 1: some scores are neg.*gibbs"):
        select("power", 1, LOGITS, of={"strategy": "margin"})


def test_weights_that_a_float_cannot_hold_still_decide():
    # Weights of exp(-5e9) and less, in which the noise is lost: the nearest to the positives first.
    logits = tensor([-1e5, -3e5, -2e5])
    chosen = {tuple(select("simans", 3, logits, seed=seed).ids.tolist()) for seed in range(20)}
    assert chosen == {(0, 2, 1)}


@pytest.mark.parametrize(
    ("n", "k", "candidates"), [(5, 1, 2), (4, 2, 2), (5, 2, 2), (5, 2, 9), (5, 3, 1), (4, 9, 2)]
)
def test_each_bag_is_the_hardest_of_its_own_candidates(n, k, candidates):
    """Against all orders in which candidates may be drawn and dealt to the k bags in turn."""
    logits = tensor([0.5, -1.0, 2.0, -3.0, 1.0][:n])
    bags = min(n, k)
    expected = Counter()
    for order in itertools.permutations(range(n)):
        dealt = order[: candidates * bags]
        hardest = [max(dealt[i::bags], key=lambda bag: logits[bag]) for i in range(bags)]
        expected[tuple(sorted(hardest))] += 1 / math.factorial(n)
    pool = small_pool(logits)
    assert_drawn_from(draws("dns", k, 2000, False, pool, candidates=candidates), expected)


def test_candidates_of_one_bag_have_the_distribution_of_a_maximum():
    # The bag of rank r is chosen if the other candidates are among the N - r below it.
    n, candidates = 8, 3
    probabilities = {
        (n - rank,): math.comb(n - rank, candidates - 1) / math.comb(n, candidates)
        for rank in range(1, n + 1)
    }
    pool = small_pool(torch.arange(n).double())
    assert_drawn_from(draws("dns", 1, 2000, pool=pool, candidates=candidates), probabilities)


def test_dns_orders_its_choice_by_hardness_and_equal_bags_by_id():
    for seed in range(20):
        selection = select("dns", 4, [1.0, 3.0, 1.0, 3.0, 1.0, 3.0], seed=seed, candidates=1)
        keys = [(-score, bag) for score, bag in zip(selection.scores, selection.ids, strict=True)]
        assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("share", "n"), [(0.0, 0), (0.5, 2), (0.6, 2), (0.625, 2), (0.7, 3), (1, 4)]
)
def test_star_takes_the_hardest_and_draws_the_rest_uniformly(share, n):
    logits = tensor([-1.0, 4.0, 3.0, -2.0, 4.0, 0.0])
    hardest = [1, 4, 2, 5, 0, 3]
    counts = draws("star", 4, 2000, pool=small_pool(logits), share=float(share))
    assert {order[:n] for order in counts} == {tuple(hardest[:n])}
    rest = Counter()
    for order, times in counts.items():
        rest[order[n:]] += times
    orders = list(itertools.permutations(hardest[n:], 4 - n))
    assert_drawn_from(rest, {order: 1 / len(orders) for order in orders})


def test_star_gives_each_bag_its_loss():
    selection = select("star", 3, LOGITS)
    assert selection.scores.tolist() == pytest.approx([LOSSES[bag] for bag in selection.ids])
