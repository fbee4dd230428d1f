"""The answer of a study in three sentences, generated from its statistics.

A difference counts if a test finds it after Holm's correction: Wilcoxon's over classes or, of
hidden positives, budgets and methods, t-tests by their intervals. Everything else cannot be told,
which is also said, for strategies with the size of difference that would have been found.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri, stdtr, stdtrit

from weakneg.analysis.budget import choice_stops_mattering, enough
from weakneg.analysis.comparison import holm
from weakneg.analysis.hidden import baseline_of
from weakneg.analysis.intervals import CONFIDENCE
from weakneg.analysis.partial import ALL
from weakneg.analysis.study import Study
from weakneg.report.formatting import (
    bootstrap_phrase,
    classes_phrase,
    interval,
    number,
    p_phrase,
    p_value,
    seeds_phrase,
    signed_number,
)

_MOST_NAMED = 3
_MANY_CLASSES = 10
_LEVEL = 1 - CONFIDENCE


class Answer(NamedTuple):
    """The answer of a study.

    Attributes
    ----------
    headline : str
        The answer in a few words.
    sentences : list of str
        The answer with its uncertainty: what is better, what is not, and how far that goes.
    """

    headline: str
    sentences: list[str]


def answer(comparisons: pd.DataFrame, detectable: float, study: Study) -> Answer:
    """Answer whether a strategy is better than the baseline.

    Parameters
    ----------
    comparisons : DataFrame
        The table win_counts.csv, see `weakneg.analysis.comparison.compare`.
    detectable : float
        The difference in the mean AP over classes that the test would find four times in five; NaN
        if that is unknown, or no difference could be found.
    study : Study
        The study.

    Returns
    -------
    Answer
        The answer.
    """
    baseline = study.display_name(study.baseline)
    competitors = comparisons[comparisons["strategy"] != study.upper_bound]
    by_ap = competitors[competitors["metric"] == "ap"]
    by_ap = by_ap.sort_values("difference", ascending=False, kind="stable")
    if comparisons.empty:
        return Answer(
            "Nothing to compare",
            [f"A comparison needs the baseline {baseline} and another strategy."],
        )
    n_seeds, n_classes = (int(comparisons[column].iloc[0]) for column in ("seeds", "classes"))
    over = f"over {classes_phrase(n_classes)} and {seeds_phrase(n_seeds)}"
    if by_ap.empty:
        return _of_upper_bound(comparisons, over, study)
    limits = _limits(comparisons, detectable, study, n_seeds)
    best = by_ap.iloc[0]
    highest = f"the highest mean difference {over} is {_amount(best)}, for {_names([best], study)}"
    # The smallest p-value that the test can have, corrected.
    if len(by_ap) * 2.0 ** (1 - n_classes) > _LEVEL:
        few = f"{classes_phrase(n_classes)} {'is' if n_classes == 1 else 'are'}"
        return Answer(
            f"Cannot be told from {classes_phrase(n_classes)}",
            [
                f"Whether any strategy has a higher AP than {baseline} in general cannot be told:"
                f" {few} too few for a test over classes"
                f" {'' if len(by_ap) == 1 else f'with {len(by_ap)} comparisons '}to find anything.",
                f"On {'this class' if n_classes == 1 else 'these classes'} alone,"
                f" {_range(by_ap, n_seeds, study)}; {_clear(by_ap, study, n_classes)}.",
                *limits,
            ],
        )
    better, worse, open_ = _verdicts(by_ap)
    tested = f"Wilcoxon's test over classes, {_corrected(len(by_ap))}"
    if better:
        first = (
            f"{_names(better, study)} {_have(better)} a higher AP than {baseline}, in the mean"
            f" {over}: {_amounts(better)} ({tested}: {_ps(better)})."
        )
    else:
        first = (
            f"No strategy is shown to have a higher AP than {baseline}: {highest}, and no gain is"
            f" significant ({tested})."
        )
    rest = []
    if worse:
        rest.append(
            f"{_names(worse, study)} {_have(worse)} a lower AP: {_amounts(worse)} ({_ps(worse)})"
        )
    if open_ and (better or worse):
        others = f"the other {len(open_)} strategies" if len(open_) > 1 else _names(open_, study)
        rest.append(f"for {others}, a difference in AP cannot be told")
    rest.append(_by_roc_auc(competitors[competitors["metric"] == "roc_auc"], study))
    second = "; ".join(rest) + "."
    return Answer(
        _headline(better, worse, len(by_ap), study),
        [first, second[0].upper() + second[1:], *limits],
    )


def _range(by_ap: pd.DataFrame, n_seeds: int, study: Study) -> str:
    """The best and the worst strategy, without intervals over classes: there are too few."""
    said = [
        f"{signed_number(row['difference'])} ({_names([row], study)})"
        for _, row in by_ap.iloc[[0, -1]].iterrows()
    ]
    of = f"over {seeds_phrase(n_seeds)}"
    if len(by_ap) == 1:
        return f"the mean difference in AP {of} is {said[0]}"
    return f"mean differences in AP {of} are from {said[1]} to {said[0]}"


def _of_upper_bound(comparisons: pd.DataFrame, over: str, study: Study) -> Answer:
    """The answer of a study that compares the upper bound with the baseline, and nothing else."""
    baseline = study.display_name(study.baseline)
    by_metric = comparisons.set_index("metric")
    ap, roc_auc = by_metric.loc["ap"], by_metric.loc["roc_auc"]
    name = study.display_name(ap["strategy"])
    headline = f"No difference between {name} and {baseline} can be told"
    better, worse, _ = _verdicts(ap.to_frame().T, p="wilcoxon_p")
    if better or worse:
        headline = f"{name} is {'better' if better else 'worse'} than {baseline}"
    return Answer(
        headline,
        [
            f"No strategy is compared but {name}, which trains on all negatives.",
            f"Its AP differs from that of {baseline} by {_amount(ap)}, in the mean {over}"
            f" (Wilcoxon's test over classes: {p_phrase(ap['wilcoxon_p'])}), and its ROC-AUC by"
            f" {_amount(roc_auc)} ({p_phrase(roc_auc['wilcoxon_p'])}).",
            "How many bags each trains on is in the table of costs.",
        ],
    )


def _verdicts(
    table: pd.DataFrame, p: str = "wilcoxon_p_holm"
) -> tuple[list[pd.Series], list[pd.Series], list[pd.Series]]:
    """The rows that are better, worse and neither."""
    better, worse, open_ = [], [], []
    for _, row in table.iterrows():
        found = row[p] < _LEVEL
        if found and row["difference"] > 0 and row["wins"] > row["losses"]:
            better.append(row)
        elif found and row["difference"] < 0 and row["wins"] < row["losses"]:
            worse.append(row)
        else:
            open_.append(row)
    return better, worse, open_


def _headline(better: Sequence[pd.Series], worse: Sequence[pd.Series], n: int, study: Study) -> str:
    baseline = study.display_name(study.baseline)
    if better:
        who = _names(better, study) if len(better) == 1 else f"{len(better)} of {n} strategies"
        return f"{who} {'is' if len(better) == 1 else 'are'} better than {baseline}"
    if worse:
        who = _names(worse, study) if len(worse) == 1 else f"{len(worse)} of {n}"
        return (
            f"No strategy is shown to be better than {baseline};"
            f" {who} {'is' if len(worse) == 1 else 'are'} worse"
        )
    return f"No difference from {baseline} can be told"


def _by_roc_auc(table: pd.DataFrame, study: Study) -> str:
    better, worse, _ = _verdicts(table.sort_values("difference", ascending=False, kind="stable"))
    found = [
        f"{_names(rows, study)} {'is' if len(rows) == 1 else 'are'} {word}"
        for rows, word in ((better, "better"), (worse, "worse"))
        if rows
    ]
    return f"by ROC-AUC, {' and '.join(found) or 'no difference can be told'}"


def _clear(table: pd.DataFrame, study: Study, n_classes: int) -> str:
    """Of how many differences of single classes the interval over seeds excludes zero."""
    if table["seeds"].iloc[0] == 1:
        return "with 1 seed, there are no intervals over seeds"
    n = len(table) * n_classes
    wins, losses = table["clear_wins"].sum(), table["clear_losses"].sum()
    if n == 1:
        return f"its interval over seeds {'ex' if wins + losses else 'in'}cludes zero"
    if not wins + losses:
        return f"no interval over seeds of these {n} differences of single classes excludes zero"
    return (
        f"on a single class, the interval over seeds is above zero for {wins} of {n} differences"
        f" and below for {losses}, where chance alone gives about {n * _LEVEL / 2:.2g} each"
    )


def _limits(comparisons: pd.DataFrame, detectable: float, study: Study, n_seeds: int) -> list[str]:
    """What could have been missed, and what training on all negatives gains, if known."""
    said = []
    if n_seeds == 1:
        said.append(
            "with 1 seed, the noise of training cannot be separated from the effect of a strategy"
        )
    elif pd.notna(detectable):
        said.append(
            f"if classes differ as much as here, this test finds a mean difference of"
            f" {number(detectable)} four times in five, so smaller ones may exist"
        )
    upper = comparisons[
        (comparisons["strategy"] == study.upper_bound) & (comparisons["metric"] == "ap")
    ]
    if len(upper):
        name, baseline = map(study.display_name, (upper["strategy"].iloc[0], study.baseline))
        said.append(
            f"training on all negatives ({name}, no budget) differs from {baseline} by"
            f" {_amount(upper.iloc[0])}"
        )
    return [_sentence("; ".join(said))] if said else []


def _names(rows: Sequence[pd.Series], study: Study) -> str:
    return _shortened([study.joint_name(row["strategy"]) for row in rows])


def _shortened(names: Sequence[str]) -> str:
    if len(names) > _MOST_NAMED + 1:
        names = [*names[:_MOST_NAMED], f"{len(names) - _MOST_NAMED} others"]
    return _listed(names)


def _amounts(rows: Sequence[pd.Series]) -> str:
    if len(rows) > _MOST_NAMED + 1:
        lowest, highest = (signed_number(f(r["difference"] for r in rows)) for f in (min, max))
        return f"{lowest} to {highest}"
    return _listed([_amount(row) for row in rows])


def _ps(rows: Sequence[pd.Series]) -> str:
    if len(rows) > _MOST_NAMED + 1:
        p = p_value(max(row["wilcoxon_p_holm"] for row in rows))
        return f"p {p if p.startswith('<') else f'up to {p}'}"
    ps = [p_phrase(row["wilcoxon_p_holm"]) for row in rows]
    if len(ps) > 1 and len({*ps}) == 1:
        return f"{ps[0]} each"
    return _listed(ps)


def _amount(row: pd.Series) -> str:
    bounds = interval(row["difference_low"], row["difference_high"], signed_number)
    return signed_number(row["difference"]) + bounds


def _have(rows: Sequence[pd.Series]) -> str:
    return "has" if len(rows) == 1 else "have"


def _corrected(n: int) -> str:
    return f"Holm-corrected for {n} comparisons" if n > 1 else "1 comparison"


def _listed(parts: Sequence[str]) -> str:
    if len(parts) > 1 and any(", " in part and "[" not in part for part in parts):
        return f"{'; '.join(parts[:-1])}; and {parts[-1]}"
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def answer_of_hidden(results: pd.DataFrame, study: Study) -> Answer:
    """Answer which choices and losses help where positives are hidden.

    Parameters
    ----------
    results : DataFrame
        The table hidden.csv, see `weakneg.analysis.hidden.metrics_by_share`.
    study : Study
        The study.

    Returns
    -------
    Answer
        The answer.
    """
    strategy, loss = baseline_of(study)
    baseline = f"{strategy} with {loss}"
    n_seeds = int(results["seeds"].max())
    is_baseline = (results["strategy"] == strategy) & (results["loss"] == loss)
    ap = results[is_baseline & (results["measure"] == "ap")].sort_values("hidden")
    compared = results[~is_baseline & (results["measure"] == "ap_difference")]
    compared = compared[compared["hidden"] > 0]
    least, most = ap["hidden"].min(), ap["hidden"].max()
    cost = (
        f"with {100 * most:g}% of the positives hidden, the AP of {baseline} is"
        f" {_mean(ap.iloc[-1])}"
    )
    if least < most:
        cost += f" instead of {_mean(ap.iloc[0])} with {100 * least:g}%"
    limits = f"Intervals are over seeds, on {classes_phrase(len(study.classes))}."
    if compared.empty or n_seeds == 1:
        why = "1 seed" if n_seeds == 1 else "a single combination"
        return Answer(f"Cannot be told from {why}", [f"{cost[0].upper()}{cost[1:]}.", limits])
    better, worse = (compared["low"] > 0).sum(), (compared["high"] < 0).sum()
    chance = len(compared) * _LEVEL / 2
    p = _p_of_t_intervals(compared["mean"], compared["low"], compared["high"], n_seeds - 1)
    n_better, n_worse = _told(compared["mean"], p)
    at_most = compared[compared["hidden"] == most].sort_values("mean", ascending=False)
    best = at_most.iloc[0]
    return Answer(
        f"{n_better} of {len(compared)} combinations are better than {baseline}, {n_worse} worse"
        if n_better + n_worse
        else f"No difference from {baseline} can be told",
        [
            f"Of {len(compared)} combinations of strategy, loss and share of hidden positives,"
            f" {better} have a higher AP than {baseline} at the same share and {worse} a lower one,"
            f" by their 95% interval over {seeds_phrase(n_seeds)}; chance alone gives about"
            f" {chance:.2g} on each side. {_after_correction(len(compared), n_better, n_worse)}.",
            f"{cost[0].upper()}{cost[1:]}; the largest gain over it there is"
            f" {signed_number(best['mean'])}{interval(best['low'], best['high'], signed_number)},"
            f" for {best['strategy']} with {best['loss']}.",
            limits,
        ],
    )


def _after_correction(n: int, n_better: int, n_worse: int) -> str:
    left = f"{n_better} and {n_worse} are" if n_better + n_worse else "none is"
    return f"After Holm's correction for {n} comparisons, {left} left"


def _p_of_t_intervals(mean: pd.Series, low: pd.Series, high: pd.Series, freedom: int) -> pd.Series:
    """The p-values of the two-sided t-tests that 95% intervals belong to."""
    return _p_of_t(mean, (high - low) / 2 / stdtrit(freedom, (1 + CONFIDENCE) / 2), freedom)


def _p_of_bootstrap(mean: pd.Series, low: pd.Series, high: pd.Series, n_classes: int) -> pd.Series:
    """P-values of two-sided t-tests over classes, with the spread of 95% bootstrap intervals.

    Of few classes, these intervals alone would exclude zero too often.
    """
    error = (high - low) / 2 / ndtri((1 + CONFIDENCE) / 2) * np.sqrt(n_classes / (n_classes - 1))
    return _p_of_t(mean, error, n_classes - 1)


def _p_of_t(mean: pd.Series, error: pd.Series, freedom: int) -> pd.Series:
    # Without any spread, a mean of 0 says nothing and any other everything.
    return 2 * stdtr(freedom, -(mean.abs() / error).fillna(0))


def _told(difference: pd.Series, p: pd.Series) -> tuple[int, int]:
    """How many differences are above and below zero after correction for their number."""
    found = holm(p.to_numpy()) < _LEVEL
    return int((found & (difference > 0)).sum()), int((found & (difference < 0)).sum())


def _mean(row: pd.Series) -> str:
    return number(row["mean"]) + interval(row["low"], row["high"], number)


def answer_of_budgets(results: pd.DataFrame, study: Study) -> Answer:
    """Answer how few negatives are enough, and from which budget on no choice is seen to matter.

    Parameters
    ----------
    results : DataFrame
        The table budget.csv, see `weakneg.analysis.budget.results_by_budget`.
    study : Study
        The study.

    Returns
    -------
    Answer
        The answer.
    """
    results = results[results["metric"] == "ap"]
    tried = results.dropna(subset=["budget"])
    if tried.empty:
        return Answer("Nothing to compare", ["A comparison needs a strategy with a budget."])
    n_classes, n_seeds = (int(results[each].max()) for each in ("classes", "seeds"))
    baseline = study.display_name(study.baseline)
    noise = (
        "with 1 seed, the noise of training cannot be separated from the effect of a budget or a"
        " strategy"
    )
    unknown = (
        "How few negatives are enough, and up to which budget their choice matters, cannot be told"
        f" in general: {classes_phrase(n_classes)} {'is' if n_classes == 1 else 'are'} too few for"
        f" an interval over classes{f'; {noise}' if n_seeds == 1 else ''}."
    )
    if n_classes == 1:
        best = tried.loc[tried["mean"].idxmax()]
        alone = (
            f"On this class alone, the highest mean AP of a budget is {_mean(best)}, for"
            f" {best['strategy']} with {_per_positive(best['budget'])}"
        )
        full = results[results["budget"].isna()]
        alone += f"; the full set has {_mean(full.iloc[0])}." if len(full) else "."
        return Answer("Cannot be told from 1 class", [unknown, alone])
    of_choice = _of_choice(tried, baseline, n_classes)
    # As for the tests over classes: none could be significant, even alone.
    if 2.0 ** (1 - n_classes) > _LEVEL:
        return Answer(
            f"Cannot be told from {classes_phrase(n_classes)}",
            [unknown, f"On these classes alone, {_of_enough(results)}.", _sentence(of_choice)],
        )
    limits = (
        f"Each of these is the {bootstrap_phrase(n_classes, n_seeds)} of one comparison, not"
        " corrected for their number"
    )
    return Answer(
        _headline_of_budgets(results, study, n_classes),
        [
            _sentence(_of_enough(results)),
            _sentence(of_choice),
            f"{limits}{f'; {noise}' if n_seeds == 1 else ''}.",
        ],
    )


def _headline_of_budgets(results: pd.DataFrame, study: Study, n_classes: int) -> str:
    baseline = study.display_name(study.baseline)
    tried = results.dropna(subset=["budget"])
    compared = tried.dropna(subset=["difference_low"])
    if compared.empty:
        found = enough(results)
        name = study.joint_name(study.baseline)
        if name not in found:
            return "How few negatives are enough cannot be told"
        least = found[name]
        if least is None:
            return "More negatives than were tried are needed"
        return f"No loss from fewer negatives is shown from {_per_positive(least)} on"
    difference = compared["difference"]
    p = _p_of_bootstrap(
        difference, compared["difference_low"], compared["difference_high"], n_classes
    )
    if not any(_told(difference, p)):
        return f"No difference from {baseline} can be told at any budget"
    least = choice_stops_mattering(tried)
    if least is None:
        return f"A difference from {baseline} is left at {_per_positive(tried['budget'].max())}"
    return f"From {_per_positive(least)} on, no difference from {baseline} can be told"


def _of_enough(results: pd.DataFrame) -> str:
    """From which budget on the interval of the difference from the full set reaches zero."""
    found = enough(results)
    if not found:
        return "how few negatives are enough cannot be told without runs of the full set"
    more = [strategy for strategy, least in found.items() if least is None]
    names: dict[float, list[str]] = {}
    for strategy, least in found.items():
        if least is not None:
            names.setdefault(least, []).append(strategy)
    parts = []
    if names:
        at = _listed([f"{least:g} ({_shortened(names[least])})" for least in sorted(names)])
        parts.append(
            f"AP is not shown to be below that of the full set from {at} negatives per positive on"
        )
        there = results[results["budget"] == results["strategy"].map(found)]
        if (lost := -there["from_full_low"].min()) > 0:
            parts.append(f"there, up to {number(lost)} may be lost all the same")
    if more:
        parts.append(
            f"for {_shortened(more)}, AP is below that of the full set even with the most negatives"
            " that were tried"
        )
    return "; ".join(parts)


def _of_choice(tried: pd.DataFrame, baseline: str, n_classes: int) -> str:
    """What the intervals of differences from the baseline at the same budget say."""
    compared = tried.dropna(subset=["difference_low"])
    if compared.empty:
        return f"no strategy is compared with {baseline} at the same budget"
    better, worse = (compared["difference_low"] > 0).sum(), (compared["difference_high"] < 0).sum()
    # Of fewer classes, intervals by the bootstrap exclude zero several times as often.
    chance = (
        f", where chance alone gives about {len(compared) * _LEVEL / 2:.2g} each"
        if n_classes >= _MANY_CLASSES
        else ""
    )
    least, most = choice_stops_mattering(tried), tried["budget"].max()
    until = ""
    if better + worse:
        until = (
            f"; with {_per_positive(most)}, the most that were tried, it still excludes zero for"
            " some"
            if least is None
            else f"; from {_per_positive(least)} on, it includes zero for all"
        )
    highest = compared.loc[compared["difference"].idxmax()]
    return (
        f"the interval is above zero for {better} of {len(compared)} differences in AP from"
        f" {baseline} at the same budget and below for {worse}{chance}{until}; the highest is"
        f" {_amount(highest)}, for {highest['strategy']} with {_per_positive(highest['budget'])}"
    )


def _per_positive(budget: float) -> str:
    return f"{budget:g} negative{'' if budget == 1 else 's'} per positive"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def answer_of_methods(results: pd.DataFrame, study: Study) -> Answer:
    """Answer which methods help where part of the labels is unknown.

    A method is said to be better or worse if both intervals of its difference exclude zero: that
    over seeds, so that it is not noise of training, and that over classes, so that it is not that
    of a few of them.

    Parameters
    ----------
    results : DataFrame
        The table partial.csv, see `weakneg.analysis.partial.results_by_method`.
    study : Study
        The study.

    Returns
    -------
    Answer
        The answer.
    """
    of_all = results[(results["metric"] == "ap") & (results["group"] == ALL)]
    n_classes, n_seeds = (int(of_all[each].max()) for each in ("classes", "seeds"))
    baseline = study.methods[study.baseline].method
    compared = of_all.dropna(subset=["difference"])
    several = compared["observed"].nunique() > 1
    levels = _levels_of_methods(of_all, study)
    if compared.empty:
        needed = f"A comparison needs {baseline} and another method that sees the same labels."
        return Answer("Nothing to compare", [needed, levels])
    few = [
        phrase
        for n, phrase in ((n_seeds, seeds_phrase(1)), (n_classes, classes_phrase(1)))
        if n == 1
    ]
    best = compared.loc[compared["difference"].idxmax()]
    largest = (
        f"the largest mean difference in AP from {baseline} with the same labels is"
        f" {_amount_of_method(best)}, for {_method(best, several)}"
    )
    if few:
        why = " and ".join(few)
        unknown = (
            f"Whether a method is better than {baseline} cannot be told from {why}"
            f"{', which cannot show the noise of training' if n_seeds == 1 else ''}."
        )
        return Answer(f"Cannot be told from {why}", [unknown, _sentence(largest), levels])
    better = compared[(compared["seeds_low"] > 0) & (compared["classes_low"] > 0)]
    worse = compared[(compared["seeds_high"] < 0) & (compared["classes_high"] < 0)]
    chance = len(compared) * _LEVEL / 2
    difference, of_seeds, of_classes = (
        compared["difference"],
        (compared["seeds_low"], compared["seeds_high"]),
        (compared["classes_low"], compared["classes_high"]),
    )
    p = np.maximum(
        _p_of_t_intervals(difference, *of_seeds, n_seeds - 1),
        _p_of_bootstrap(difference, *of_classes, n_classes),
    )
    n_better, n_worse = _told(difference, p)
    higher = f"{len(better)} {'has' if len(better) == 1 else 'have'}"
    names = [
        f"{verb} ({_shortened([_method(row, several) for _, row in rows.iterrows()])})"
        if len(rows)
        else verb
        for rows, verb in (
            (better.sort_values("difference", ascending=False), f"{higher} a higher AP"),
            (worse.sort_values("difference"), f"{len(worse)} a lower one"),
        )
    ]
    what = "combinations" if several else f"method{'s' if len(compared) > 1 else ''}"
    return Answer(
        f"{n_better} of {len(compared)} {what} {'is' if n_better == 1 else 'are'} better than"
        f" {baseline}, {n_worse} worse"
        if n_better + n_worse
        else f"No difference from {baseline} can be told",
        [
            f"In the mean over {classes_phrase(n_classes)} and {seeds_phrase(n_seeds)},"
            f" {' and '.join(names)} than {baseline} with the same labels, by both 95% intervals:"
            " that over seeds and that over classes. Chance alone gives at most about"
            f" {chance:.2g} on each side. {_after_correction(len(compared), n_better, n_worse)}.",
            f"{largest[0].upper()}{largest[1:]}. {levels}",
            "Intervals are of one comparison each; classes share the model, so that they are not"
            " independent.",
        ],
    )


def _levels_of_methods(of_all: pd.DataFrame, study: Study) -> str:
    """The mean AP of the baseline, and of the upper bound if there is one."""
    by_way = {(row["method"], row["observed"]): row for _, row in of_all.iterrows()}
    way = study.methods[study.baseline]
    said = f"{way.method} (labels observed: {way.observed}) has a mean AP of {_mean(by_way[way])}"
    if study.upper_bound is not None:
        upper = study.methods[study.upper_bound]
        said += f", and {upper.method}, which sees all labels, of {_mean(by_way[upper])}"
    return f"{said}."


def _method(row: pd.Series, several: bool) -> str:
    return f"{row['method']} (labels observed: {row['observed']})" if several else row["method"]


def _amount_of_method(row: pd.Series) -> str:
    amount = signed_number(row["difference"])
    bounds = [
        f"{over}{interval(row[f'{over}_low'], row[f'{over}_high'], signed_number)}"
        for over in ("seeds", "classes")
        if pd.notna(row[f"{over}_low"])
    ]
    return f"{amount} (95% interval over {', over '.join(bounds)})" if bounds else amount
