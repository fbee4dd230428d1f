"""Means and their 95% Student-t intervals over seeds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

MEAN_OVER_CLASSES = "mean over classes"
CONFIDENCE = 0.95


def mean_interval(values: np.ndarray | Sequence[float]) -> tuple[Any, Any, Any]:
    """Mean and 95% Student-t interval over the first axis.

    Parameters
    ----------
    values : array_like, (n,) or (n, ...)
        The values, one for each seed.

    Returns
    -------
    mean, low, high : float or ndarray, (...) float64
        Floats for values (n,). With a single value the bounds are NaN: one seed says nothing about
        the spread.
    """
    values = np.asarray(values, dtype=np.float64)
    n = len(values)
    mean = values.mean(axis=0)
    if n > 1:
        half = stdtrit(n - 1, (1 + CONFIDENCE) / 2) * values.std(axis=0, ddof=1) / np.sqrt(n)
    else:
        half = np.full_like(mean, np.nan)
    if values.ndim == 1:
        return float(mean), float(mean - half), float(mean + half)
    return mean, mean - half, mean + half


def intervals(metrics: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean and interval over seeds for each class and strategy, then for the mean over classes.

    The mean over classes is first taken for each seed, so that its interval is over seeds and not
    over classes.

    Parameters
    ----------
    metrics : DataFrame
        The metrics of a study, as returned by `weakneg.analysis.metrics.select_study`.
    metric : str
        Column of `metrics`, such as "ap".

    Returns
    -------
    DataFrame
        Columns class, strategy, metric, mean, low, high, seeds; the mean over classes has the class
        name `MEAN_OVER_CLASSES`.
    """
    over_classes = metrics.groupby(["strategy", "seed"], sort=False)[metric].mean().reset_index()
    over_classes.insert(0, "class", MEAN_OVER_CLASSES)
    rows = []
    for table in (metrics, over_classes):
        for (class_name, strategy), group in table.groupby(["class", "strategy"], sort=False):
            mean, low, high = mean_interval(group[metric])
            rows.append((class_name, strategy, metric, mean, low, high, len(group)))
    return pd.DataFrame(
        rows, columns=["class", "strategy", "metric", "mean", "low", "high", "seeds"]
    )
