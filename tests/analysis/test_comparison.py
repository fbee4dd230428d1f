"""Comparisons over classes, against cases worked by hand and the examples of the sources."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, norm, ttest_1samp, wilcoxon
from scipy.stats import f as f_distribution
from synthetic import metrics_of, study_of

from weakneg.analysis.comparison import (
    average_ranks,
    chance_of_two_fifths,
    chance_range,
    compare,
    costs,
    detectable,
    holm,
    paired_differences,
    size_trend,
    worst_by_chance,
)
from weakneg.analysis.intervals import mean_interval


def toy(differences, baseline=0.5, **study):
    """Metrics and study from {strategy: differences to the baseline, (classes,) or with seeds}.

    The numbers are made so that halves and quarters are exact, and ties are ties.
    """
    arrays = {name: np.array(values, dtype=float) for name, values in differences.items()}
    arrays = {n: a[:, None] if a.ndim == 1 else a for n, a in arrays.items()}
    shape = next(iter(arrays.values())).shape
    arrays = {"random": np.zeros(shape), **arrays}
    classes = [f"c{i}" for i in range(shape[0])]
    values = {
        (class_name, strategy): (baseline + array[i]).tolist()
        for strategy, array in arrays.items()
        for i, class_name in enumerate(classes)
    }
    return metrics_of(values), study_of(classes, list(arrays), **study)


def only(table):
    assert len(table) == 1
    return table.iloc[0]


class TestDifferences:
    def test_pairing_by_seed_sees_what_means_hide(self):
        metrics = metrics_of(
            {("a", "random"): [0.1, 0.5, 0.9], ("a", "badge"): [0.12, 0.521, 0.92]}
        ).sample(frac=1, random_state=0)  # the order of the rows must not matter
        row = only(paired_differences(metrics, study_of(["a"], ["random", "badge"]), "ap"))
        mean, low, high = mean_interval([0.02, 0.021, 0.02])
        assert (row["difference"], row["low"], row["high"]) == pytest.approx((mean, low, high))
        assert row["verdict"] == "better"
        assert row["clear"]

    @pytest.mark.parametrize(
        ("ours", "verdict", "clear"),
        [
            ([0.51, 0.52, 0.515], "better", True),
            ([0.40, 0.70, 0.50], "better", False),
            ([0.49, 0.48, 0.485], "worse", True),
            ([0.60, 0.30, 0.50], "worse", False),
            ([0.50, 0.50, 0.50], "tie", False),
            ([0.25, 0.75, 0.50], "tie", False),
        ],
    )
    def test_verdicts(self, ours, verdict, clear):
        metrics = metrics_of({("a", "random"): [0.5] * 3, ("a", "badge"): ours})
        row = only(paired_differences(metrics, study_of(["a"], ["random", "badge"]), "ap"))
        assert (row["verdict"], row["clear"]) == (verdict, clear)

    def test_rounding_breaks_no_tie(self):
        values = {("a", "random"): [0.1, 0.2, 0.4], ("a", "badge"): [0.4, 0.1, 0.2]}
        assert np.mean(np.subtract(*values.values())) != 0
        metrics, study = metrics_of(values), study_of(["a"], ["random", "badge"])
        assert only(paired_differences(metrics, study, "ap"))["verdict"] == "tie"
        assert only(compare(metrics, study, "ap"))["ties"] == 1
        assert average_ranks(metrics, study, "ap")["average_rank"].tolist() == [1.5, 1.5]

    def test_one_seed_is_never_clear(self):
        row = only(paired_differences(*toy({"badge": [0.25]}), "ap"))
        assert (row["verdict"], row["clear"], row["seeds"]) == ("better", False, 1)
        assert math.isnan(row["low"])

    def test_every_value_stands_in_its_own_row(self):
        values = np.arange(24).reshape(2, 4, 3) / 64  # strategy, class, seed
        metrics, study = toy({"badge": values[0], "margin": values[1]})
        metrics.loc[metrics["class"] == "c2", ["n_positive", "test_positive"]] = [7, 2]
        metrics["test_bags"] = 4
        table = paired_differences(metrics.sample(frac=1, random_state=1), study, "ap")
        assert table["strategy"].tolist() == ["badge"] * 4 + ["margin"] * 4
        assert table["class"].tolist() == ["c0", "c1", "c2", "c3"] * 2
        assert table["difference"].tolist() == values.mean(axis=2).ravel().tolist()
        assert table["n_positive"].tolist() == [1, 1, 7, 1] * 2
        assert table["prevalence"].tolist() == [0.25, 0.25, 0.5, 0.25] * 2

    @pytest.mark.parametrize("strategies", [["random"], ["badge"]])
    def test_nothing_to_compare_is_empty_and_not_an_error(self, strategies):
        metrics, study = metrics_of({("a", s): [0.1] for s in strategies}), None
        study = study_of(["a"], strategies)
        assert paired_differences(metrics, study, "ap").empty
        assert compare(metrics, study, "ap").empty


class TestTests:
    @pytest.mark.parametrize(
        ("wins", "ties", "losses", "p"),
        [
            (28, 0, 12, 0.0166),
            (26, 0, 14, 0.0807),
            (16, 0, 24, 0.2682),
            (6, 34, 0, 0.03125),
            (0, 40, 0, 1.0),
        ],
    )
    def test_sign_test_of_the_papers_counts(self, wins, ties, losses, p):
        differences = np.repeat([0.25, 0.0, -0.25], [wins, ties, losses])
        row = only(compare(*toy({"badge": np.stack([differences] * 2, axis=1)}), "ap"))
        assert (row["wins"], row["ties"], row["losses"]) == (wins, ties, losses)
        assert (row["clear_wins"], row["clear_losses"]) == (wins, losses)
        assert (row["classes"], row["seeds"]) == (40, 2)
        assert row["sign_p"] == pytest.approx(p, abs=5e-5)

    def test_wilcoxon_by_hand(self):
        # Ranks 1 to 4 are positive, 5 is negative: W = 5. Of the 32 signs, the negative ranks of 10
        # sum to at most 5: {}, 1, 2, 3, 12, 4, 13, 5, 14, 23. Two-sided: 20 / 32.
        differences = np.array([1, 2, 3, 4, -5]) / 64
        assert only(compare(*toy({"badge": differences}), "ap"))["wilcoxon_p"] == 20 / 32
        tied = only(compare(*toy({"badge": [*differences, 0, 0]}), "ap"))
        assert tied["wilcoxon_p"] == 20 / 32, "ties are left out"

    def test_tests_use_the_mean_over_seeds(self):
        # By seed it would be three wins and three losses of equal size.
        table = compare(*toy({"badge": [[0.5, -0.25], [0.5, -0.25], [0.5, -0.25]]}), "ap")
        assert only(table)["wins"] == 3
        assert only(table)["wilcoxon_p"] == 2 / 8
        assert only(table)["difference"] == 0.125

    def test_holm_by_hand(self):
        # Sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, and never below the one before.
        corrected = holm(np.array([0.01, 0.04, 0.03, 0.005]))
        np.testing.assert_allclose(corrected, [0.03, 0.06, 0.06, 0.02])
        assert holm(np.array([0.6, 0.7])).tolist() == [1, 1]

    def test_the_family_is_the_competitors_each_run_once(self):
        signs = np.array([1] * 9 + [-1]) / 64  # p = 22 / 1024
        runs = {s: s for s in ("random", "badge", "margin", "full")} | {"entropy": "margin"}
        metrics, study = toy({s: signs for s in ("badge", "margin", "entropy", "full")}, runs=runs)
        table = compare(metrics, study, "ap").set_index("strategy")
        assert table.index.tolist() == ["badge", "margin", "full"]
        assert table["same_as"].tolist() == ["", "entropy", ""]
        assert table["sign_p"].tolist() == pytest.approx([22 / 1024] * 3)
        assert table["sign_p_holm"][:2].tolist() == pytest.approx([44 / 1024] * 2)
        assert table["wilcoxon_p_holm"][:2].tolist() == (2 * table["wilcoxon_p"][:2]).tolist()
        assert table.loc["full", ["sign_p_holm", "wilcoxon_p_holm"]].isna().all()


def test_the_baseline_and_the_upper_bound_stand_for_their_runs():
    runs = {"mine": "random", "random": "random", "all": "full", "full": "full", "badge": "badge"}
    study = study_of(["a"], list(runs), runs=runs)
    assert list(study.distinct) == ["random", "full", "badge"]
    assert study.distinct["random"] == ["mine", "random"]
    metrics = metrics_of({("a", s): [0.5, 0.6] for s in runs})
    assert compare(metrics, study, "ap")["strategy"].tolist() == ["full", "badge"]


class TestBootstrap:
    def test_wins_of_one_seed_are_a_binomial(self):
        # Drawing 40 of 40 classes, 28 of them won: Binomial(40, 28/40).
        row = only(compare(*toy({"badge": [0.25] * 28 + [-0.25] * 12}), "ap"))
        low, high = binom.interval(0.95, 40, 28 / 40)
        assert (row["wins_low"], row["wins_high"]) == (low, high)
        # The mean difference is (wins - losses) / 40 * .25.
        expected = [(2 * wins - 40) / 40 * 0.25 for wins in (low, high)]
        assert [row["difference_low"], row["difference_high"]] == pytest.approx(expected)

    def test_seeds_are_drawn_within_each_class(self):
        # A class is lost when both draws are the second seed: wins are Binomial(40, 3/4). Seeds
        # drawn for all classes together would give 0 or 40.
        row = only(compare(*toy({"badge": [[0.5, -0.25]] * 40}), "ap"))
        assert (row["wins_low"], row["wins_high"]) == binom.interval(0.95, 40, 0.75)

    def test_spread_of_the_mean_is_that_of_two_levels(self):
        # Variance of a two-level draw: (that of class means + mean of that of seeds / K) / C.
        values = np.random.default_rng(0).normal(size=(30, 5)) / 64
        row = only(compare(*toy({"badge": values}), "ap"))
        variance = (values.mean(axis=1).var() + values.var(axis=1).mean() / 5) / 30
        width = row["difference_high"] - row["difference_low"]
        assert width == pytest.approx(2 * 1.96 * math.sqrt(variance), rel=0.05)
        assert row["difference"] == pytest.approx(values.mean())

    def test_a_strategy_has_its_interval_whatever_else_is_in_the_study(self):
        values = np.random.default_rng(1).normal(size=(2, 6, 3))
        alone = only(compare(*toy({"badge": values[0]}), "ap"))
        both = compare(*toy({"margin": values[1], "badge": values[0]}), "ap")
        bounds = ["difference_low", "difference_high", "wins_low", "wins_high"]
        assert both.set_index("strategy").loc["badge", bounds].tolist() == alone[bounds].tolist()


# Demsar 2006, Table 6: AUC of C4.5, C4.5+m, C4.5+cf, C4.5+m+cf on 14 data sets. In the row of
# "voting" the third and fourth are ranked apart although they print as equal.
DEMSAR = [
    [0.763, 0.768, 0.771, 0.798],
    [0.599, 0.591, 0.590, 0.569],
    [0.954, 0.971, 0.968, 0.967],
    [0.628, 0.661, 0.654, 0.657],
    [0.882, 0.888, 0.886, 0.898],
    [0.936, 0.931, 0.916, 0.931],
    [0.661, 0.668, 0.609, 0.685],
    [0.583, 0.583, 0.563, 0.625],
    [0.775, 0.838, 0.866, 0.875],
    [1.000, 1.000, 1.000, 1.000],
    [0.940, 0.962, 0.965, 0.962],
    [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.9751, 0.975],
    [0.957, 0.978, 0.946, 0.970],
]


class TestRanks:
    def test_example_of_the_source(self):
        strategies = ["random", "m", "cf", "mcf"]
        values = {
            (f"c{i}", strategy): [value]
            for i, row in enumerate(DEMSAR)
            for strategy, value in zip(strategies, row, strict=True)
        }
        study = study_of([f"c{i}" for i in range(14)], strategies)
        table = average_ranks(metrics_of(values), study, "ap")
        assert table["strategy"].tolist() == ["mcf", "m", "cf", "random"]
        expected = [1.964, 2.000, 2.893, 3.143]
        assert table["average_rank"].tolist() == pytest.approx(expected, abs=5e-4)
        # Demsar's 9.28 has no correction for ties: 2 pairs and 4 equal in four rows.
        correction = 1 - (3 * (2**3 - 2) + (4**3 - 4)) / (14 * (4**3 - 4))
        assert table["friedman"][0] * correction == pytest.approx(9.28, abs=0.005)
        assert table["critical_difference"][0] == pytest.approx(1.25, abs=0.005)
        # F = 13 * 9.28 / (14 * 3 - 9.28) = 3.69 there, here of the statistic corrected for ties.
        statistic = table["friedman"][0]
        ratio = 13 * statistic / (14 * 3 - statistic)
        assert table["iman_davenport_p"][0] == pytest.approx(f_distribution.sf(ratio, 3, 39))
        assert table["control_difference"][0] == pytest.approx(2.394 * math.sqrt(20 / 84), abs=5e-4)

    @pytest.mark.parametrize(
        ("k", "q"),
        list(enumerate([1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164], start=2)),
    )
    def test_critical_values_of_the_source(self, k, q):  # Demsar 2006, Table 5a
        metrics, study = toy({f"s{i}": [0.01 * i] * 6 for i in range(1, k)})
        table = average_ranks(metrics, study, "ap")
        expected = q * math.sqrt(k * (k + 1) / (6 * 6))
        assert table["critical_difference"].tolist() == pytest.approx([expected] * k, rel=1e-3)

    def test_five_classes_are_too_few_for_ranks_to_differ(self):
        """Of two strategies, not even five wins of five are significant: p is .0625."""
        table = average_ranks(*toy({"badge": [0.1] * 5}), "ap")
        assert table[["critical_difference", "control_difference"]].isna().all(axis=None)

    def test_the_baseline_is_ranked_and_the_upper_bound_is_not(self):
        metrics, study = toy({"full": [0.25] * 3, "badge": [0.125] * 3, "margin": [-0.125] * 3})
        table = average_ranks(metrics, study, "ap")
        assert table["strategy"].tolist() == ["badge", "random", "margin"]
        assert table["average_rank"].tolist() == [1, 2, 3]


class TestDetectable:
    @pytest.mark.parametrize(("n_classes", "n_others"), [(6, 1), (12, 1), (12, 5), (40, 9)])
    def test_it_is_found_four_times_in_five(self, n_classes, n_others):
        """By simulation: the tests are made with the differences that the function names."""
        rng = np.random.default_rng(0)
        n_seeds, spread = 3, 0.02
        sample = rng.normal(0, spread, (n_others, n_classes, n_seeds))
        sample *= spread / np.sqrt(sample.mean(axis=2).var(axis=1, ddof=1).mean())
        metrics, study = toy({f"s{i}": list(values) for i, values in enumerate(sample)})
        in_mean, in_class = detectable(metrics, study, "ap")
        p = wilcoxon(rng.normal(in_mean, spread, (4000, n_classes)), axis=1).pvalue
        assert np.mean(p * n_others < 0.05) == pytest.approx(0.8, abs=0.03)
        noise = rng.normal(0, np.sqrt(sample.var(axis=2, ddof=1).mean()), (4000, n_seeds))
        of_class = ttest_1samp(noise + in_class, 0, axis=1).pvalue < 0.05
        assert np.mean(of_class) == pytest.approx(0.8, abs=0.08)

    def test_nothing_is_found_in_the_mean_over_too_few_classes(self):
        two_seeds = [[0.1, 0.2], [0.0, 0.1], [0.1, 0.1], [0.2, 0.0], [0.1, 0.3]]
        in_mean, in_class = detectable(*toy({"badge": two_seeds}), "ap")
        assert np.isnan(in_mean)
        assert in_class > 0

    def test_a_single_seed_detects_nothing(self):
        metrics, study = toy({"badge": [0.1, 0.2]})
        assert np.isnan(detectable(metrics, study, "ap")).all()


class TestWorstByChance:
    def test_it_is_the_range_of_the_lowest_of_as_many_normal_variables(self):
        n = 12
        low, high = worst_by_chance(*toy({"badge": [[0.25, -0.25]] * n}), "ap")
        expected = [0.25 * norm.ppf(1 - (1 - p) ** (1 / n)) for p in (0.025, 0.975)]
        assert (low, high) == pytest.approx(expected, rel=0.03)

    def test_a_single_seed_says_nothing(self):
        assert np.isnan(worst_by_chance(*toy({"badge": [0.1, 0.2]}), "ap")).all()


class TestChance:
    def test_forty_coins(self):
        assert chance_range(40) == (14, 26)
        wins, chance = chance_of_two_fifths(40)
        assert wins == 16
        assert chance == pytest.approx(0.923, abs=5e-4)

    @pytest.mark.parametrize("classes", [1, 5, 12, 35, 527])
    def test_the_range_holds_95_percent_and_no_smaller_one_does(self, classes):
        low, high = chance_range(classes)
        chances = binom.pmf(np.arange(classes + 1), classes, 0.5)
        assert chances[low : high + 1].sum() >= 0.95
        assert chances[:low].sum() <= 0.025 < chances[: low + 1].sum()
        wins, chance = chance_of_two_fifths(classes)
        assert wins >= 0.4 * classes - 1e-9 > wins - 1
        assert chance == pytest.approx(chances[wins:].sum())


@pytest.mark.parametrize(
    ("n_classes", "n_seeds", "n_others"), list(itertools.product([1, 2], repeat=3))
)
@pytest.mark.parametrize("tied", [True, False])
def test_the_smallest_studies_have_sensible_numbers(n_classes, n_seeds, n_others, tied):
    size = (n_others, n_classes, n_seeds)
    values = np.zeros(size) if tied else np.random.default_rng(0).normal(size=size)
    metrics, study = toy({f"s{i}": array for i, array in enumerate(values)})
    table = compare(metrics, study, "ap")
    tests = table[["sign_p", "wilcoxon_p", "sign_p_holm", "wilcoxon_p_holm"]]
    assert ((tests > 0) & (tests <= 1)).all(axis=None)
    bounds = table[["difference_low", "difference_high", "wins_low", "wins_high"]]
    assert (bounds.isna() if n_classes == 1 else bounds.notna()).all(axis=None)
    if tied:
        assert (tests == 1).all(axis=None)
        assert (bounds.fillna(0) == 0).all(axis=None), "a tie is no win"
    ranks = average_ranks(metrics, study, "ap")
    assert ranks["average_rank"].sum() == pytest.approx((n_others + 1) * (n_others + 2) / 2)
    tested = n_others >= 2 and n_classes >= 2
    assert ranks["friedman_p"].notna().tolist() == [tested] * (n_others + 1)
    if tested and tied:
        assert (ranks["friedman_p"] == 1).all()
    assert ranks["iman_davenport_p"].isna().all(), "two classes that agree are no proof"


class TestSizeTrend:
    def test_groups_by_hand(self):
        # Sizes 13, 12, ... 1: groups of 7 and of 6 classes, the smallest first.
        metrics, study = toy({"badge": np.arange(13) / 64})
        metrics["n_positive"] = 13.0 - metrics["class"].str[1:].astype(int)
        table = size_trend(metrics, study, "ap")
        assert table[["smallest", "largest"]].to_numpy().tolist() == [[1, 7], [8, 13]]
        assert table["classes"].tolist() == [7, 6]
        for row, members in zip(table.itertuples(), (range(6, 13), range(6)), strict=True):
            expected = mean_interval(np.array(members) / 64)
            assert (row.difference, row.low, row.high) == pytest.approx(expected)

    @pytest.mark.parametrize(("classes", "groups"), [(1, 1), (11, 1), (12, 2), (40, 5), (99, 5)])
    def test_number_of_groups(self, classes, groups):
        metrics, study = toy({"badge": np.arange(classes) / 64, "margin": np.zeros(classes)})
        table = size_trend(metrics, study, "ap")
        assert table.groupby("strategy").size().tolist() == [groups] * 2
        assert table.groupby("strategy")["classes"].sum().tolist() == [classes] * 2


def test_costs_are_averages_per_seed_and_class():
    runs = {s: s for s in ("random", "margin")} | {"entropy": "margin"}
    metrics, study = toy({"margin": [0.25, 0.5], "entropy": [0.25, 0.5]}, runs=runs)
    ours = metrics["strategy"] != "random"
    metrics.loc[ours, "bags_trained"] = [100, 200] * 2
    metrics.loc[ours, "seconds_scoring"] = [3.0, 4.0] * 2
    metrics.loc[ours & (metrics["class"] == "c1"), "device"] = "gpu"
    table = costs(metrics, study)
    assert table["strategy"].tolist() == ["random", "margin"]
    random, margin = table.iloc[0], table.iloc[1]
    assert (random["ap"], random["difference"], random["devices"]) == (0.5, 0, "cpu")
    assert math.isnan(random["difference_low"])
    assert (margin["same_as"], margin["devices"]) == ("entropy", "cpu; gpu")
    assert (margin["ap"], margin["difference"]) == (0.875, 0.375)
    assert (margin["bags_trained"], margin["seconds_scoring"]) == (150, 3.5)
    expected = compare(metrics, study, "ap").iloc[0]
    assert margin["difference_low"] == expected["difference_low"] <= 0.25


def test_frames_are_whole_when_there_is_nothing_to_compare():
    study = study_of(["a"], ["random"])
    metrics = metrics_of({("a", "random"): [0.5, 0.6]})
    full, empty = toy({"badge": [0.25, 0.5]}), (metrics, study)
    for function in (paired_differences, compare, size_trend):
        assert list(function(*empty, "ap").columns) == list(function(*full, "ap").columns)
    assert average_ranks(*empty, "ap")["average_rank"].tolist() == [1]
    assert pd.isna(average_ranks(*empty, "ap")["critical_difference"][0])
    assert costs(*empty)["difference"].tolist() == [0]
