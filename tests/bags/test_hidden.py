"""Hidden positives are drawn by the seed, nested, and nothing else."""

from itertools import pairwise

import numpy as np
import pytest

from weakneg.bags.hidden import hidden_bags

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


def test_the_seed_draws_the_hidden_bags():
    assert np.array_equal(hidden_bags(LABEL, 0.2, 1), hidden_bags(LABEL, 0.2, 1))
    drawn = [tuple(hidden_bags(LABEL, 0.2, seed)) for seed in range(20)]
    assert len(set(drawn)) == 20
    counts = np.bincount(np.concatenate(drawn), minlength=len(LABEL))[LABEL == 1]
    assert counts.max() < 15, "each positive bag is as likely as any other"
