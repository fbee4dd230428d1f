"""The ranking of suspects, by hand."""

import numpy as np
import pytest
from scipy.special import expit

from weakneg.analysis.suspects import TOP, precision, suspects
from weakneg.analysis.truth import Judged


def test_negatives_are_ranked_by_the_mean_probability_of_the_models():
    # Bag 0 is positive. Odds of 1 and 3 are probabilities of 0.5 and 0.75.
    found = suspects(np.log([[9.0, 1.0, 3.0], [9.0, 1.0, 1.0]]), np.array([1, 0, 0]))
    assert found.row.tolist() == [2, 1]
    assert found.probability == pytest.approx([(0.75 + 0.5) / 2, 0.5])
    assert found.in_top.tolist() == [1, 1]


def test_high_scores_are_told_apart():
    assert suspects(np.array([[30.0, 31.0, 29.0]]), np.zeros(3)).row.tolist() == [1, 0, 2]


def test_a_bag_of_unknown_label_is_a_suspect_too():
    assert suspects(np.array([[3.0, 2.0, 1.0]]), np.array([1, -1, 0])).row.tolist() == [1, 2]


def test_a_model_says_nothing_about_bags_that_it_trained_on():
    nan = np.nan
    scores = np.array([[nan, 2.0, 1.0, nan], [3.0, nan, 2.0, nan]])
    found = suspects(scores, np.zeros(4))
    assert found.row.tolist() == [0, 1, 2]  # 3 is unknown to all models
    assert found.probability == pytest.approx(expit([3, 2, 1.5]), abs=0.02)


def test_the_share_of_models_of_which_it_is_among_the_top():
    scores = np.arange(TOP + 1.0)
    found = suspects(np.stack([scores, -scores]), np.zeros(TOP + 1))
    shares = dict(zip(found.row, found.in_top, strict=True))
    assert (shares[0], shares[TOP], shares[50]) == (0.5, 0.5, 1)


def test_precision_is_over_the_suspects_that_people_listened_to():
    found = suspects(np.array([[5.0, 4.0, 3.0, 2.0, 1.0]]), np.zeros(5))
    # Nobody listened to 1, and 2 has a label that means the same.
    judged = Judged(
        row=np.array([0, 2, 3, 4]),
        labelled=np.array([False, True, False, False]),
        heard=np.array([True, True, False, True]),
        known=np.array([True, True, True, False]),
    )
    assert precision(found, judged, (1, 2, 50)) == pytest.approx([1, 1 / 2, 2 / 3, 2 / 3])
