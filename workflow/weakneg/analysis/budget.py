"""Metrics against the budget, the number of negative bags that an epoch trains on.

Two questions: how few negatives are enough, compared with the full set; and up to which budget does
it matter how they are chosen, compared with the baseline at the same budget?
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from weakneg.analysis.comparison import compare
from weakneg.analysis.intervals import MEAN_OVER_CLASSES, intervals
from weakneg.analysis.metrics import METRICS
from weakneg.analysis.runs import read_epochs, read_run
from weakneg.analysis.study import Study
from weakneg.errors import UserError


def steps_of_runs(runs: Sequence[tuple[str, Path]]) -> pd.DataFrame:
    """Count the steps of the optimiser.

    Parameters
    ----------
    runs : sequence of (str, Path)
        Strategy and folder of each run.

    Returns
    -------
    DataFrame
        Columns class, strategy, seed and steps, of all epochs together.

    Raises
    ------
    UserError
        When a file of a run is missing or damaged.
    """
    found = []
    for strategy, folder in runs:
        record, epochs = read_run(folder), read_epochs(folder)
        try:
            batch_size = record["settings"]["training"]["batch_size"]
        except KeyError as error:
            path = folder / "run.json"
            raise UserError(f"{path} has no key {error}; train this run again.") from None
        so_far = epochs.groupby("seed")["bags_trained"]
        of_epoch = so_far.diff().fillna(epochs["bags_trained"])
        steps = np.ceil(of_epoch / batch_size).groupby(epochs["seed"]).sum().astype(int)
        table = steps.rename("steps").reset_index()
        found.append(table.assign(**{"class": record["class"], "strategy": strategy}))
    return pd.concat(found, ignore_index=True)


def results_by_budget(metrics: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Metrics and cost of every strategy and budget, averaged over classes and seeds.

    Parameters
    ----------
    metrics : DataFrame
        The metrics of the study, as returned by `weakneg.analysis.metrics.select_study`, and the
        column steps.
    study : Study
        A study of budgets.

    Returns
    -------
    DataFrame
        A row for each distinct strategy, budget and metric, smaller budgets first. Columns:

        - strategy, budget: its name in tables and figures, and the negatives per positive; NaN for
          the whole pool
        - metric, classes, seeds
        - bags, steps, seconds: trained on in all epochs, and the time that they took
        - whole_pool: the number of classes whose pool is not larger than the budget
        - mean, low, high: the mean over classes and its 95% interval over seeds
        - difference, difference_low, difference_high: from the baseline at the same budget, with
          the bootstrap interval of `weakneg.analysis.comparison.compare`
        - from_full, from_full_low, from_full_high: the same from the full set

        A difference is NaN where there is nothing to compare with, and its interval for one class.
    """
    found = pd.concat([_of_metric(metrics, study, metric) for metric in METRICS])
    costs = metrics.groupby("strategy")[["bags_trained", "steps", "seconds"]].mean()
    found = found.join(costs.rename(columns={"bags_trained": "bags"}), on="name")
    whole = metrics[metrics["budget"] >= metrics["n_pool"]].groupby("strategy")["class"].nunique()
    found["whole_pool"] = found["name"].map(whole).fillna(0).astype(int)
    order = {strategy: number for number, strategy in enumerate(found["strategy"].unique())}
    found = found.sort_values(
        ["metric", "strategy", "budget"],
        key=lambda each: each.map(order) if each.name == "strategy" else each,
        kind="stable",
    )
    columns = ["strategy", "budget", "metric", "classes", "seeds", "bags", "steps", "seconds"]
    columns += ["whole_pool", "mean", "low", "high"]
    columns += [f"{name}{end}" for name in DIFFERENCES for end in ("", "_low", "_high")]
    return found[columns].reset_index(drop=True)


DIFFERENCES = ("difference", "from_full")


def _of_metric(metrics: pd.DataFrame, study: Study, metric: str) -> pd.DataFrame:
    """The columns that differ between metrics, and the name in results."""
    found = intervals(metrics, metric)
    found = (
        found[found["class"] == MEAN_OVER_CLASSES]
        .set_index("strategy")
        .loc[list(study.distinct)]
        .drop(columns="class")
    )
    found = found.assign(classes=len(study.classes))
    at_same = [
        _differences(metrics, study, names, baseline, metric)
        for baseline, names in _compared(study).items()
    ]
    from_full = _differences(metrics, study, list(study.distinct), study.upper_bound, metric)
    for prefix, table in zip(DIFFERENCES, (pd.concat(at_same), from_full), strict=True):
        found = found.join(table.rename(columns=lambda end, prefix=prefix: f"{prefix}{end}"))
    return (
        found.rename_axis("name")
        .reset_index()
        .assign(
            strategy=[study.joint_name(name) for name in found.index],
            budget=[study.budgets[name] for name in found.index],
        )
        .astype({"budget": float})
    )


def _compared(study: Study) -> dict[str, list[str]]:
    """The baseline at each budget -> the distinct strategies at that budget."""
    of_baseline, budgets = study.display_name(study.baseline), study.budgets
    return {
        first: [other for other in study.distinct if budgets[other] == budgets[first]]
        for first, names in study.distinct.items()
        if of_baseline in map(study.display_name, names)
    }


def _differences(
    metrics: pd.DataFrame, study: Study, names: list[str], baseline: str | None, metric: str
) -> pd.DataFrame:
    """Differences from a strategy: columns "", "_low" and "_high"; empty if it is missing."""
    if baseline is None:
        return pd.DataFrame(columns=["", "_low", "_high"], dtype=float)
    compared = replace(study, strategies=names, baseline=baseline, upper_bound=None)
    table = compare(metrics, compared, metric).set_index("strategy")
    table = table[["difference", "difference_low", "difference_high"]].astype(float)
    table.columns = pd.Index(["", "_low", "_high"])
    table.loc[baseline, ""] = 0.0
    return table


def enough(results: pd.DataFrame) -> dict[str, float | None]:
    """How few negatives are enough.

    Parameters
    ----------
    results : DataFrame
        See `results_by_budget`; of one metric.

    Returns
    -------
    dict
        Strategy -> the smallest budget from which on the interval of its difference from the full
        set reaches zero; None where that of the largest budget does not.
    """
    known = results.dropna(subset=["budget", "from_full_high"])
    return {
        strategy: _from_which_on(rows.set_index("budget")["from_full_high"] >= 0)
        for strategy, rows in known.groupby("strategy", sort=False)
    }


def choice_stops_mattering(results: pd.DataFrame) -> float | None:
    """From which budget on it does not matter how bags are chosen.

    Parameters
    ----------
    results : DataFrame
        See `results_by_budget`; of one metric, with an interval for some difference.

    Returns
    -------
    float, optional
        The smallest budget from which on no strategy differs from the baseline, that is, the
        interval of no difference excludes zero; None if one does at the largest budget.
    """
    known = results.dropna(subset=["budget", "difference_low"])
    differs = (known["difference_low"] > 0) | (known["difference_high"] < 0)
    return _from_which_on(~differs.groupby(known["budget"]).any())


def _from_which_on(holds: pd.Series) -> float | None:
    """The smallest budget such that something holds for it and all larger ones."""
    holds = holds.sort_index()
    always = holds[::-1].cummin()[::-1]
    return float(always.idxmax()) if always.any() else None
