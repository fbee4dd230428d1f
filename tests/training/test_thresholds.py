"""Thresholds and calibration from validation bags, against brute force and what was put in."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from weakneg.errors import UserError
from weakneg.inference.thresholds import calibrated_models
from weakneg.training.thresholds import (
    Point,
    Rule,
    Validation,
    applied,
    read_saved,
    sigmoid,
)

bags = st.lists(st.tuples(st.integers(0, 1), st.integers(-4, 4)), min_size=2, max_size=30).filter(
    lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
)


def validation_of(rows) -> Validation:
    label, logit = zip(*rows, strict=True)
    return Validation(np.array(label), np.array(logit, dtype=float))


@given(bags, st.sampled_from([0.0, 0.3, 0.5, 0.8, 0.9, 1.0]))
def test_a_target_is_reached_at_the_least_cost(rows, target):
    """Checked with scikit-learn's curve, of which the last point has no threshold."""
    kept = validation_of(rows)
    precision, recall, thresholds = precision_recall_curve(kept.label, kept.logit)
    precision, recall = precision[:-1], recall[:-1]
    point = kept.choose(Rule("precision", target))
    enough = (precision >= target) & (recall > 0)
    if enough.any():
        assert point.recall == pytest.approx(recall[enough].max())
        assert point.precision >= target
        assert point.threshold == thresholds[enough & (recall == recall[enough].max())].max()
    else:
        assert point is None
    point = kept.choose(Rule("recall", target))
    assert point.threshold == thresholds[(recall >= target) & (recall > 0)].max()


@given(bags)
def test_no_threshold_has_a_better_f1_or_g_mean(rows):
    kept = validation_of(rows)

    def f1(point: Point) -> float:
        found = point.true_positives + point.false_positives
        return 2 * point.true_positives / (found + point.positives)

    def g_mean(point: Point) -> float:
        return point.recall * (1 - point.false_positives / point.negatives)

    others = [Point.at(threshold, *kept) for threshold in set(kept.logit)]
    for name, measure in (("best-f1", f1), ("best-gmean", g_mean)):
        assert measure(kept.choose(Rule(name))) == pytest.approx(max(map(measure, others)))


def test_calibrated_probabilities_are_the_chances_that_were_put_in():
    """Logits three too high and twice too large, as after training on too few negatives."""
    rng = np.random.default_rng(0)
    chance = rng.normal(-2, 2, 20_000)
    kept = Validation((rng.random(20_000) < sigmoid(chance)).astype(int), 2 * chance + 3)
    found = sigmoid(kept.calibrate().logit(kept.logit))
    np.testing.assert_allclose(found, sigmoid(chance), atol=0.03)


def test_bags_that_are_perfectly_separate_do_not_become_certain():
    kept = Validation(np.array([0, 0, 0, 1, 1]), np.array([-9.0, -8, -7, 8, 9]))
    probabilities = sigmoid(kept.calibrate().logit(kept.logit))
    assert 0.05 < probabilities.min() < probabilities.max() < 0.95
    assert (np.diff(probabilities) > 0).all()


@pytest.mark.parametrize("rule", ["best-f1", "best-gmean", "precision:0.6", "recall:0.6"])
def test_a_calibrated_threshold_detects_the_same_bags(rule):
    rng = np.random.default_rng(0)
    label = np.arange(60) % 3 == 0
    kept = Validation(label.astype(int), rng.normal(size=60) + 2 * label)
    points = [applied(Rule.of(rule), kept, calibrated, "m") for calibrated in (False, True)]
    (raw, as_scored), (probability, calibrated) = points
    assert raw != pytest.approx(probability)
    assert as_scored[1:] == calibrated[1:]


def test_a_score_says_what_it_gives_too():
    kept = Validation(np.array([0, 1, 1]), np.array([0.0, 1.0, -1.0]))
    threshold, point = applied(Rule.of("0.5"), kept, calibrated=False, name="m")
    assert (threshold, point[1:]) == (0.5, (1, 1, 2, 1))
    assert applied(Rule.of("0.5"), None, calibrated=False, name="m") == (0.5, None)


@pytest.mark.parametrize(
    "text", ["best", "best-f1:0.5", "precision", "precision:1.5", "recall:-1", "nan", "2", "f1:0.1"]
)
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError, match=r"must be best-f1, .* a score from 0 to 1, not"):
        Rule.of(text)


def test_a_precision_out_of_reach_and_a_model_without_validation_are_said():
    kept = Validation(np.array([1, 0]), np.array([0.0, 1.0]))
    with pytest.raises(UserError, match=r"^owl: no threshold has a precision of 0\.9"):
        applied(Rule.of("precision:0.9"), kept, calibrated=False, name="owl")
    with pytest.raises(UserError, match=r"kept no validation scores .* threshold best-f1 needs"):
        applied(Rule.of("best-f1"), None, calibrated=False, name="owl")


def test_a_file_gives_the_bags_of_the_seeds_that_are_asked_for(tmp_path):
    kept = {
        seed: {"label": torch.tensor([0, 1], dtype=torch.int8), "logit": torch.tensor([seed, 9.0])}
        for seed in (0, 3)
    }
    torch.save({"class": "owl", "validation": kept, "weights": {}}, tmp_path / "model.pt")
    saved = read_saved(tmp_path / "model.pt")
    assert Validation.of(saved, "owl").logit.tolist() == [0, 9, 3, 9]
    assert Validation.of(saved, "owl", [3]).logit.tolist() == [3, 9]
    torch.save({"weights": {}}, tmp_path / "old.pt")
    assert Validation.of(read_saved(tmp_path / "old.pt"), "owl") is None
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "bad.pt").write_bytes(b"bad")
    for name, message in (
        *(("bad.pt", "damaged or not a model"), ("list.pt", "is not a model")),
        ("none.pt", "is missing"),
    ):
        with pytest.raises(UserError, match=message):
            read_saved(tmp_path / name)


def test_a_class_of_many_has_its_own_bags_without_those_of_unknown_label():
    label = torch.tensor([[1, 0], [0, -1], [1, 1]], dtype=torch.int8)
    kept = {0: {"label": label, "logit": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])}}
    saved = {"classes": ["owl", "wren"], "validation": kept, "weights": {}}
    owl, wren = (Validation.of(saved, name) for name in saved["classes"])
    assert (owl.label.tolist(), owl.logit.tolist()) == ([1, 0, 1], [1, 3, 5])
    assert (wren.label.tolist(), wren.logit.tolist()) == ([0, 1], [2, 6])


def test_a_class_without_validation_bags_of_both_kinds_is_named():
    for label in (0, 1):
        kept = Validation(np.full(3, label), np.arange(3.0))
        with pytest.raises(UserError, match=r"^owl has no validation bags of both kinds"):
            applied(Rule.of("best-f1"), kept, calibrated=False, name="owl")
        assert applied(Rule.of("0.5"), kept, calibrated=False, name="owl")[0] == 0.5


def test_scores_of_a_class_without_validation_bags_of_both_kinds_are_not_calibrated():
    """Whatever the noise of the fit is, every clip would get the same probability."""
    for label in ([0, 0, 0], [1, 1, 1], []):
        kept = Validation(np.array(label, dtype=int), np.arange(len(label), dtype=float))
        model = SimpleNamespace(name=("s", "owl", "bce"), seeds="0", validation=kept)
        with pytest.raises(UserError, match=r"^owl \(s/bce\) has no .* leave out --calibrated"):
            calibrated_models([model])
        for rule in ("best-f1", "0.5"):
            with pytest.raises(UserError, match=r"^owl has no .* score again without --calibrated"):
                applied(Rule.of(rule), kept, calibrated=True, name="owl")


def test_a_point_without_detections_or_positives_has_no_precision_or_recall():
    assert math.isnan(Point.at(9.0, np.array([0, 1]), np.array([0.0, 1.0])).precision)
    assert math.isnan(Point.at(0.0, np.array([0, 0]), np.array([0.0, 1.0])).recall)
