"""Comparisons of the strategies with the baseline and with each other, over the classes of a study.

A class is the unit of every test. Its value is the mean over seeds; a comparison with the baseline
is paired by seed, because runs of one seed share their bags, their validation split and their
initial weights. Strategies that share a run are one hypothesis and have one row (`Study.distinct`).
Tests take classes as independent, which classes that share their bags are only roughly.

Sources: Demsar (2006), "Statistical comparisons of classifiers over multiple data sets", JMLR 7
(sign test, Wilcoxon, Friedman, Nemenyi); Holm (1979), Scand. J. Statist. 6; Davison and Hinkley
(1997), "Bootstrap methods and their application", section 3.8 (resampling at two levels).
"""

import numpy as np
import pandas as pd
from scipy.stats import (
    binom,
    binomtest,
    friedmanchisquare,
    rankdata,
    studentized_range,
    wilcoxon,
)

from weakneg.analysis.intervals import CONFIDENCE, mean_interval
from weakneg.analysis.runs import SECONDS
from weakneg.analysis.study import Study

DRAWS = 10_000  # of the bootstrap
SMALLEST_GROUP, MOST_GROUPS = 6, 5  # of classes of neighbouring size


def paired_differences(metrics: pd.DataFrame, study: Study, metric: str) -> pd.DataFrame:
    """Difference to the baseline per class and strategy, with its interval over seeds.

    Returns columns strategy, class, n_positive, prevalence, baseline, metric, difference, low,
    high, seeds, verdict, clear, in the order of the study. The verdict is "better" or "worse" by
    the sign of the mean difference and "tie" when it is exactly zero; `clear` says that the 95%
    Student-t interval excludes zero (never with a single seed). The frame is empty when the study
    has nothing but the baseline. Expects a complete grid (`weakneg.analysis.metrics.select_study`).
    """
    strategies, differences = _differences(metrics, study, metric)
    sizes = class_sizes(metrics).loc[study.classes]
    rows = []
    for strategy, of_strategy in zip(strategies, differences, strict=True):
        mean = _over_seeds(of_strategy)
        _, low, high = mean_interval(of_strategy.T)
        rows.append(
            pd.DataFrame(
                {
                    "strategy": strategy,
                    "class": study.classes,
                    "n_positive": sizes["n_positive"].to_numpy(),
                    "prevalence": sizes["prevalence"].to_numpy(),
                    "baseline": study.baseline,
                    "metric": metric,
                    "difference": mean,
                    "low": low,
                    "high": high,
                    "seeds": of_strategy.shape[1],
                    "verdict": np.select([mean > 0, mean < 0], ["better", "worse"], "tie"),
                    "clear": (low > 0) | (high < 0),
                }
            )
        )
    columns = ["strategy", "class", "n_positive", "prevalence", "baseline", "metric"]
    columns += ["difference", "low", "high", "seeds", "verdict", "clear"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def compare(metrics: pd.DataFrame, study: Study, metric: str) -> pd.DataFrame:
    """Each strategy against the baseline over all classes (Fig. 1 of the paper, with statistics).

    Returns one row per strategy, in the order of the study; empty when the study has nothing but
    the baseline. D is the difference of a class, averaged over seeds. Columns:

    strategy, same_as     the strategy; those that share its run, separated by spaces
    metric, classes, seeds
    wins, ties, losses    classes with D > 0, D = 0, D < 0
    clear_wins, clear_losses   those whose interval over seeds excludes zero
    wins_low, wins_high   95% bootstrap interval of the wins
    difference, difference_low, difference_high    mean of D, and its 95% bootstrap interval
    sign_p                two-sided exact sign test, ties left out
    wilcoxon_p            two-sided Wilcoxon signed-rank test, ties (D = 0) left out; exact up to 50
                          classes of different |D|
    sign_p_holm, wilcoxon_p_holm   Holm-corrected over the strategies, for this metric. The upper
                          bound is no competitor: it is not counted there, and has NaN

    A bootstrap draw takes classes with replacement and then, in each, seeds with replacement; draws
    are the same for all strategies. The noise of the seeds so counts twice, as noise of the classes
    that were observed and as noise in drawing from them: intervals are rather too wide than too
    narrow, and that of the wins is drawn towards half of the classes. In simulations of 40 classes
    and 5 seeds with normal noise, the intervals of the mean covered the truth 92 to 99 times of
    100, those of the wins 96 to 98 times (86 where 98% of the classes are won); the interval of the
    mean of 10 classes 89 to 98 times, of 4 classes 79 to 97 times. With one class there is no
    interval (NaN).
    """
    strategies, differences = _differences(metrics, study, metric)
    clear = paired_differences(metrics, study, metric).query("clear")
    rows = []
    for strategy, of_strategy, (mean_bounds, win_bounds) in zip(
        strategies, differences, _bootstrap_intervals(differences), strict=True
    ):
        difference = _over_seeds(of_strategy)
        wins, losses = int((difference > 0).sum()), int((difference < 0).sum())
        verdicts = clear.loc[clear["strategy"] == strategy, "verdict"]
        rows.append(
            {
                "strategy": strategy,
                "same_as": _same_as(study, strategy),
                "metric": metric,
                "classes": len(difference),
                "seeds": of_strategy.shape[1],
                "wins": wins,
                "clear_wins": int((verdicts == "better").sum()),
                "wins_low": win_bounds[0],
                "wins_high": win_bounds[1],
                "ties": len(difference) - wins - losses,
                "losses": losses,
                "clear_losses": int((verdicts == "worse").sum()),
                "difference": difference.mean(),
                "difference_low": mean_bounds[0],
                "difference_high": mean_bounds[1],
                "sign_p": _sign_test(wins, losses),
                "wilcoxon_p": _wilcoxon(difference),
            }
        )
    columns = ["strategy", "same_as", "metric", "classes", "seeds", "wins", "clear_wins"]
    columns += ["wins_low", "wins_high", "ties", "losses", "clear_losses"]
    columns += ["difference", "difference_low", "difference_high", "sign_p", "wilcoxon_p"]
    table = pd.DataFrame(rows, columns=columns)
    competes = table["strategy"] != study.upper_bound
    for p in ("sign_p", "wilcoxon_p"):
        table[f"{p}_holm"] = np.nan
        table.loc[competes, f"{p}_holm"] = holm(table.loc[competes, p].to_numpy())
    return table


def size_trend(metrics: pd.DataFrame, study: Study, metric: str) -> pd.DataFrame:
    """Mean difference to the baseline in groups of classes of neighbouring size, per strategy.

    The classes, by their positive training bags, are cut into groups as equal in number as can be,
    of at least `SMALLEST_GROUP` classes and at most `MOST_GROUPS` of them. Returns columns
    strategy, metric, smallest, largest (positive training bags), classes, difference, low, high,
    with the 95% Student-t interval over the classes of the group.
    """
    table = paired_differences(metrics, study, metric)
    n_groups = min(MOST_GROUPS, max(1, len(study.classes) // SMALLEST_GROUP))
    rows = []
    for strategy, of_strategy in table.groupby("strategy", sort=False):
        by_size = of_strategy.sort_values("n_positive", kind="stable")
        for positions in np.array_split(np.arange(len(by_size)), n_groups):
            group = by_size.iloc[positions]
            ends = group["n_positive"].iloc[[0, -1]]
            bounds = mean_interval(group["difference"].to_numpy())
            rows.append((strategy, metric, *ends, len(group), *bounds))
    columns = ["strategy", "metric", "smallest", "largest", "classes", "difference", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def average_ranks(metrics: pd.DataFrame, study: Study, metric: str) -> pd.DataFrame:
    """Average rank over classes of the baseline and its competitors, 1 being the best.

    The upper bound is not ranked. Returns columns strategy, metric, classes, average_rank,
    friedman, friedman_p, critical_difference, best first. With k strategies and N classes:

    - friedman, friedman_p: Friedman's chi-squared and its asymptotic p; NaN for fewer than three
      strategies or two classes, p = 1 when all strategies are equal on every class;
    - critical_difference: Nemenyi's, q sqrt(k (k + 1) / (6 N)), where q is the .95 quantile of the
      studentized range of k groups, divided by sqrt(2) (Demsar 2006, section 3.2.2); two average
      ranks that differ by less are not told apart. NaN for a single strategy.
    """
    strategies = study.competitors
    values = _over_seeds(_grid(metrics, study, strategies, metric)).T  # (classes, strategies)
    n, k = values.shape
    statistic, p = np.nan, np.nan
    if k >= 3 and n >= 2:
        all_equal = (values == values[:, :1]).all()
        statistic, p = (0.0, 1.0) if all_equal else friedmanchisquare(*values.T)
    quantile = studentized_range.ppf(CONFIDENCE, k, np.inf) / np.sqrt(2) if k >= 2 else np.nan
    table = pd.DataFrame(
        {
            "strategy": strategies,
            "metric": metric,
            "classes": n,
            "average_rank": rankdata(-values, axis=1).mean(axis=0),
            "friedman": statistic,
            "friedman_p": p,
            "critical_difference": quantile * np.sqrt(k * (k + 1) / (6 * n)),
        }
    )
    return table.sort_values("average_rank", kind="stable", ignore_index=True)


def costs(metrics: pd.DataFrame, study: Study) -> pd.DataFrame:
    """What each strategy costs and gains, per seed and class on average, in the order of the study.

    Returns columns strategy, same_as, ap, difference, difference_low, difference_high,
    bags_trained, seconds, seconds_scoring, seconds_selecting, seconds_training,
    seconds_evaluating, devices. The difference in AP to the baseline has the bootstrap interval of
    `compare` (NaN for the baseline, whose difference is zero); `devices` are the machines that the
    seconds were taken on, separated by "; ".
    """
    numbers = ["ap", "bags_trained", "seconds", *SECONDS]
    means = metrics.groupby("strategy")[numbers].mean()
    devices = metrics.groupby("strategy")["device"].agg(lambda names: "; ".join(sorted(set(names))))
    table = means.loc[list(study.distinct)].join(devices.rename("devices"))
    table.insert(0, "same_as", [_same_as(study, strategy) for strategy in study.distinct])
    gains = compare(metrics, study, "ap").set_index("strategy")
    for position, column in enumerate(("difference", "difference_low", "difference_high"), start=2):
        table.insert(position, column, gains[column].reindex(table.index))
    if study.baseline in table.index:
        table.loc[study.baseline, "difference"] = 0.0
    return table.reset_index()


def class_sizes(metrics: pd.DataFrame) -> pd.DataFrame:
    """Per class: n_positive, positive training bags; prevalence, share of positive test bags."""
    by_class = metrics.groupby("class", sort=False)
    sizes = by_class[["n_positive", "test_positive", "test_bags"]].mean()
    return sizes.assign(prevalence=sizes["test_positive"] / sizes["test_bags"])


def chance_range(classes: int) -> tuple[int, int]:
    """Fewest and most wins among the central 95% of what as many tosses of a fair coin give."""
    low, high = binom.interval(CONFIDENCE, classes, 0.5)
    return int(low), int(high)


def chance_of_two_fifths(classes: int) -> tuple[int, float]:
    """The least number of wins that is 40% of the classes, and how often tosses give as many.

    The paper's conclusion is that all strategies "have improved in at least 40% of the classes"; of
    40 classes, 16 or more wins come from fair coins 92% of the time.
    """
    wins = -(-2 * classes // 5)
    return wins, float(binom.sf(wins - 1, classes, 0.5))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm's correction: p of rank i among m becomes max over j <= i of (m - j + 1) p_j, or 1."""
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1)[np.argsort(order)]


def _differences(metrics: pd.DataFrame, study: Study, metric: str) -> tuple[list[str], np.ndarray]:
    """The strategies to compare, and their differences to the baseline (strategy, class, seed)."""
    others = [s for s in study.distinct if s != study.baseline]
    if study.baseline not in study.distinct:
        others = []
    values = _grid(metrics, study, [study.baseline, *others] if others else [], metric)
    return others, values[1:] - values[:1]


def _same_as(study: Study, strategy: str) -> str:
    """The other strategies of its run, separated by spaces."""
    return " ".join(other for other in study.distinct[strategy] if other != strategy)


def _grid(metrics: pd.DataFrame, study: Study, strategies: list[str], metric: str) -> np.ndarray:
    """The values of a metric as an array (strategy, class, seed)."""
    columns = pd.MultiIndex.from_product([strategies, study.classes])
    table = metrics.pivot(index="seed", columns=["strategy", "class"], values=metric)
    seeds_last: np.ndarray = table.reindex(columns=columns).to_numpy().T
    return seeds_last.reshape(len(strategies), len(study.classes), len(table))


def _over_seeds(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis, without the digits that rounding makes: ties are ties."""
    means: np.ndarray = values.mean(axis=-1).round(12)
    return means


def _bootstrap_intervals(differences: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Per strategy, the 95% percentile intervals of the mean difference and of the wins."""
    _, n_classes, n_seeds = differences.shape
    if n_classes == 1:
        return [(np.full(2, np.nan), np.full(2, np.nan))] * len(differences)
    generator = np.random.default_rng(0)
    classes = generator.integers(n_classes, size=(DRAWS, n_classes, 1))
    seeds = generator.integers(n_seeds, size=(DRAWS, n_classes, n_seeds))
    bounds = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    found = []
    for of_strategy in differences:
        drawn = _over_seeds(of_strategy[classes, seeds])  # (draws, classes)
        wins = (drawn > 0).sum(axis=1)
        found.append(
            (
                np.quantile(drawn.mean(axis=1), bounds),
                np.quantile(wins, bounds, method="inverted_cdf"),  # bounds that are counts
            )
        )
    return found


def _sign_test(wins: int, losses: int) -> float:
    return float(binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0


def _wilcoxon(difference: np.ndarray) -> float:
    difference = difference[difference != 0]
    return float(wilcoxon(difference).pvalue) if len(difference) else 1.0
