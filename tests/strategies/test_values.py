"""What each strategy chooses from pools that are small enough to work out by hand."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.svm import LinearSVC
from small_pools import log_odds, select, tensor

from weakneg.strategies import badge
from weakneg.strategies.svm_margin import fit_machine

UNCERTAINTY = ("margin", "entropy", "least_confidence")


def test_full_takes_everything_and_random_takes_k():
    assert select("full", 2, logits=torch.zeros(4)).ids.tolist() == [0, 1, 2, 3]
    assert len(select("random", 2, logits=torch.zeros(4)).ids) == 2


def test_random_is_uniform_over_the_pool():
    counts = Counter()
    for seed in range(2000):
        counts.update(select("random", 2, logits=torch.zeros(5), seed=seed).ids.tolist())
    # 800 each; the standard deviation is 22.
    assert all(abs(counts[bag] - 800) < 5 * 22 for bag in range(5)), counts


@pytest.mark.parametrize("name", UNCERTAINTY)
def test_uncertain_bags_by_hand(name):
    selection = select(name, 3, logits=[3.0, -0.5, 0.1, -4.0, 0.5, 2.0])
    assert selection.ids.tolist() == [2, 1, 4]
    assert selection.scores.tolist() == pytest.approx([-0.1, -0.5, -0.5])


@settings(max_examples=50, deadline=None)
@given(
    logits=st.lists(
        st.one_of(
            st.floats(-5, 5, width=32),
            st.sampled_from([0.0, 1e-9, -1e-9, 2e-9, 1e-30, 60.0, -60.0, 61.0, 600.0, 700.0]),
        ),
        min_size=1,
        max_size=12,
    ),
    k=st.integers(0, 12),
)
def test_margin_entropy_and_least_confidence_choose_the_same_bags(logits, k):
    expected = sorted(range(len(logits)), key=lambda bag: (abs(logits[bag]), bag))[:k]
    for name in UNCERTAINTY:
        assert select(name, k, logits=tensor(logits)).ids.tolist() == expected


def test_the_uncertain_bags_are_those_of_each_formula():
    p = torch.rand(60, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    formulas = {
        "margin": -(p - (1 - p)).abs(),
        "entropy": -(p * p.log() + (1 - p) * (1 - p).log()),
        "least_confidence": -torch.maximum(p, 1 - p),
    }
    for name, scores in formulas.items():
        chosen = select(name, 60, logits=p.logit()).ids
        assert chosen.tolist() == scores.argsort(descending=True).tolist()


@pytest.mark.parametrize("name", UNCERTAINTY)
def test_probabilities_near_one_half_are_told_apart_in_float32(name):
    logits = 0.004 * torch.rand(4000, generator=torch.Generator().manual_seed(0)) - 0.002
    p = logits.sigmoid()
    entropies = -(p * p.log() + (1 - p) * (1 - p).log())
    assert len(entropies.unique()) < 100, "the formula in float32 cannot rank these"
    chosen = select(name, 1000, logits=logits).ids
    assert set(chosen.tolist()) == set(logits.abs().argsort()[:1000].tolist())


def test_semi_hard_bags_by_hand():
    # The median of the positives is 1.5: bags 3, 5 and 0 are below it, and 1 is nearer than 4.
    logits, positives = [-2.0, 1.5, 7.0, 1.25, 3.0, -1.0], ([9.0, 1.0, 2.0, 0.0], [[1.0]] * 4)
    selection = select("semi_hard", 6, logits=tensor(logits), positives=positives)
    assert selection.ids.tolist() == [3, 5, 0, 1, 4, 2]
    assert selection.scores.tolist() == [-0.25, -2.5, -3.5, -3.5, -5.0, -9.0]
    # The highest positive is a bound that no bag reaches, and the lowest leaves two below it.
    hardest = select("semi_hard", 3, logits=tensor(logits), positives=positives, quantile=1.0)
    assert hardest.ids.tolist() == [2, 4, 1]
    easier = select("semi_hard", 3, logits=tensor(logits), positives=positives, quantile=0.0)
    assert easier.ids.tolist() == [5, 0, 3]


@settings(max_examples=100, deadline=None)
@given(
    logits=st.lists(
        st.one_of(st.integers(-3, 3).map(float), st.sampled_from([1e-30, 2e-30, -1e30, 0.5])),
        min_size=1,
        max_size=25,
    ),
    positives=st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=6),
    quarters=st.integers(0, 4),
    k=st.integers(0, 26),
)
def test_semi_hard_bags_by_brute_force(logits, positives, quarters, k):
    bound = float(np.quantile(positives, quarters / 4))
    below = sorted((-z, bag) for bag, z in enumerate(logits) if z < bound)
    above = sorted((z, bag) for bag, z in enumerate(logits) if z >= bound)
    selection = select(
        "semi_hard",
        k,
        logits=tensor(logits),
        positives=(positives, [[1.0]] * len(positives)),
        quantile=quarters / 4,
    )
    assert selection.ids.tolist() == [bag for _, bag in below + above][:k]
    assert (selection.scores.diff() <= 0).all()
    assert selection.scores.tolist() == [
        logits[bag] - bound if logits[bag] < bound else min(logits) - logits[bag]
        for bag in selection.ids.tolist()
    ]


def test_the_longest_gradients_by_hand():
    # Gradients with the hypothesised label are min(p, 1 - p) |h| long: .1 * 5, .5 * 2, .3 * 3;
    # with the known one, p |h|: .9 * 5, .5 * 2, .3 * 3.
    pool = {"logits": log_odds([0.9, 0.5, 0.3]), "embeddings": tensor([[3, 4], [0, 2], [3, 0]])}
    hypothesised = select("gradient_embedding", 3, **pool)
    assert hypothesised.ids.tolist() == [1, 2, 0]
    assert hypothesised.scores.tolist() == pytest.approx([1.0, 0.9, 0.5])
    known = select("gradient_embedding", 3, **pool, loss_label="known")
    assert known.ids.tolist() == [0, 1, 2]
    assert known.scores.tolist() == pytest.approx([4.5, 1.0, 0.9])


@pytest.mark.parametrize("name", ["gradient_embedding", "badge"])
def test_gradients_whose_squares_float32_cannot_hold_are_told_apart(name):
    logits = torch.tensor([-70.0, -68.0, -69.0])
    embeddings = torch.ones(3, 2)
    assert select(name, 1, logits, embeddings, loss_label="known").ids.tolist() == [1]
    assert select(name, 3, logits, embeddings, loss_label="known").scores.min() > 0


def kmeans_plus_plus(points, k, generator):
    return badge.kmeans_plus_plus(points.__getitem__, len(points), k, generator)


@pytest.mark.parametrize(
    ("block", "per_point", "few", "doubts"),
    [
        (1, 16, 256, 16),
        (2, 1e9, 256, 16),
        (16, 1e9, 256, 16),
        (16, -1e9, 256, 16),
        (1, 16, 1, 16),
        (2, 1e9, 1, 16),
        (2, -1e9, 1, 16),
        (2, 1e9, 1, 0),
    ],
)
def test_badge_draws_in_proportion_to_the_squared_distance(
    monkeypatch, block, per_point, few, doubts
):
    """All orders of five points, against their exact probabilities.

    Whatever the block size, whether the bounds are never brought up to date or always, and whether
    points are compared in full, by sketches of one direction, in which 0 and 2 look alike, or by
    such sketches until they tell too little.
    """
    monkeypatch.setattr(badge, "_BLOCK", block)
    monkeypatch.setattr(badge, "_PER_POINT", per_point)
    monkeypatch.setattr(badge, "_PER_SKETCH", per_point)
    monkeypatch.setattr(badge, "_SKETCH", 1)
    monkeypatch.setattr(badge, "_FEW", few)
    monkeypatch.setattr(badge, "_DOUBTS", doubts)
    points = tensor(
        [[-1, -1.1, -0.2, 0], [3, 0, 0, 0], [-1, 1, 0.5, 0], [-1, 1.6, 0.8, 0], [0, 0, 0, 2]]
    )
    squared = torch.cdist(points, points).square()
    expected = {}
    for order in itertools.permutations((0, 2, 3, 4)):
        chosen, probability = [1], 1.0
        for following in order:
            nearest = squared[:, chosen].amin(1)
            probability *= float(nearest[following] / nearest.sum())
            chosen.append(following)
        expected[tuple(chosen)] = probability
    assert sum(expected.values()) == pytest.approx(1)
    generator = torch.Generator().manual_seed(0)
    draws = 2000
    counts = Counter(tuple(kmeans_plus_plus(points, 5, generator).tolist()) for _ in range(draws))
    assert set(counts) <= set(expected)
    for order, probability in expected.items():
        spread = math.sqrt(draws * probability * (1 - probability))
        assert abs(counts[order] - draws * probability) < 5 * spread


def test_badge_chooses_the_same_gradients_whatever_their_unit(monkeypatch):
    monkeypatch.setattr(badge, "_FEW", 8)
    monkeypatch.setattr(badge, "_SKETCH", 4)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(2000, 4, generator=generator) @ torch.randn(4, 16, generator=generator)
    chosen = [
        kmeans_plus_plus(unit * points, 500, torch.Generator().manual_seed(0)).tolist()
        for unit in (1.0, 2.0**-100, 2.0**100)
    ]
    assert chosen[0] == chosen[1] == chosen[2]


def test_badge_begins_with_the_longest_gradient_and_not_with_the_longest_embedding():
    # Bag 0 has by far the longest embedding, but the model is certain of it: its gradient is
    # 1e-6 * 100 long. Seeds of the raw embeddings would all begin with it.
    logits, embeddings = log_odds([1e-6, 0.5, 0.4]), tensor([[100.0, 0], [1, 0], [0, 1]])
    chosen = [select("badge", 2, logits, embeddings, seed=seed).ids.tolist() for seed in range(50)]
    assert all(ids[0] == 1 for ids in chosen)
    # D^2 from bag 1: .25 for bag 0, .41 for bag 2.
    assert 10 <= sum(ids[1] == 2 for ids in chosen) <= 45


def test_badge_knows_no_centre_at_the_origin():
    # From the first centre, 10, the origin is at D^2 = 100 and 9 at D^2 = 1. A centre left over at
    # the origin would leave the origin no weight at all.
    points = tensor([[0.0], [9.0], [10.0]])
    generator = torch.Generator().manual_seed(0)
    second = [int(kmeans_plus_plus(points, 2, generator)[1]) for _ in range(300)]
    assert second.count(0) > 280


def test_badge_ends_where_gradients_are_too_small_for_the_precision():
    points = 1e-40 * torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    chosen = kmeans_plus_plus(points, 5, torch.Generator().manual_seed(0))
    assert len(chosen.unique()) == 5


@settings(max_examples=40, deadline=None)
@given(
    points=st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), min_size=1, max_size=30),
    scale=st.sampled_from([1e-20, 0.1, 1.0, 1e6]),
    seed=st.integers(0, 99),
)
def test_badge_takes_a_duplicate_only_when_every_distinct_gradient_is_taken(points, scale, seed):
    chosen = kmeans_plus_plus(
        scale * tensor(points), len(points), torch.Generator().manual_seed(seed)
    ).tolist()
    assert sorted(chosen) == list(range(len(points)))
    different = set(points)
    if any(map(any, points)):
        assert {points[index] for index in chosen[: len(different)]} == different


def test_badge_finds_every_cluster_before_it_returns_to_one():
    # 200 clusters, 1 apart, of three bags that are 1e-6 apart: more than fit into one block.
    cluster = torch.arange(600) % 200
    points = torch.stack([1 + cluster.double(), 1e-6 * (torch.arange(600) // 200).double()], 1)
    chosen = kmeans_plus_plus(points, 600, torch.Generator().manual_seed(0))
    assert len(cluster[chosen[:200]].unique()) == 200
    assert len(chosen.unique()) == 600


@pytest.mark.parametrize(
    ("scale", "first"), [(0.0, None), (1.0, 0)], ids=["all zero", "all identical"]
)
def test_badge_is_uniform_where_gradients_do_not_differ(scale, first):
    # 17 irregular numbers: |a|^2 + |b|^2 - 2ab of such points is not 0 but rounding error.
    generator = torch.Generator().manual_seed(0)
    points = (scale * torch.randn(17, generator=generator).double()).repeat(5, 1)
    orders = [kmeans_plus_plus(points, 3, generator).tolist() for _ in range(2000)]
    assert all(len(set(order)) == 3 for order in orders)
    if first is not None:
        assert {order.pop(0) for order in orders} == {first}
    counts = Counter(itertools.chain(*orders))
    for count in counts.values():
        assert abs(count - sum(counts.values()) / len(counts)) < 5 * math.sqrt(2000 / 4)
    assert len(counts) == (5 if first is None else 4)


def test_badge_tells_equal_gradients_of_float32_from_different_ones():
    """All of them have the same chance, so that 15 times as many draws leave none out."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(84, generator=generator).repeat(67, 1)
    drawn = {kmeans_plus_plus(points, 2, generator)[1].item() for _ in range(1000)}
    assert len(drawn) == 66


def test_the_nearest_probabilities_by_hand():
    # q = (.9 + .7) / 2 = .8. KL(.5 || .8) = .5 log(.5 / .8) + .5 log(.5 / .2) = .22314;
    # KL(.8 || .8) = 0; KL(.99 || .8) = .99 log(.99 / .8) + .01 log(.01 / .2) = .18100.
    positives = (log_odds([0.9, 0.7]), [[1.0], [1.0]])
    selection = select(
        "kl_probability", 4, logits=log_odds([0.5, 0.8, 0.01, 0.99]), positives=positives
    )
    assert selection.ids.tolist() == [1, 3, 0, 2]
    expected = [0, -0.18100, -0.22314, -(0.01 * math.log(0.01 / 0.8) + 0.99 * math.log(0.99 / 0.2))]
    assert selection.scores.tolist() == pytest.approx(expected, abs=1e-5)


def test_the_nearest_probabilities_of_a_model_that_is_certain():
    # q = sigmoid(800), which is 1 to any float, and log(1 - q) = -800: so KL(sigmoid(-900) || q) is
    # 800, KL(1/2 || q) is 400 - log 2, and KL(sigmoid(40) || q) is next to 0.
    selection = select(
        "kl_probability", 3, logits=tensor([-900.0, 0.0, 40.0]), positives=([800.0], [[1.0]])
    )
    assert selection.ids.tolist() == [2, 1, 0]
    assert selection.scores.tolist() == pytest.approx([0, math.log(2) - 400, -800], abs=1e-9)


def test_the_nearest_embeddings_by_hand():
    # Softmax of (log 3, 0) is (3/4, 1/4); the positives' mean is (0, 0), so (1/2, 1/2).
    # KL((3/4, 1/4) || (1/2, 1/2)) = .75 log 1.5 + .25 log .5 = .13081. A bag's embedding counts up
    # to a constant: (5, 5) is the positives' distribution.
    selection = select(
        "kl_embedding",
        3,
        embeddings=tensor([[math.log(9), 0], [math.log(3), 0], [5, 5]]),
        positives=([0.0, 0.0], [[1.0, -1.0], [-1.0, 1.0]]),
    )
    assert selection.ids.tolist() == [2, 1, 0]
    expected = [0, -0.13081, -(0.9 * math.log(1.8) + 0.1 * math.log(0.2))]
    assert selection.scores.tolist() == pytest.approx(expected, abs=1e-5)


def test_the_divergence_is_taken_from_the_bag_to_the_positives():
    # The positives are (9/10, 1/10). To them, (99/100, 1/100) is the nearer in this direction
    # (.0713 against .0923), and (3/4, 1/4) in the other one (.0725 against .1445).
    odds = log_odds([0.99, 0.75])
    positive = log_odds([0.9])
    embeddings = torch.stack([odds, torch.zeros(2).double()], 1)
    by_embedding = select(
        "kl_embedding", 2, embeddings=embeddings, positives=([0.0], [[float(positive), 0.0]])
    )
    by_probability = select("kl_probability", 2, logits=odds, positives=(positive, [[1.0]]))
    for selection in (by_embedding, by_probability):
        assert selection.ids.tolist() == [0, 1]
        assert selection.scores.tolist() == pytest.approx([-0.0713, -0.0923], abs=1e-4)


def test_the_support_vector_machine_by_its_normal_equations():
    # The classes overlap so much that every bag is inside the margin. Then the squared hinge is a
    # weighted least squares, and (w, b) solves (I + 2 X' C X) (w, b) = 2 X' C y.
    pool = [[-1.0, 0.2], [0.5, -0.3], [1.0, 0.4], [-0.6, -0.5], [0.2, 0.9]]
    positive = [[0.6, 0.1], [-0.7, 0.8]]
    features = np.array(pool + positive)
    features = (features - features.mean(0)) / features.std(0)
    features = np.hstack([features, np.ones((7, 1))])
    y = np.array([-1] * 5 + [1] * 2)
    weight = np.diag(np.where(y > 0, 7 / (2 * 2), 7 / (2 * 5)))
    solution = np.linalg.solve(
        np.eye(3) + 2 * features.T @ weight @ features, 2 * features.T @ weight @ y
    )
    scores = features @ solution
    assert (y * scores < 1).all(), "not every bag is inside the margin"
    selection = select("svm_margin", 5, embeddings=tensor(pool), positives=([0.0, 0.0], positive))
    distance = np.abs(scores[:5])
    assert selection.ids.tolist() == distance.argsort().tolist()
    assert selection.scores.tolist() == pytest.approx(sorted(-distance, reverse=True), abs=1e-3)


def test_the_support_vector_machine_is_not_the_margin_of_the_model():
    embeddings = tensor([[-3.0], [-2.0], [0.5], [-1.0]])
    positives = ([0.0, 0.0], [[2.0], [1.0]])
    logits = [0.0, 5.0, 5.0, 5.0]
    assert select("margin", 1, logits, embeddings, positives).ids.tolist() == [0]
    assert select("svm_margin", 1, logits, embeddings, positives).ids.tolist() == [2]


def test_the_support_vector_machine_sees_standardised_embeddings():
    embeddings = torch.randn(30, 3, generator=torch.Generator().manual_seed(0)).double()
    scale = tensor([1e-4, 1.0, 1e5])
    plain = select("svm_margin", 30, embeddings=embeddings, positives=([0.0], [[1.0, 1.0, 1.0]]))
    scaled = select(
        "svm_margin", 30, embeddings=embeddings * scale, positives=([0.0], [scale.tolist()])
    )
    assert plain.ids.tolist() == scaled.ids.tolist()


def test_the_support_vector_machine_takes_constant_features_and_one_positive():
    embeddings = tensor([[7.0, 0.0], [7.0, 1.0], [7.0, 2.0]])
    chosen = select("svm_margin", 3, embeddings=embeddings, positives=([0.0], [[7.0, 3.0]])).ids
    assert chosen.tolist()[-1] == 0


def test_constant_features_say_nothing_to_the_support_vector_machine():
    generator = torch.Generator().manual_seed(0)
    varied = torch.randn(3000, 2, generator=generator).double()
    constant = torch.full((3000, 1), 0.1, dtype=torch.float64)  # of which sums are rounded
    positive = tensor([[1.0, 2.0]])
    with_constant = select(
        "svm_margin",
        3000,
        embeddings=torch.cat([varied, constant], 1),
        positives=([0.0], torch.cat([positive, constant[:1]], 1).tolist()),
    )
    alone = select("svm_margin", 3000, embeddings=varied, positives=([0.0], positive.tolist()))
    torch.testing.assert_close(with_constant.scores, alone.scores, rtol=1e-9, atol=1e-12)


def test_equal_embeddings_do_not_keep_the_support_vector_machine_busy(monkeypatch):
    """Those of a network that died: what is left of the gradient are rounding errors."""
    steps = []
    solve = torch.linalg.solve
    monkeypatch.setattr(torch.linalg, "solve", lambda *a: steps.append(a) or solve(*a))
    h = torch.randn(1, 40, generator=torch.Generator().manual_seed(0)).double().repeat(300, 1)
    fit_machine(h[:293], h[293:], lambda bags: bags)
    assert len(steps) < 10


@pytest.mark.parametrize(("n", "positives", "d"), [(4000, 20, 12), (30, 30, 40), (5, 1, 2)])
def test_the_support_vector_machine_is_that_of_liblinear(n, positives, d):
    generator = torch.Generator().manual_seed(n)
    h = torch.randn(n + positives, d, generator=generator, dtype=torch.float64).relu()
    h[n:] += torch.rand(d, generator=generator)
    weight, bias = fit_machine(h[:n], h[n:], lambda bags: bags)
    machine = LinearSVC(C=1.0, class_weight="balanced", dual=False, tol=1e-10, max_iter=100_000)
    machine.fit(h.numpy(), [-1.0] * n + [1.0] * positives)
    np.testing.assert_allclose(weight, machine.coef_[0], atol=1e-6)
    assert bias.item() == pytest.approx(machine.intercept_[0], abs=1e-6)
