"""The strategies that look for hard or covering bags, on pools worked out by hand."""

import math
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.covariance import oas
from small_pools import log_odds, select, tensor

from weakneg.strategies import coreset, embeddings, mahalanobis


def normal(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_the_hardest_bags_by_hand():
    selection = select("hardest", 3, log_odds([0.5, 0.9, 0.1, 0.9, 0.2]))
    assert selection.ids.tolist() == [1, 3, 0]
    expected = [-math.log(0.1), -math.log(0.1), -math.log(0.5)]
    assert selection.scores.tolist() == pytest.approx(expected)


def test_bags_are_told_apart_where_all_probabilities_are_0_or_1():
    logits = torch.tensor([90.0, -900.0, 100.0, -800.0, 95.0, -1e30])
    selection = select("hardest", 6, logits)
    assert selection.ids.tolist() == [2, 4, 0, 3, 1, 5]
    assert selection.scores.tolist() == [100.0, 95.0, 90.0, 0.0, 0.0, 0.0]


@settings(max_examples=50, deadline=None)
@given(
    probabilities=st.lists(st.sampled_from([0.1, 0.2, 0.5, 0.7, 0.75]), min_size=1, max_size=12),
    k=st.integers(0, 12),
)
def test_the_cut_off_leaves_out_bags_near_the_positives(probabilities, k):
    # The positives' mean probability is .8, so that the cut-off of 90% is .72.
    positives = (log_odds([0.7, 0.9]), [[1.0]] * 2)
    selection = select(
        "positive_cutoff", k, log_odds(probabilities), positives=positives, share=0.9
    )
    below = [bag for bag, p in enumerate(probabilities) if p < 0.72]
    above = [bag for bag, p in enumerate(probabilities) if p >= 0.72]
    kept = below + above[: max(k - len(below), 0)]
    expected = sorted(kept, key=lambda bag: (-probabilities[bag], bag))[:k]
    assert selection.ids.tolist() == expected


def test_those_next_to_the_cut_off_fill_the_budget():
    logits, positives = log_odds([0.99, 0.9, 0.1, 0.95]), (log_odds([0.8]), [[1.0]])
    assert select("positive_cutoff", 1, logits, positives=positives).ids.tolist() == [2]
    assert select("positive_cutoff", 3, logits, positives=positives).ids.tolist() == [3, 1, 2]


def test_the_cut_off_is_a_share_of_a_probability_that_a_float_may_not_hold():
    # p = exp(logit) here: log .95 = -.0513 below the positives' -800.
    logits = tensor([-800.04, -800.06, -799.0, -900.0])
    chosen = select("positive_cutoff", 1, logits, positives=([-800.0], [[1.0]])).ids
    assert chosen.tolist() == [1]
    # And where all positives are certain, p = .95 is the cut-off.
    logits = log_odds([0.96, 0.94, 0.99])
    assert select("positive_cutoff", 1, logits, positives=([90.0], [[1.0]])).ids.tolist() == [1]


def test_a_bag_at_the_cut_off_is_left_out():
    options = {"positives": ([0.5], [[1.0]]), "share": 1.0}
    assert select("positive_cutoff", 1, tensor([0.5, 0.4]), **options).ids.tolist() == [1]


def test_bags_most_similar_to_one_of_the_positives_are_left_out():
    # The highest cosines with (1, 0) and (0, 1): 1, 1, .8, .71; means would rank the other way.
    embedded = tensor([[5.0, 0], [0, 0.1], [4, 3], [1, 1], [-1, -1]])
    positives = ([0.0, 0.0], [[2.0, 0], [0, 3.0]])

    def chosen(k, share):
        name, logits = "false_negative_elimination", tensor([9.0, 8, 7, 6, 5])
        return select(name, k, logits, embedded, positives, share=share).ids.tolist()

    assert chosen(3, 0.4) == [2, 3, 4]
    assert chosen(2, 0.6) == [3, 4]
    assert chosen(2, 1.0) == [3, 4]
    assert chosen(2, 0.2) == [0, 2]  # of equally similar ones, the higher id is left out
    assert chosen(2, 0.0) == [0, 1]
    assert chosen(9, 1.0) == [0, 1, 2, 3, 4]


def within(*classes):
    return np.concatenate([each - each.mean(0) for each in map(np.asarray, classes)])


@pytest.mark.parametrize(
    ("n", "positives", "d"), [(200, 20, 5), (30, 1, 4), (7, 2, 40), (20, 3, 1)]
)
def test_the_distance_to_the_positives_by_its_definition(monkeypatch, n, positives, d):
    monkeypatch.setattr(embeddings, "_ROWS", 8)
    monkeypatch.setattr(mahalanobis, "_ROWS", 8)
    pool, positive = normal(n, d) @ normal(d, d, seed=1), normal(positives, d, seed=2) + 1
    covariance, _ = oas(within(pool, positive), assume_centered=True)
    deviations = (pool - positive.mean(0)).numpy()
    squares = np.einsum("id,de,ie->i", deviations, np.linalg.inv(covariance), deviations)
    selection = select(
        "mahalanobis", n, embeddings=pool, positives=([0.0] * positives, positive.tolist())
    )
    assert selection.ids.tolist() == squares.argsort().tolist()
    assert selection.scores.tolist() == pytest.approx((-np.sort(squares)).tolist(), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_distance_has_no_unit(scale):
    pool, positive = normal(40, 6), normal(3, 6, seed=1)
    plain, scaled = (
        select("mahalanobis", 40, embeddings=pool * by, positives=([0.0] * 3, positive * by))
        for by in (1.0, scale)
    )
    assert plain.ids.tolist() == scaled.ids.tolist()
    assert plain.scores.tolist() == pytest.approx(scaled.scores.tolist())


def test_the_distance_is_euclidean_where_no_embedding_varies():
    pool = tensor([[1.0, 1.0]] * 4)
    selection = select("mahalanobis", 2, embeddings=pool, positives=([0.0], [[4.0, 5.0]]))
    assert selection.ids.tolist() == [0, 1]
    assert selection.scores.tolist() == [-25.0, -25.0]


@pytest.mark.parametrize("name", ["mahalanobis", "false_negative_elimination", "coreset"])
def test_repeated_embeddings_are_ties(name):
    """Of each two equal bags, 100 apart, the first comes first or stays."""
    pool = normal(100, 67, dtype=torch.float32).repeat(2, 1)
    positives = ([0.0] * 3, normal(3, 67, seed=1) + 0.5)
    options = {"share": 0.5} if name == "false_negative_elimination" else {}
    ids = select(name, 60, embeddings=pool, positives=positives, **options).ids.tolist()
    if name == "mahalanobis":
        assert [bag + 100 for bag in ids[::2]] == ids[1::2]
    else:  # 100 bags stay, or no bag is needed twice
        assert all(bag < 100 or bag - 100 in ids for bag in ids)


def test_equal_rows_have_equal_scores_whatever_the_score():
    rows = tensor([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [2.0, 1.0], [1.0, 2.0]])
    scores = iter([tensor([1.0, 2.0, 3.0, 4.0, 5.0])])
    assert embeddings.in_blocks(rows, lambda block: next(scores)).tolist() == [1, 2, 1, 4, 1]


def test_rows_with_equal_weighted_sums_may_differ():
    # 1 * 2 + sqrt(4) * 1 = 1 * 4 + sqrt(4) * 0, with the weights of columns 1 and 4.
    rows = tensor([[2.0, 0, 0, 1.0], [4.0, 0, 0, 0.0]])
    assert embeddings.in_blocks(rows, lambda block: tensor([1.0, 2.0])).tolist() == [1, 2]


@settings(max_examples=100, deadline=None)
@given(
    points=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=25),
    positives=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=4),
    k=st.integers(0, 26),
    few=st.sampled_from([1, 2, 5, 128]),  # candidates at a time
)
def test_each_bag_of_the_core_set_is_the_farthest_from_the_others(points, positives, k, few):
    known = ([0.0] * len(positives), positives)
    with mock.patch.object(coreset, "_FEW", few):
        selection = select("coreset", k, embeddings=tensor(points), positives=known)
    centres, left = list(positives), dict(enumerate(points))
    for bag, score in zip(selection.ids.tolist(), selection.scores.tolist(), strict=True):
        nearest = cdist(list(left.values()), centres).min(1)
        assert bag == list(left)[nearest.argmax()]
        assert score == pytest.approx(nearest.max())
        centres.append(left.pop(bag))


def test_the_core_set_takes_every_distinct_bag_before_a_copy():
    points = normal(30, 20, dtype=torch.float32).repeat(3, 1)
    ids = select("coreset", 90, embeddings=points, positives=([0.0], [[0.0] * 20])).ids
    assert sorted(ids[:30].tolist()) == list(range(30))
    assert ids[30:].tolist() == list(range(30, 90))


def test_the_core_set_of_many_equal_bags_is_the_first_of_them():
    ids = select("coreset", 3, embeddings=torch.ones(300, 2), positives=([0.0], [[0.0, 0.0]])).ids
    assert ids.tolist() == [0, 1, 2]


def test_the_core_set_does_not_compare_equal_bags_again_and_again(monkeypatch):
    compared = []
    plain = coreset.distances

    def counted(points, centres):
        compared.append(len(points) * len(centres))
        return plain(points, centres)

    monkeypatch.setattr(coreset, "distances", counted)
    points = torch.zeros(2000, 3)  # of a network that died, but for ten
    points[::200] = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
    chosen = select("coreset", 1500, embeddings=points, positives=([0.0], [[1.0, 1.0, 1.0]]))
    assert sum(compared) < 20 * len(points)
    assert (chosen.scores[:11] > 0).all()
    assert chosen.scores[11:].tolist() == [0] * 1489
    left = [bag for bag in range(2000) if bag not in chosen.ids[:11]]
    assert chosen.ids[11:].tolist() == left[:1489]


def blobs(sizes):
    """Bags in clusters that point in directions of their own."""
    directions = torch.eye(len(sizes), dtype=torch.float64)
    return [20 * directions[i] + 0.1 * normal(n, len(sizes), seed=i) for i, n in enumerate(sizes)]


def test_clusters_of_positives_are_left_out():
    first, second, third = blobs([10, 12, 14])
    # 4 of 10 positives in the first cluster, 9 of 12 in the second.
    pool = torch.cat([first[:6], second[:3], third])
    positives = ([0.0] * 13, torch.cat([first[6:], second[3:]]))
    logits = torch.arange(23).flip(0).double()

    def chosen(k, positive_share):
        options = {"clusters": 3, "positive_share": positive_share}
        return select("cluster_aware", k, logits, pool, positives, **options).ids.tolist()

    assert chosen(8, 0.5) == [0, 1, 2, 3, 4, 5, 9, 10]
    assert chosen(8, 0.4) == chosen(8, 0.5)  # not more than 4 of 10
    assert chosen(8, 0.3) == list(range(9, 17))
    assert chosen(8, 1.0) == list(range(8))
    # Only 14 bags remain; then those of the cluster with the smaller share of positives.
    assert chosen(17, 0.3) == [0, 1, 2, *range(9, 23)]


def test_lengths_of_embeddings_do_not_make_clusters():
    first, second = blobs([20, 20])
    pool = torch.cat([first * 100, second])
    positives = ([0.0] * 5, first[:5] / 100)
    options = {"clusters": 2, "positive_share": 0.0}
    chosen = select("cluster_aware", 10, torch.zeros(40), pool, positives, **options).ids
    assert chosen.tolist() == list(range(20, 30))
