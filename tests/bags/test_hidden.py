"""Hidden positives are drawn by the seed, nested, and nothing else."""

from itertools import pairwise

import numpy as np
import pytest

from weakneg.bags.draw import UNKNOWN, Bags
from weakneg.bags.hidden import hidden_bags, observe
from weakneg.config.strategy import Observed
from weakneg.errors import UserError

LABEL = (np.random.default_rng(0).random(500) < 0.3).astype(int)


@pytest.mark.parametrize("share", [0, 0.05, 0.1, 0.4, 0.9])
def test_the_share_of_the_positives_is_hidden_and_no_negative(share):
    hidden = hidden_bags(LABEL, share, 0)
    assert len(hidden) == round(share * LABEL.sum())
    assert (LABEL[hidden] == 1).all()
    assert (np.diff(hidden) > 0).all()


def test_a_smaller_share_hides_some_of_the_bags_of_a_larger_one():
    shares = [hidden_bags(LABEL, share, 3) for share in (0.05, 0.1, 0.2, 0.4)]
    for smaller, larger in pairwise(shares):
        assert set(smaller) < set(larger)


def test_two_positive_bags_must_be_left():
    with pytest.raises(UserError, match=r"hidden_positives: 0\.9 hides 4 of the 4 positive bags"):
        hidden_bags(np.array([1, 1, 1, 1, 0]), 0.9, 0)


def test_the_seed_draws_the_hidden_bags():
    assert np.array_equal(hidden_bags(LABEL, 0.2, 1), hidden_bags(LABEL, 0.2, 1))
    drawn = [tuple(hidden_bags(LABEL, 0.2, seed)) for seed in range(20)]
    assert len(set(drawn)) == 20
    counts = np.bincount(np.concatenate(drawn), minlength=len(LABEL))[LABEL == 1]
    assert counts.max() < 15, "each positive bag is as likely as any other"


# ---- labels of many classes ----------------------------------------------------------------------
RNG = np.random.default_rng(1)
LABELS = (RNG.random((300, 12)) < 0.25).astype(np.int8)
LABELS[RNG.random(LABELS.shape) < 0.1] = UNKNOWN


def observed(seed=0, **given) -> Bags:
    bags = Bags(np.arange(300), LABELS, np.full(300, np.nan), np.arange(300)[:, None])
    return observe(bags, Observed(**given), seed)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_so_many_positive_labels_of_each_bag_are_seen_and_no_negative(n):
    label = observed(positives=n).label
    assert set(np.unique(label)) == {UNKNOWN, 1}
    assert (LABELS[label == 1] == 1).all()
    assert ((label == 1).sum(1) == np.minimum((LABELS == 1).sum(1), n)).all()


def test_a_share_of_all_labels_is_seen():
    label = observed(share=0.3).label
    assert np.mean(label[LABELS != UNKNOWN] != UNKNOWN) == pytest.approx(0.3, abs=0.03)
    assert np.array_equal(label[label != UNKNOWN], LABELS[label != UNKNOWN])
    assert {*np.unique(label[label != UNKNOWN])} == {0, 1}


def test_all_labels_are_seen_by_default_and_the_truth_stays():
    bags = observed()
    assert np.array_equal(bags.label, LABELS)
    assert np.array_equal(observed(positives=1).truth, LABELS)


def test_what_is_seen_of_fewer_labels_is_seen_of_more():
    for fewer, more in ({"positives": 1}, {"positives": 2}), ({"share": 0.1}, {"share": 0.5}):
        seen = [observed(**each).label != UNKNOWN for each in (fewer, more)]
        assert (seen[1] | ~seen[0]).all()


def test_each_positive_label_of_a_bag_is_as_likely_to_be_the_one():
    row = int(np.argmax((LABELS == 1).sum(1)))
    drawn = [int(np.argmax(observed(seed, positives=1).label[row])) for seed in range(400)]
    classes = np.flatnonzero(LABELS[row] == 1)
    counts = np.array([drawn.count(each) for each in classes])
    assert counts.sum() == 400
    expected = 400 / len(classes)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
