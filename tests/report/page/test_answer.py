"""The answer in words: it says no more than the statistics show."""

import re

import numpy as np
import pandas as pd
import pytest
from synthetic import metrics_of, study_of

from weakneg.analysis.comparison import compare, detectable
from weakneg.report.formatting import MINUS
from weakneg.report.page.answer import answer, answer_of_hidden

GAINS = {"random": 0.0, "badge": 0.05, "margin": -0.05, "entropy": 0.0, "full": 0.02}


def answered(n_classes=12, n_seeds=3, strategies=(*GAINS,), gains=GAINS):
    """The answer of a study in which strategies gain as much over random, up to noise of .01."""
    random = np.random.default_rng(0)
    classes = [f"c{i}" for i in range(n_classes)]
    values = {
        (c, s): 0.5 + gains[s] + random.normal(0, 0.01, n_seeds)
        for c in classes
        for s in strategies
    }
    metrics, study = metrics_of(values), study_of(classes, list(strategies))
    comparisons = pd.concat([compare(metrics, study, metric) for metric in ("ap", "roc_auc")])
    return answer(comparisons, detectable(metrics, study, "ap")[0], study)


def test_what_a_test_over_classes_finds_is_said_with_its_uncertainty():
    found = answered()
    assert found.headline == "BADGE is better than Random"
    first, second, third = found.sentences
    assert re.match(
        r"BADGE has a higher AP .* 12 classes and 3 seeds: \+\.0\d\d \[\+\.\d+, ", first
    )
    assert "Holm-corrected for 3 comparisons: p = .001" in first
    assert f"Margin has a lower AP: {MINUS}.0" in second
    assert "for Entropy, a difference in AP cannot be told" in second
    assert "found four times in five" in third
    assert "training on all negatives (Full set, no budget) differs from Random by +.0" in third


def test_noise_is_no_answer():
    found = answered(gains=dict.fromkeys(GAINS, 0.0))
    assert found.headline == "No difference from Random can be told"
    assert "No strategy is shown to have a higher AP" in found.sentences[0]
    assert found.sentences[1] == "By ROC-AUC, no difference can be told."


@pytest.mark.parametrize("n_classes", [1, 4])
def test_too_few_classes_for_any_result_are_no_answer(n_classes):
    found = answered(n_classes)
    assert found.headline.startswith("Cannot be told from ")
    assert "in general cannot be told" in found.sentences[0]


def test_a_single_seed_is_said_to_hide_the_noise_of_training():
    assert answered(n_seeds=1).sentences[-1].startswith("With 1 seed, the noise of training")


def test_the_upper_bound_alone_and_nothing_at_all_are_answered_too():
    found = answered(strategies=("random", "full"))
    assert found.headline == "Full set is better than Random"
    assert answered(strategies=("random",)).headline == "Nothing to compare"


def test_every_answer_is_at_most_three_sentences():
    for n_classes in (1, 12):
        for strategies in (("random", "badge"), ("random", "full"), (*GAINS,)):
            found = answered(n_classes, strategies=strategies)
            assert 1 <= len(found.sentences) <= 3
            assert all(s[0].isupper() and s.endswith(".") for s in found.sentences)


@pytest.mark.parametrize(("gain", "told"), [(0.1, True), (0.0, False)])
def test_hidden_positives_are_answered_by_how_many_intervals_exclude_zero(gain, told):
    rows = [
        (s, "BCE", share, measure, mean, mean - 0.02, mean + 0.02, 5)
        for s in ("Random", "Margin")
        for share in (0.0, 0.4)
        for measure, mean in (("ap", 0.5), ("ap_difference", gain if s == "Margin" else 0.0))
    ]
    columns = ["strategy", "loss", "hidden", "measure", "mean", "low", "high", "seeds"]
    hidden = {"random": ("Random", "BCE", 0.0), "margin": ("Margin", "BCE", 0.4)}
    study = study_of(["a"], [*hidden], hidden=hidden)
    found = answer_of_hidden(pd.DataFrame(rows, columns=columns), study)
    assert ("1 of 1 combinations are better" in found.headline) == told
    assert ("can be told" in found.headline) != told
