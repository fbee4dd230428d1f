"""Metrics of rankings are those of scikit-learn, and thresholds are the best."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, recall_score, roc_auc_score

from weakneg.training.ranking import best_thresholds, ranking_metrics, tied_at_the_ends

ranked_bags = st.lists(
    st.tuples(st.booleans(), st.sampled_from([-1e30, -1.0, 0.0, 0.1, 0.25, 3.0, 1e30])),
    min_size=2,
    max_size=30,
).filter(lambda bags: len({label for label, _ in bags}) == 2)


@hypothesis_settings(max_examples=200, deadline=None)
@given(ranked_bags)
def test_no_other_threshold_has_a_better_f1_or_g_mean(bags):
    label, score = np.array([b[0] for b in bags], dtype=int), np.array([b[1] for b in bags])

    def g_mean(label, called):
        recalls = recall_score(label, called, average=None, labels=[0, 1])
        return math.sqrt(recalls[0] * recalls[1])

    for name, measure in {"f1": f1_score, "g_mean": g_mean}.items():
        threshold = best_thresholds(label, score)[name]
        values = {v: round(measure(label, score >= v), 12) for v in np.unique(score)}
        assert values[threshold] == pytest.approx(max(values.values()))
        higher = [value for other, value in values.items() if other > threshold]
        assert all(value < values[threshold] for value in higher)


@hypothesis_settings(max_examples=200, deadline=None)
@given(ranked_bags)
def test_ranking_metrics_are_those_of_scikit_learn(bags):
    label, score = np.array([b[0] for b in bags], dtype=int), np.array([b[1] for b in bags])
    ap, roc_auc = ranking_metrics(label, score)
    assert ap == pytest.approx(average_precision_score(label, score), abs=1e-12)
    assert roc_auc == pytest.approx(roc_auc_score(label, score), abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "highest", "lowest"),
    [
        ([1.0, 2.0, 3.0], 0, 0),
        ([3.0, 1.0, 3.0, 2.0, 3.0], 3, 0),
        ([0.5, 0.5, 7.0], 0, 2),
        ([4.0], 0, 0),
    ],
)
def test_bags_that_share_the_highest_or_the_lowest_score_are_counted(scores, highest, lowest):
    assert tied_at_the_ends(np.array(scores)) == {"highest": highest, "lowest": lowest}
