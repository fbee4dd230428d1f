"""Measures of selections: overlap of two strategies, and turnover of one.

Next to each measure is its exact expectation (`expected_...`) for uniformly random choices of the
same sizes from the same pool or candidates:

- jaccard: Jaccard index of the bags that two strategies chose at the same epoch;
- turnover: share of a selection's bags that were not in the previous selection;
- used: share of the pool that has been chosen at least once so far (distinct: number of bags);
- returns: how often a selection's bags had been chosen before, mean over its bags;
- related: share of a selection's bags with a label related to the class, one that implies it or is
  implied by it. A clip labelled "Dog" but not "Animal" lacks the label "Animal".

Where a strategy weights bags, there is also

- effective: Kish's effective number of bags, per bag chosen, as in `Selections`. It is 1 for any
  choice without weights.

In shapes, N is the number of bags in the pool and E that of selections, one per epoch.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import gammaln

from weakneg.analysis.intervals import mean_interval
from weakneg.analysis.selections import ClassBags, Selections
from weakneg.analysis.study import Study

MEASURES = ("turnover", "used", "distinct", "returns", "related")
OVERLAP_COLUMNS = ["strategy_a", "strategy_b", "epoch", "jaccard", "expected_jaccard", "n"]
TURNOVER_COLUMNS = [
    "strategy",
    "epoch",
    *(f"{prefix}{measure}" for measure in MEASURES for prefix in ("", "expected_")),
    "n",
]
EFFECTIVE_COLUMN = "effective"


# ----------------------------------------------------------------------------- one run
def jaccard(a: np.ndarray, b: np.ndarray, candidates: int) -> tuple[np.ndarray, np.ndarray]:
    """Jaccard index of the choices in each row of a and b, and its expectation.

    Parameters
    ----------
    a, b : ndarray, (E, N) bool
        The chosen bags of the pool; no row is empty.
    candidates : int
        Number of bags that a selection is from, as in `Selections`. A strategy that takes the whole
        pool does so anyway.

    Returns
    -------
    index, expected : ndarray, (E,) float64
        The Jaccard index and its expectation for random choices.
    """
    shared = np.count_nonzero(a & b, axis=1)
    size_a, size_b = np.count_nonzero(a, axis=1), np.count_nonzero(b, axis=1)
    expected = [
        expected_jaccard(max(candidates, *sizes), *sizes)
        for sizes in zip(size_a.tolist(), size_b.tolist(), strict=True)
    ]
    return shared / (size_a + size_b - shared), np.array(expected)


@cache
def expected_jaccard(pool: int, a: int, b: int) -> float:
    """Mean Jaccard index of independent uniform choices of a and b bags out of `pool`.

    Notes
    -----
    The number of bags in both is hypergeometric. `scipy.stats.hypergeom` takes half a second for
    choices of 12,000 bags.
    """
    shared = np.arange(max(0, a + b - pool), min(a, b) + 1)
    probability = np.exp(
        _log_binomial(a, shared) + _log_binomial(pool - a, b - shared) - _log_binomial(pool, b)
    )
    return float(np.sum(probability * shared / (a + b - shared)))


def _log_binomial(n: int, k: np.ndarray | int) -> np.ndarray:
    logarithm: np.ndarray = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return logarithm


def turnover(chosen: np.ndarray, related: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The `MEASURES` of a strategy's selections, and their expectations for random choices.

    Parameters
    ----------
    chosen : ndarray, (E, N) bool
        The bags of the pool that each selection chose; no row is empty.
    related : ndarray, (N,) bool, optional
        The bags with a related label, if labels are known.

    Returns
    -------
    dict
        Name of a measure, and "expected_" before it -> ndarray (E,) float64. The turnover of the
        first selection is NaN, and so is `related` if labels are not known.
    """
    pool = chosen.shape[1]
    size = np.count_nonzero(chosen, axis=1)
    new = np.full(len(chosen), np.nan)
    new[1:] = np.count_nonzero(chosen[1:] & ~chosen[:-1], axis=1) / size[1:]
    expected_new = np.full(len(chosen), np.nan)
    expected_new[1:] = 1 - size[:-1] / pool

    times = np.cumsum(chosen, axis=0, dtype=np.int32)  # includes the selection itself
    distinct = np.count_nonzero(times, axis=1)
    expected_used = 1 - np.cumprod(1 - size / pool)

    share = expected_share = np.full(len(chosen), np.nan)
    if related is not None:
        share = np.count_nonzero(chosen[:, related], axis=1) / size
        expected_share = np.full(len(chosen), related.mean())
    return {
        "turnover": new,
        "expected_turnover": expected_new,
        "used": distinct / pool,
        "expected_used": expected_used,
        "distinct": distinct.astype(np.float64),
        "expected_distinct": pool * expected_used,
        "returns": (times * chosen).sum(axis=1) / size - 1,
        "expected_returns": (np.cumsum(size) - size) / pool,
        "related": share,
        "expected_related": expected_share,
    }


# ----------------------------------------------------------------------------- all runs
def overlaps(selections: Mapping[str, Selections]) -> Iterator[dict[str, Any]]:
    """Overlap of every two strategies, at the epochs at which both chose.

    Parameters
    ----------
    selections : mapping
        Strategy -> what it chose for a class and a seed.

    Yields
    ------
    dict
        A frame for `by_training`.
    """
    for (name_a, a), (name_b, b) in itertools.combinations(selections.items(), 2):
        epoch, in_a, in_b = np.intersect1d(a.epoch, b.epoch, return_indices=True)
        index, expected = jaccard(a.chosen[in_a], b.chosen[in_b], a.candidates)
        yield {
            "strategy_a": name_a,
            "strategy_b": name_b,
            "epoch": epoch,
            "jaccard": index,
            "expected_jaccard": expected,
        }


def turnovers(selections: Mapping[str, Selections], bags: ClassBags) -> Iterator[dict[str, Any]]:
    """Turnover of every strategy.

    Parameters
    ----------
    selections : mapping
        Strategy -> what it chose for a class and a seed.
    bags : ClassBags
        The bags of the class.

    Yields
    ------
    dict
        A frame for `by_training`.
    """
    for strategy, each in selections.items():
        related = None if bags.related is None else bags.related[each.pool]
        measures = turnover(each.chosen, related)
        effective = 1.0 if each.effective is None else each.effective
        yield {"strategy": strategy, "epoch": each.epoch, **measures, EFFECTIVE_COLUMN: effective}


def by_training(
    frames: Sequence[Mapping[str, Any]], columns: Sequence[str], study: Study
) -> pd.DataFrame:
    """Combine frames into a table with one row per class, seed and epoch.

    Parameters
    ----------
    frames : sequence of mapping
        "class", "seed" and all `columns` except "n" -> ndarray (E,), or one value for all epochs.
    columns : sequence of str
        `OVERLAP_COLUMNS` or `TURNOVER_COLUMNS`.
    study : Study
        The study, whose order the strategies get.

    Returns
    -------
    DataFrame
        The rows of all frames.
    """
    names = ["class", "seed", *(name for name in columns if name != "n")]
    if not frames:
        return pd.DataFrame(columns=names, dtype=np.float64)
    table = pd.DataFrame(
        {
            name: np.concatenate(
                [np.broadcast_to(frame[name], frame["epoch"].shape) for frame in frames]
            )
            for name in names
        }
    )
    in_order = pd.CategoricalDtype(list(study.distinct), ordered=True)
    return table.astype({name: in_order for name in names if name.startswith("strategy")})


def over_trainings(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Means over classes and seeds at each epoch.

    Parameters
    ----------
    table : DataFrame
        The result of `by_training`.
    columns : sequence of str
        `OVERLAP_COLUMNS` or `TURNOVER_COLUMNS`.

    Returns
    -------
    DataFrame
        The columns named; n is the number of pairs of class and seed in a mean.
    """
    keys = list(columns[: columns.index("epoch") + 1])
    groups = table.groupby(keys, observed=True)
    means = groups.mean(numeric_only=True).assign(n=groups.size())
    return means.reset_index()[list(columns)]


def over_epochs_and_at_the_end(by_strategy: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Measures of each strategy, averaged over classes and seeds.

    Parameters
    ----------
    by_strategy : DataFrame
        The turnovers as a result of `by_training`.

    Returns
    -------
    over_epochs, last : DataFrame
        Means over all epochs, and the measures at the last epoch, indexed by strategy.
    """
    trainings = by_strategy.groupby(["strategy", "class", "seed"], observed=True)
    over_epochs = trainings.mean(numeric_only=True).groupby("strategy", observed=True).mean()
    last = trainings.tail(1).groupby("strategy", observed=True).mean(numeric_only=True)
    return over_epochs, last


def enrichment(of_strategy: pd.DataFrame) -> tuple[float, float] | None:
    """Ratio of the share of chosen bags with a related label to their share in the pool.

    Parameters
    ----------
    of_strategy : DataFrame
        The turnovers of a strategy as a result of `by_training`.

    Returns
    -------
    tuple of float, or None
        The ratio of the means over classes, averaged over seeds, and the half-width of its 95%
        interval, NaN for a single seed. None if no bag of the pool has such a label.
    """
    means = of_strategy.groupby(["seed", "class"])[["related", "expected_related"]].mean()
    shares = means.groupby("seed").mean()
    if shares.empty or (shares["expected_related"] == 0).any():
        return None
    mean, _, high = mean_interval(shares["related"] / shares["expected_related"])
    return mean, high - mean
