"""Comparisons of the strategies with the baseline and with each other, over the classes of a study.

The unit of every test is a class. Its value is the mean over seeds; a comparison with the baseline
is paired by seed, because runs with the same seed share their bags, validation split and initial
weights. Strategies that share a run are one hypothesis and have one row (`Study.distinct`). The
tests assume independent classes, which holds only roughly for classes that share their bags.

References
----------
Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006): sign test,
Wilcoxon, Friedman, Iman-Davenport, Nemenyi and Bonferroni-Dunn tests.

Holm, Scand. J. Statist. 6 (1979): correction for multiple tests.

Davison and Hinkley, "Bootstrap methods and their application" (1997), section 3.8: resampling at
two levels.
"""

from functools import cache

import numpy as np
import pandas as pd
import scipy  # loads its submodules when they are first used; scipy.stats takes half a second

from weakneg.analysis.intervals import CONFIDENCE, mean_interval
from weakneg.analysis.metrics import TIED
from weakneg.analysis.runs import SECONDS
from weakneg.analysis.study import Study

DRAWS = 10_000  # bootstrap samples
POWER = 0.8
FEWEST_FOR_F = 6
SMALLEST_GROUP, MOST_GROUPS = 6, 5  # groups of classes of similar size


def paired_differences(metrics: pd.DataFrame, study: Study, metric: str) -> pd.DataFrame:
    """Difference from the baseline per class and strategy, with its interval over seeds.

    Parameters
    ----------
    metrics : DataFrame
        The metrics of the study, as returned by `weakneg.analysis.metrics.select_study`.
    study : Study
        The study.
    metric : str
        Column of `metrics`, such as "ap".

    Returns
    -------
    DataFrame
        Columns strategy, class, n_positive, prevalence, baseline, metric, difference, low, high,
        seeds, verdict, clear, in the order of the study; empty if the baseline is the only
        strategy. `low` and `high` are the 95% Student-t interval over seeds, and `clear` says
        whether it excludes zero (never with a single seed). `verdict` is "better" or "worse" by the
        sign of the mean difference, and "tie" if it is exactly zero.
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

    Parameters
    ----------
    metrics : DataFrame
        The metrics of the study, as returned by `weakneg.analysis.metrics.select_study`.
    study : Study
        The study.
    metric : str
        Column of `metrics`, such as "ap".

    Returns
    -------
    DataFrame
        One row per strategy, in the order of the study; empty if the baseline is the only
        strategy. D is the difference for a class, averaged over seeds. Columns:

        - strategy, same_as: the strategy; those that share its run, separated by spaces
        - metric, classes, seeds
        - wins, ties, losses: classes with D > 0, D = 0, D < 0
        - clear_wins, clear_losses: those whose interval over seeds excludes zero
        - wins_low, wins_high: 95% bootstrap interval of the wins
        - difference, difference_low, difference_high: mean of D and its 95% bootstrap interval
        - sign_p: two-sided exact sign test without ties
        - wilcoxon_p: two-sided Wilcoxon signed-rank test without ties (D = 0); exact up to 50
          classes with distinct |D|
        - sign_p_holm, wilcoxon_p_holm: corrected by Holm's method over the competitors, for this
          metric; NaN for the upper bound, which does not compete

    Notes
    -----
    A bootstrap sample draws classes with replacement and then, in each, seeds with replacement; all
    strategies use the same samples. The noise of the seeds therefore counts twice, once in the
    observed classes and once in drawing from them: the intervals tend to be too wide rather than
    too narrow, and that of the wins is pulled towards half of the classes. In simulations of 40
    classes and 5 seeds with normal noise, the intervals of the mean covered the true value 92 to 99
    times in 100 and those of the wins 96 to 98 times (86 where 98% of the classes are won); the
    interval of the mean did so 89 to 98 times with 10 classes and 79 to 97 times with 4. With one
    class there is no interval (NaN).
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
    """Mean difference from the baseline in groups of classes of similar size, per strategy.

    The classes are sorted by their number of positive training bags and split as evenly as possible
    into at most `MOST_GROUPS` groups of at least `SMALLEST_GROUP` classes.

    Parameters
    ----------
    metrics, study, metric
        As for `paired_differences`.

    Returns
    -------
    DataFrame
        Columns strategy, metric, smallest, largest (positive training bags), classes, difference,
        low, high; the last two are the 95% Student-t interval over the classes of the group.
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
    """Average rank over classes of the baseline and its competitors; 1 is best.

    The upper bound is not ranked.

    Parameters
    ----------
    metrics, study, metric
        As for `paired_differences`.

    Returns
    -------
    DataFrame
        Columns strategy, metric, classes, average_rank, friedman, friedman_p, iman_davenport_p,
        critical_difference, control_difference, best first. With k strategies and N classes:

        - friedman, friedman_p: Friedman's chi-squared and its asymptotic p-value; NaN for fewer
          than three strategies or two classes, p = 1 if all strategies are equal on every class
        - iman_davenport_p: the same by Iman and Davenport's F = (N - 1) chi2 / (N (k - 1) - chi2)
          with k - 1 and (k - 1) (N - 1) degrees of freedom, which is less conservative; NaN for
          fewer than `FEWEST_FOR_F` classes: on two that agree, it would be 0
        - critical_difference: Nemenyi's, q sqrt(k (k + 1) / (6 N)), where q is the .95 quantile of
          the studentized range of k groups, divided by sqrt(2); two average ranks that differ by
          less are not significantly different. NaN for a single strategy, and for fewer than
          `FEWEST_FOR_F` classes, on which not even the same order on all of them is significant
        - control_difference: Bonferroni and Dunn's, for comparisons with the baseline only, the
          same with q the 1 - .05 / (2 (k - 1)) quantile of the normal distribution

    References
    ----------
    Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006), section
    3.2.2.
    """
    strategies = study.competitors
    values = _over_seeds(_grid(metrics, study, strategies, metric)).T  # (classes, strategies)
    n, k = values.shape
    statistic, p, p_of_f = np.nan, np.nan, np.nan
    if k >= 3 and n >= 2:
        all_equal = (values == values[:, :1]).all()
        statistic, p = (0.0, 1.0) if all_equal else scipy.stats.friedmanchisquare(*values.T)
        if n >= FEWEST_FOR_F:
            rest = n * (k - 1) - statistic  # 0 if the order is the same on every class
            ratio = (n - 1) * statistic / rest if rest > 1e-9 else np.inf
            p_of_f = scipy.stats.f.sf(ratio, k - 1, (k - 1) * (n - 1))
    of_all = of_control = np.nan
    if k >= 2 and n >= FEWEST_FOR_F:
        of_all = scipy.stats.studentized_range.ppf(CONFIDENCE, k, np.inf) / np.sqrt(2)
        of_control = scipy.stats.norm.ppf(1 - (1 - CONFIDENCE) / (2 * (k - 1)))
    unit = np.sqrt(k * (k + 1) / (6 * n))
    table = pd.DataFrame(
        {
            "strategy": strategies,
            "metric": metric,
            "classes": n,
            "average_rank": scipy.stats.rankdata(-values, axis=1).mean(axis=0),
            "friedman": statistic,
            "friedman_p": p,
            "iman_davenport_p": p_of_f,
            "critical_difference": of_all * unit,
            "control_difference": of_control * unit,
        }
    )
    return table.sort_values("average_rank", kind="stable", ignore_index=True)


def _of_competitors(metrics: pd.DataFrame, study: Study, metric: str) -> np.ndarray:
    """Differences from the baseline (S, C, seeds), as `_differences`, without the upper bound."""
    strategies, differences = _differences(metrics, study, metric)
    return differences[[strategy != study.upper_bound for strategy in strategies]]


def detectable(metrics: pd.DataFrame, study: Study, metric: str) -> tuple[float, float]:
    """Differences from the baseline that a study would find four times in five.

    Parameters
    ----------
    metrics, study, metric
        As for `paired_differences`.

    Returns
    -------
    float, float
        In the mean over the classes of the study: the difference that Wilcoxon's test over classes
        finds at the 5% level, corrected for all competitors, with a probability of 80%. Classes are
        taken to differ by a normal deviation from it, of the variance that the differences have
        over classes, noise of training included, pooled over competitors. NaN if there are too few
        classes for the test to find anything. And for a single class: the same for a two-sided
        paired t-test over seeds, without correction, by the variance over seeds, pooled over
        classes and competitors. Both are NaN for a single seed, or without a competitor.
    """
    differences = _of_competitors(metrics, study, metric)
    n_comparisons, n_classes, n_seeds = differences.shape
    if n_seeds < 2 or not n_comparisons:
        return np.nan, np.nan
    of_mean = np.nan
    if n_classes > 1:
        over_classes = np.sqrt(_over_seeds(differences).var(axis=1, ddof=1).mean())
        of_mean = over_classes * _found_by_wilcoxon(n_classes, (1 - CONFIDENCE) / n_comparisons)
    over_seeds = np.sqrt(differences.var(axis=2, ddof=1).mean() / n_seeds)
    quantiles = scipy.special.stdtrit(n_seeds - 1, [(1 + CONFIDENCE) / 2, POWER])
    return float(of_mean), float(quantiles.sum() * over_seeds)


@cache
def _found_by_wilcoxon(n: int, level: float) -> float:
    """The mean of n normal variables of variance 1 that the test finds with a probability of POWER.

    NaN if it cannot find any.
    """
    if 2.0 ** (1 - n) >= level:
        return np.nan
    noise = np.random.default_rng(0).normal(size=(2000, n))

    def power(mean: float) -> float:
        return float((scipy.stats.wilcoxon(noise + mean, axis=1).pvalue < level).mean())

    low, high = 0.0, 8.0  # there, even the lowest of many variables is above 0
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if power(middle) < POWER else (low, middle)
    return high


def worst_by_chance(metrics: pd.DataFrame, study: Study, metric: str) -> tuple[float, float]:
    """How low the lowest difference of a strategy is if it differs from the baseline by noise only.

    Parameters
    ----------
    metrics, study, metric
        As for `paired_differences`.

    Returns
    -------
    float, float
        Central 95% range of the lowest of independent normal variables, one per class. The mean of
        each is 0, and its variance that of the mean difference over seeds, pooled over competitors.
        NaN for a single seed, or without a competitor.
    """
    differences = _of_competitors(metrics, study, metric)
    _, n_classes, n_seeds = differences.shape
    if n_seeds < 2 or not len(differences):
        return np.nan, np.nan
    spread = np.sqrt(differences.var(axis=2, ddof=1).mean(axis=0) / n_seeds)
    lowest = (np.random.default_rng(0).normal(size=(DRAWS, n_classes)) * spread).min(axis=1)
    low, high = np.quantile(lowest, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def costs(metrics: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Cost and gain of each strategy, averaged over classes and seeds.

    Parameters
    ----------
    metrics : DataFrame
        The metrics of the study, as returned by `weakneg.analysis.metrics.select_study`.
    study : Study
        The study.

    Returns
    -------
    DataFrame
        Columns strategy, same_as, ap, difference, difference_low, difference_high, bags_trained,
        seconds, seconds_scoring, seconds_selecting, seconds_training, seconds_evaluating,
        best_epoch, seconds_to_best, tied, devices, in the order of the study. The difference is
        that in AP from the baseline, with the bootstrap interval of `compare` (NaN for the
        baseline, whose difference is zero). `best_epoch` is the one whose weights were kept. `tied`
        is the largest number of test bags that share the highest or the lowest score (NaN if it was
        not counted). `devices` are the machines on which the seconds were measured, separated by
        "; ".
    """
    numbers = ["ap", "bags_trained", "seconds", *SECONDS, "best_epoch", "seconds_to_best"]
    by_strategy = metrics.groupby("strategy")
    means = by_strategy[numbers].mean().assign(tied=by_strategy[TIED].max().max(axis=1))
    devices = by_strategy["device"].agg(lambda names: "; ".join(sorted(set(names))))
    table = means.loc[list(study.distinct)].join(devices.rename("devices"))
    table.insert(0, "same_as", [_same_as(study, strategy) for strategy in study.distinct])
    gains = compare(metrics, study, "ap").set_index("strategy")
    for position, column in enumerate(("difference", "difference_low", "difference_high"), start=2):
        table.insert(position, column, gains[column].reindex(table.index))
    if study.baseline in table.index:
        table.loc[study.baseline, "difference"] = 0.0
    return table.reset_index()


def class_sizes(metrics: pd.DataFrame) -> pd.DataFrame:
    """Size of each class.

    Parameters
    ----------
    metrics : DataFrame
        The metrics of a study.

    Returns
    -------
    DataFrame
        Per class: n_positive, its number of positive training bags; test_positive, test_bags and
        test_unknown, the test bags that no metric counts; prevalence, the share of positive ones
        among `test_bags`.
    """
    by_class = metrics.groupby("class", sort=False)
    sizes = by_class[["n_positive", "test_positive", "test_bags", "test_unknown"]].mean()
    return sizes.assign(prevalence=sizes["test_positive"] / sizes["test_bags"])


def chance_range(classes: int) -> tuple[int, int]:
    """Fewest and most heads in the central 95% range of `classes` tosses of a fair coin."""
    low, high = scipy.stats.binom.interval(CONFIDENCE, classes, 0.5)
    return int(low), int(high)


def chance_of_two_fifths(classes: int) -> tuple[int, float]:
    """Smallest number of wins that is 40% of the classes, and the chance that coins reach it.

    The paper concludes that all strategies "have improved in at least 40% of the classes"; 40 fair
    coins give 16 or more heads 92% of the time.
    """
    wins = -(-2 * classes // 5)
    return wins, float(scipy.stats.binom.sf(wins - 1, classes, 0.5))


def holm(p: np.ndarray) -> np.ndarray:
    """Correct p-values by Holm's method: the i-th smallest becomes max over j <= i of (m-j+1) p_j.

    Parameters
    ----------
    p : ndarray, (m,) float64
        The p-values.

    Returns
    -------
    ndarray, (m,) float64
        The corrected p-values, at most 1, in the order of `p`.
    """
    order = np.argsort(p)
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(corrected, 1)[np.argsort(order)]


def _differences(metrics: pd.DataFrame, study: Study, metric: str) -> tuple[list[str], np.ndarray]:
    """The strategies to compare, and their differences from the baseline: strategy, class, seed."""
    others = [s for s in study.distinct if s != study.baseline]
    if study.baseline not in study.distinct:
        others = []
    values = _grid(metrics, study, [study.baseline, *others] if others else [], metric)
    return others, values[1:] - values[:1]


def _same_as(study: Study, strategy: str) -> str:
    """The other strategies that share its run, separated by spaces."""
    return " ".join(other for other in study.distinct[strategy] if other != strategy)


def _grid(metrics: pd.DataFrame, study: Study, strategies: list[str], metric: str) -> np.ndarray:
    """The values of a metric as an array (strategy, class, seed)."""
    columns = pd.MultiIndex.from_product([strategies, study.classes])
    table = metrics.pivot(index="seed", columns=["strategy", "class"], values=metric)
    seeds_last: np.ndarray = table.reindex(columns=columns).to_numpy().T
    return seeds_last.reshape(len(strategies), len(study.classes), len(table))


def _over_seeds(values: np.ndarray) -> np.ndarray:
    """The mean over the last axis, without rounding errors, so that ties are exactly zero."""
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
                np.quantile(wins, bounds, method="inverted_cdf"),  # bounds are counts
            )
        )
    return found


def _sign_test(wins: int, losses: int) -> float:
    return float(scipy.stats.binomtest(wins, wins + losses, 0.5).pvalue) if wins + losses else 1.0


def _wilcoxon(difference: np.ndarray) -> float:
    difference = difference[difference != 0]
    return float(scipy.stats.wilcoxon(difference).pvalue) if len(difference) else 1.0
