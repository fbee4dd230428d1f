"""Thresholds from the validation bags, and whether scores are the chances that they seem to be."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from weakneg.analysis.runs import read_parquet
from weakneg.bags.draw import UNKNOWN
from weakneg.io.csv import write_frame
from weakneg.stages import StrategyRun, stage
from weakneg.training.thresholds import Point, Rule, Validation, read_saved, sigmoid

RULES = (
    *("best-f1", "best-gmean"),
    *("precision:0.8", "precision:0.9", "recall:0.8", "recall:0.9"),
)
N_BINS = 10
THRESHOLDS = [
    *("class", "strategy", "rule", "threshold", "calibrated", "precision", "recall"),
    *(*Point._fields[1:], "test_precision", "test_recall"),
]
RELIABILITY = ["strategy", "scores", "bin", "bags", "score", "positive"]
RAW, CALIBRATED = "as scored", "calibrated"  # values of the column scores


@stage
def calibrate_scores(runs: list[StrategyRun], thresholds: Path, reliability: Path) -> None:
    """Write the thresholds of all models, and how often bags with a given score are positive.

    Parameters
    ----------
    runs : list of (str, Path)
        Strategy and folder of each run, for all classes.
    thresholds : Path
        CSV file to write, with the columns `THRESHOLDS`: for each class, strategy and rule the
        score from which on a bag is detected (empty where no threshold has the precision), the same
        as a calibrated probability, and what it gives on the validation bags and on the test bags.
    reliability : Path
        CSV file to write, with the columns `RELIABILITY`: for each strategy and bin of scores, over
        classes and seeds, the number of test bags, their mean score, and the share of positives.

    Raises
    ------
    UserError
        When a file of a run is missing or damaged.
    """
    rows: list[dict[str, Any]] = []
    scored: list[pd.DataFrame] = []
    old = 0
    for strategy, folder in runs:
        saved = read_saved(folder / "model.pt")
        validation = Validation.of(saved, saved["class"])
        test = read_parquet(folder / "scores.parquet")
        test = test[test["label"] != UNKNOWN]
        label, logit = test["label"].to_numpy(np.int64), test["score"].to_numpy()
        probabilities = {RAW: sigmoid(logit)}
        if validation is None:
            old += 1
        else:
            key = {"class": saved["class"], "strategy": strategy}
            rows += [key | row for row in _thresholds(validation, label, logit)]
            probabilities[CALIBRATED] = sigmoid(validation.calibrate().logit(logit))
        scored += [
            pd.DataFrame({"strategy": strategy, "scores": name, "score": each, "positive": label})
            for name, each in probabilities.items()
        ]
    if old:
        print(
            f"{old} of {len(runs)} runs were trained by a version that kept no validation scores: "
            f"{thresholds.name} lacks them, and they are not calibrated.",
            file=sys.stderr,
        )
    write_frame(thresholds, pd.DataFrame(rows, columns=THRESHOLDS))
    write_frame(reliability, _reliability(pd.concat(scored)))


def _thresholds(
    validation: Validation, label: np.ndarray, logit: np.ndarray
) -> list[dict[str, Any]]:
    """The thresholds of a run, and what they give on its test bags, over its seeds."""
    calibration, rows = validation.calibrate(), []
    for rule in RULES:
        point = validation.choose(Rule.of(rule))
        row: dict[str, Any] = {"rule": rule}
        if point is not None:
            test = Point.at(point.threshold, label, logit)
            row |= {
                **point._asdict(),
                "threshold": sigmoid(point.threshold),
                "calibrated": sigmoid(calibration.logit(point.threshold)),
                "precision": point.precision,
                "recall": point.recall,
                "test_precision": test.precision,
                "test_recall": test.recall,
            }
        rows.append(row)
    return rows


def _reliability(scored: pd.DataFrame) -> pd.DataFrame:
    """Bins of equal width, without those that are empty."""
    places = np.minimum((scored["score"] * N_BINS).astype(int), N_BINS - 1)
    groups = scored.assign(bin=places).groupby(["strategy", "scores", "bin"], sort=False)
    table = groups.agg(
        bags=("score", "size"), score=("score", "mean"), positive=("positive", "mean")
    )
    order = {name: number for number, name in enumerate(scored["strategy"].unique())}
    table = table.reset_index().sort_values(
        ["strategy", "scores", "bin"],
        key=lambda column: column.map(order) if column.name == "strategy" else column,
    )
    return table[RELIABILITY]


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error: the mean distance of scores from the share of positives.

    Parameters
    ----------
    bins : DataFrame
        Rows of the table of reliability, for a strategy and either kind of scores.

    Returns
    -------
    float
        From 0 to 1.

    References
    ----------
    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017), equation 3.
    """
    apart = (bins["score"] - bins["positive"]).abs()
    return float((apart * bins["bags"]).sum() / bins["bags"].sum())
