"""The tables of thresholds and of reliability, from runs that are counted by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from synthetic import write_run

from weakneg.analysis.calibration import RULES, calibrate_scores, calibration_error
from weakneg.training.thresholds import sigmoid

# Validation of both seeds together: + - + - - +, from the highest logit to the lowest.
VALIDATION = {
    0: ([1, 0, 1], [3.0, 2.0, 1.0]),
    1: ([0, 0, 1], [0.0, -1.0, -2.0]),
}


def write_model(folder, validation=VALIDATION):
    kept = {
        seed: {"label": torch.tensor(label, dtype=torch.int8), "logit": torch.tensor(logit)}
        for seed, (label, logit) in validation.items()
    }
    saved = {"class": "cat", "weights": {}} | ({"validation": kept} if kept else {})
    torch.save(saved, folder / "model.pt")


@pytest.fixture
def tables(tmp_path):
    """The tables of a run, whose test bags have the labels 1, 0, 1, 0 for both seeds."""

    def tables(scores=(3.0, 3.0, 1.0, -5.0), **options):
        folder = write_run(tmp_path / "run", scores=list(scores))
        write_model(folder, **options)
        paths = tmp_path / "thresholds.csv", tmp_path / "reliability.csv"
        calibrate_scores([("badge", folder)], *paths)
        return map(pd.read_csv, paths)

    return tables


def test_thresholds_say_what_they_gave_on_validation_and_on_test(tables):
    thresholds, _ = tables()
    assert thresholds.rule.tolist() == [*RULES]
    row = thresholds.set_index("rule").loc["recall:0.8"]
    assert row.threshold == pytest.approx(sigmoid(-2.0))
    assert (row.precision, row.recall) == (0.5, 1.0)
    counts = row[["true_positives", "false_positives", "positives", "negatives"]]
    assert counts.tolist() == [3, 3, 3, 3]
    assert (row.test_precision, row.test_recall) == (pytest.approx(2 / 3), 1.0)
    row = thresholds.set_index("rule").loc["precision:0.9"]
    assert row.threshold == pytest.approx(sigmoid(3.0))
    assert (row.test_precision, row.test_recall) == (0.5, 0.5)
    assert thresholds.calibrated.between(0, 1).all()


def test_a_precision_that_no_threshold_has_is_empty(tables):
    thresholds, _ = tables(validation={0: ([0, 1], [1.0, 0.0])})
    of_rule = thresholds.set_index("rule")
    assert of_rule.loc["precision:0.8"].drop(["class", "strategy"]).isna().all()
    assert of_rule.loc["recall:0.8", "threshold"] == 0.5


def test_reliability_counts_bags_and_positives_by_score(tables):
    _, reliability = tables()
    raw = reliability[reliability.scores == "as scored"]
    assert raw.bin.tolist() == [0, 7, 9]
    assert raw.bags.tolist() == [2, 2, 4]
    assert raw.positive.tolist() == [0, 1, 0.5]
    assert raw.score.tolist() == pytest.approx([*sigmoid(np.array([-5.0, 1.0, 3.0]))])
    assert reliability[reliability.scores == "calibrated"].bags.sum() == 8


def test_runs_of_an_older_version_are_reported_as_scored_only(tables, capsys):
    thresholds, reliability = tables(validation={})
    assert thresholds.empty
    assert set(reliability.scores) == {"as scored"}
    assert "1 of 1 runs were trained by a version that kept no" in capsys.readouterr().err


def test_unknown_test_bags_are_not_counted(tmp_path, tables):
    folder = write_run(tmp_path / "run")
    table = pd.read_parquet(folder / "scores.parquet")
    table.loc[table.bag == 0, "label"] = -1
    table.to_parquet(folder / "scores.parquet")
    write_model(folder)
    calibrate_scores([("badge", folder)], tmp_path / "t.csv", tmp_path / "r.csv")
    assert pd.read_csv(tmp_path / "r.csv").groupby("scores").bags.sum().tolist() == [6, 6]


def test_the_calibration_error_is_the_mean_distance_of_bags():
    bins = pd.DataFrame({"bags": [30, 10], "score": [0.1, 0.9], "positive": [0.2, 0.5]})
    assert calibration_error(bins) == pytest.approx((30 * 0.1 + 10 * 0.4) / 40)
