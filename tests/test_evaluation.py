"""Metrics, intervals, comparisons and tables, on runs small enough to check by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from weakneg.errors import UserError
from weakneg.evaluation import (
    COLUMNS,
    MEAN_OVER_CLASSES,
    collect_metrics,
    intervals,
    mean_interval,
    paired_differences,
    read_metrics,
    run_metrics,
    select_study,
    win_counts,
)
from weakneg.tables import write_tables

PARTS = ("scoring", "selecting", "training", "evaluating")

# Ranked + - + - : AP = (1/1 + 2/3) / 2 = 5/6, ROC-AUC = 3 of 4 pairs in order.
LABELS, SCORES = [1, 0, 1, 0], [4.0, 3.0, 2.0, 1.0]


def write_run(
    folder,
    class_name="cat",
    strategy="random",
    seeds=(0, 1),
    scores=SCORES,
    thresholds={"f1": 2.0, "g_mean": 4.0},  # noqa: B006
):
    """A run of three epochs per seed, of which the second was the best."""
    folder.mkdir(parents=True, exist_ok=True)
    bags = np.arange(len(LABELS))
    pd.concat(
        pd.DataFrame({"seed": seed, "bag": bags, "label": LABELS, "score": scores})
        for seed in seeds
    ).to_parquet(folder / "scores.parquet")
    epochs = pd.DataFrame({"seed": np.repeat(seeds, 3), "epoch": np.tile([1, 2, 3], len(seeds))})
    epochs.assign(
        validation_ap=np.tile([0.5, 0.7, 0.6], len(seeds)),
        bags_trained=epochs["epoch"] * 30,
        best=epochs["epoch"] == 2,
    ).to_parquet(folder / "history.parquet")
    epochs.assign(
        seconds_scoring=1.0,
        seconds_selecting=0.5,
        seconds_training=2.0,
        seconds_evaluating=0.25,
        peak_memory_bytes=1,
    ).to_parquet(folder / "timing.parquet")
    run = {"class": class_name, "strategy": strategy, "fingerprint": "f00"}
    device = {"device": "cpu: A"}
    for key, value in {
        "n_positive": 10,
        "n_pool": 50,
        "budget": 20,
        "made_with": device,
        "thresholds": thresholds,
    }.items():
        run[key] = {str(seed): value for seed in seeds}
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def metrics_of(values):
    """{(class, strategy): [AP of seed 0, of seed 1, ...]} as a metrics frame."""
    rows = [
        {"class": class_name, "strategy": strategy, "seed": seed, "ap": ap, "roc_auc": ap}
        for (class_name, strategy), aps in values.items()
        for seed, ap in enumerate(aps)
    ]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    filled = {column: 1.0 for column in COLUMNS[5:]} | {"device": "cpu", "fingerprint": "f"}
    return frame.fillna(filled)


def study_of(classes, strategies, **more):
    return {
        "name": "toy",
        "title": "Toy",
        "classes": classes,
        "strategies": strategies,
        "baseline": "random",
        "reference": None,
        "note": "",
        **more,
    }


def edit(path, change):
    change(table := pd.read_parquet(path))
    table.to_parquet(path)


class TestRunMetrics:
    def test_values_by_hand(self, tmp_path):
        metrics = run_metrics(write_run(tmp_path, seeds=(3, 1)))
        assert list(metrics.columns) == COLUMNS
        assert metrics["seed"].tolist() == [1, 3]
        row = metrics.iloc[0]
        assert row["ap"] == pytest.approx(5 / 6)
        assert row["roc_auc"] == pytest.approx(3 / 4)
        assert row["lift"] == pytest.approx(5 / 3)  # half of the bags are positive
        # At 2.0 the first three bags are called positive: TP = 2, FP = 1, FN = 0.
        assert row["f1"] == pytest.approx(4 / 5)
        # At 4.0 only the first one: sensitivity 1/2, specificity 1.
        assert row["g_mean"] == pytest.approx(math.sqrt(1 / 2))
        assert row["epochs"] == 3
        assert row["best_epoch"] == 2
        assert row["bags_trained"] == 90
        assert row["seconds"] == pytest.approx(3 * 3.75)
        parts = [row[f"seconds_{part}"] for part in PARTS]
        assert parts == pytest.approx([3 * 1.0, 3 * 0.5, 3 * 2.0, 3 * 0.25])
        assert row["seconds_to_best"] == pytest.approx(2 * 3.75)
        assert (row["test_positive"], row["test_bags"]) == (2, 4)
        assert (row["n_positive"], row["n_pool"], row["budget"]) == (10, 50, 20)

    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_diverged_seed_is_named(self, tmp_path, bad):
        run = write_run(tmp_path, scores=[bad, 3.0, 2.0, 1.0])
        with pytest.raises(UserError, match=r"scores\.parquet.*seed 0 has 1 scores.*not finite"):
            run_metrics(run)

    def test_a_threshold_that_calls_nothing_positive_scores_zero(self, tmp_path):
        run = write_run(tmp_path, thresholds={"f1": 5.0, "g_mean": 5.0})
        metrics = run_metrics(run)
        assert metrics[["f1", "g_mean"]].to_numpy().tolist() == [[0, 0], [0, 0]]

    @pytest.mark.parametrize("bad", [{"f1": 1.0}, {"f1": 1.0, "g_mean": math.nan}])
    def test_a_seed_without_thresholds_is_named(self, tmp_path, bad):
        with pytest.raises(UserError, match=r"run\.json: the thresholds of seed 0 are"):
            run_metrics(write_run(tmp_path, thresholds=bad))

    def test_one_label_is_refused(self, tmp_path):
        run = write_run(tmp_path)
        edit(run / "scores.parquet", lambda table: table.__setitem__("label", 1))
        with pytest.raises(UserError, match=r"seed 0 carry the labels \[1\].*both 0 and 1"):
            run_metrics(run)

    def test_files_that_disagree_about_seeds_are_refused(self, tmp_path):
        run = write_run(tmp_path, seeds=(0, 1))
        scores = pd.read_parquet(run / "scores.parquet")
        scores[scores["seed"] == 0].to_parquet(run / "scores.parquet")
        with pytest.raises(UserError, match=r"seeds \[0\] but history\.parquet holds \[0, 1\]"):
            run_metrics(run)

    def test_history_without_its_timing_is_refused(self, tmp_path):
        run = write_run(tmp_path)
        timing = pd.read_parquet(run / "timing.parquet")
        timing.iloc[:-1].to_parquet(run / "timing.parquet")
        with pytest.raises(UserError, match=r"history\.parquet and timing\.parquet"):
            run_metrics(run)

    @pytest.mark.parametrize("name", ["scores.parquet", "history.parquet", "run.json"])
    def test_a_missing_file_is_named(self, tmp_path, name):
        run = write_run(tmp_path)
        (run / name).unlink()
        with pytest.raises(UserError, match=f"{name} does not exist; train this run first"):
            run_metrics(run)

    def test_the_kept_epoch_must_be_known(self, tmp_path):
        run = write_run(tmp_path)
        edit(run / "history.parquet", lambda table: table.__setitem__("best", False))
        with pytest.raises(UserError, match="seed 0 marks 0 epochs as best"):
            run_metrics(run)


class TestMetricsFile:
    def test_keeps_the_order_of_the_folders_and_every_digit(self, tmp_path):
        folders = [
            write_run(tmp_path / "b", "zebra", "random", seeds=(1, 0)),
            write_run(tmp_path / "a", "ant", "badge", seeds=(1, 0)),
        ]
        runs = zip(("random", "badge"), folders, strict=True)
        collect_metrics(list(runs), tmp_path / "metrics.csv")
        metrics = read_metrics(tmp_path / "metrics.csv")
        assert metrics["class"].tolist() == ["zebra", "zebra", "ant", "ant"]
        assert metrics["seed"].tolist() == [0, 1, 0, 1]
        assert metrics["ap"].tolist() == pd.concat(map(run_metrics, folders))["ap"].tolist()

    @pytest.mark.parametrize("name", ["NA", "007", "nan", "", 'a,"b"', "null"])
    def test_odd_names_survive(self, tmp_path, name):
        collect_metrics([("random", write_run(tmp_path / "run", name))], tmp_path / "metrics.csv")
        assert read_metrics(tmp_path / "metrics.csv")["class"].tolist() == [name, name]

    def test_strategies_that_choose_the_same_bags_share_a_run(self, tmp_path):
        run = write_run(tmp_path / "margin", strategy="margin")
        collect_metrics([("margin", run), ("entropy", run)], tmp_path / "metrics.csv")
        metrics = read_metrics(tmp_path / "metrics.csv")
        assert metrics["strategy"].tolist() == ["margin", "margin", "entropy", "entropy"]
        ap = metrics.groupby("strategy")["ap"].apply(list)
        assert ap["margin"] == ap["entropy"]

    def test_a_run_named_twice_is_refused(self, tmp_path):
        run = write_run(tmp_path / "run")
        with pytest.raises(UserError, match="'cat', strategy 'random' and seed 0 come twice"):
            collect_metrics([("random", run)] * 2, tmp_path / "metrics.csv")
        assert not (tmp_path / "metrics.csv").exists()

    def test_a_bad_run_leaves_the_old_file(self, tmp_path):
        output = tmp_path / "metrics.csv"
        collect_metrics([("random", write_run(tmp_path / "run"))], output)
        before = output.read_bytes()
        with pytest.raises(UserError):
            collect_metrics(
                [("random", write_run(tmp_path / "bad", scores=[math.nan] * 4))], output
            )
        assert output.read_bytes() == before

    def test_missing_or_foreign_files(self, tmp_path):
        with pytest.raises(UserError, match="does not exist; run the metrics stage"):
            read_metrics(tmp_path / "metrics.csv")
        (tmp_path / "metrics.csv").write_text("class,strategy\n")
        with pytest.raises(UserError, match="no column 'seed'"):
            read_metrics(tmp_path / "metrics.csv")


class TestIntervals:
    def test_golden_value(self):
        # t(.975, 2) = 4.302653; sd = .02; half-width = 4.302653 * .02 / sqrt(3)
        mean, low, high = mean_interval([0.80, 0.82, 0.84])
        assert mean == pytest.approx(0.82)
        assert mean - low == pytest.approx(0.0496828, abs=1e-6)
        assert high - mean == pytest.approx(0.0496828, abs=1e-6)

    def test_one_seed_has_no_interval(self):
        mean, low, high = mean_interval([0.8])
        assert mean == 0.8
        assert math.isnan(low)
        assert math.isnan(high)

    def test_arrays_are_taken_over_the_first_axis(self):
        values = np.random.default_rng(0).random((4, 3))
        columns = [mean_interval(values[:, i]) for i in range(3)]
        np.testing.assert_allclose(mean_interval(values), np.transpose(columns))

    def test_covers_the_truth_95_times_of_100(self):
        values = np.random.default_rng(1).normal(size=(5, 20_000))
        _, low, high = mean_interval(values)
        assert np.mean((low < 0) & (high > 0)) == pytest.approx(0.95, abs=0.006)

    def test_mean_over_classes_is_taken_within_each_seed(self):
        # The classes swing against each other: each varies over seeds, their mean does not.
        metrics = metrics_of({("a", "random"): [0.2, 0.8], ("b", "random"): [0.8, 0.2]})
        rows = intervals(metrics, "ap").set_index("class")
        assert rows.loc[MEAN_OVER_CLASSES, ["mean", "low", "high"]].tolist() == [0.5, 0.5, 0.5]
        assert rows.loc["a", "high"] > 1


class TestComparisons:
    def test_pairing_by_seed_sees_what_means_hide(self):
        metrics = metrics_of(
            {("a", "random"): [0.1, 0.5, 0.9], ("a", "badge"): [0.12, 0.521, 0.92]}
        ).sample(frac=1, random_state=0)  # the order of the rows must not matter
        row = paired_differences(metrics, "random", "ap").iloc[0]
        assert row["difference"] == pytest.approx((0.02 + 0.021 + 0.02) / 3)
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
        row = paired_differences(metrics, "random", "ap").iloc[0]
        assert (row["verdict"], row["clear"]) == (verdict, clear)

    def test_one_seed_is_never_clear(self):
        metrics = metrics_of({("a", "random"): [0.1], ("a", "badge"): [0.9]})
        row = paired_differences(metrics, "random", "ap").iloc[0]
        assert (row["verdict"], row["clear"]) == ("better", False)

    def test_different_seeds_cannot_be_paired(self):
        metrics = metrics_of({("a", "random"): [0.1, 0.2], ("a", "badge"): [0.9]})
        with pytest.raises(UserError, match=r"'badge' has seeds \[0\].*'random' has \[0, 1\]"):
            paired_differences(metrics, "random", "ap")

    def test_nothing_to_compare_is_empty_and_not_an_error(self):
        alone = paired_differences(metrics_of({("a", "random"): [0.1]}), "random", "ap")
        absent = paired_differences(metrics_of({("a", "badge"): [0.1]}), "random", "ap")
        assert alone.empty
        assert absent.empty
        assert win_counts(alone).empty

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
        aps = [0.6] * wins + [0.5] * ties + [0.4] * losses
        values = {(f"c{i}", "random"): [0.5, 0.5] for i in range(40)}
        values |= {(f"c{i}", "badge"): [ap, ap] for i, ap in enumerate(aps)}
        row = win_counts(paired_differences(metrics_of(values), "random", "ap")).iloc[0]
        assert (row["wins"], row["ties"], row["losses"]) == (wins, ties, losses)
        assert (row["clear_wins"], row["clear_losses"]) == (wins, losses)
        assert row["classes"] == 40
        assert row["p"] == pytest.approx(p, abs=5e-5)


class TestStudy:
    values = {  # noqa: RUF012
        ("a", "random"): [0.5, 0.6],
        ("b", "random"): [0.7, 0.8],
        ("a", "badge"): [0.6, 0.7],
        ("b", "badge"): [0.6, 0.6],
    }

    def test_orders_rows_as_the_study_does_and_drops_the_rest(self):
        metrics = select_study(metrics_of(self.values), study_of(["b"], ["badge", "random"]))
        assert metrics[["class", "strategy", "seed"]].to_numpy().tolist() == [
            ["b", "badge", 0],
            ["b", "badge", 1],
            ["b", "random", 0],
            ["b", "random", 1],
        ]

    def test_a_hole_is_named(self):
        metrics = metrics_of(self.values).drop(index=5)
        with pytest.raises(UserError, match=r"lack seed 1 of class 'a' and strategy 'badge' \(1"):
            select_study(metrics, study_of(["a", "b"], ["random", "badge"]))

    def test_results_do_not_depend_on_the_order_of_strategies(self, tmp_path):
        metrics_of(self.values).to_csv(tmp_path / "metrics.csv", index=False)
        tables = {}
        for strategies in (["random", "badge"], ["badge", "random"]):
            folder = tmp_path / "-".join(strategies)
            write_tables(tmp_path / "metrics.csv", study_of(["a", "b"], strategies), folder)
            table = pd.read_csv(folder / "table1.csv")
            assert table["strategy"].drop_duplicates().tolist() == strategies
            keys = ["class", "strategy", "metric"]
            tables[folder.name] = table.sort_values(keys).reset_index(drop=True)
        pd.testing.assert_frame_equal(*tables.values())


class TestTables:
    def write(self, tmp_path, values, study):
        metrics_of(values).to_csv(tmp_path / "metrics.csv", index=False)
        write_tables(tmp_path / "metrics.csv", study, tmp_path / "tables")
        return tmp_path / "tables"

    def test_markdown_reads_as_the_papers_table(self, tmp_path):
        values = {
            ("plane", "full"): [0.9, 0.9],
            ("plane", "random"): [0.80, 0.82],
            ("plane", "badge"): [0.84, 0.84],
        }
        reference = {"source": "P 2024", "values": {"random": {"plane": {"ap": 0.9}}}}
        study = study_of(
            ["plane"], ["full", "random", "badge"], reference=reference, note="Toy data."
        )
        text = (self.write(tmp_path, values, study) / "table1.md").read_text()
        caption, _, header, _, full, random, badge, _, note = text.splitlines()
        assert "95% Student-t interval over 2 seeds" in caption
        assert "paper: P 2024" in caption
        assert header.startswith("| Strategy")
        assert "plane AP" in header
        # t(.975, 1) = 12.7062; sd = .014142; half-width .127
        assert ".810 ± .127 (paper .90)" in random
        assert "**.840** ± .000" in badge
        assert "**" not in full + random, "the upper bound does not compete"
        assert len({len(line) for line in (header, full, random, badge)}) == 1
        assert note == "Toy data."

    def test_each_class_and_the_mean_stand_in_exactly_one_block(self, tmp_path):
        classes = [f"c{i}|x" for i in range(9)]
        values = {(c, s): [0.5, 0.6] for c in classes for s in ("random", "badge")}
        folder = self.write(tmp_path, values, study_of(classes, ["random", "badge"]))
        headers = [
            line
            for line in (folder / "table1.md").read_text().splitlines()
            if line.startswith("| Strategy")
        ]
        cells = " ".join(headers)
        for name in [*(f"c{i}\\|x" for i in range(9)), MEAN_OVER_CLASSES]:
            assert cells.count(f"{name} AP") == 1
        assert headers[-1].rstrip(" |").endswith(f"{MEAN_OVER_CLASSES} ROC-AUC")

    def test_one_seed_says_so(self, tmp_path):
        values = {("a", "random"): [0.5], ("a", "badge"): [0.6]}
        folder = self.write(tmp_path, values, study_of(["a"], ["random", "badge"]))
        for name in ("table1.md", "win_counts.md"):
            text = (folder / name).read_text()
            assert "1 seed (no interval)" in text
            assert "nan" not in text
            assert "±" not in text

    def test_csv_files_hold_full_precision(self, tmp_path):
        values = {("a", "random"): [0.1, 0.2], ("a", "badge"): [1 / 3, 2 / 3]}
        folder = self.write(tmp_path, values, study_of(["a"], ["random", "badge"]))
        differences = pd.read_csv(folder / "differences.csv")
        expected = mean_interval(np.array([1 / 3, 2 / 3]) - [0.1, 0.2])
        row = differences[differences["metric"] == "ap"].iloc[0]
        assert (row["difference"], row["low"], row["high"]) == expected
        counts = pd.read_csv(folder / "win_counts.csv")
        assert counts[["metric", "wins"]].to_numpy().tolist() == [["ap", 1], ["roc_auc", 1]]

    def test_without_a_comparison_the_tables_still_come(self, tmp_path):
        folder = self.write(tmp_path, {("a", "badge"): [0.5, 0.6]}, study_of(["a"], ["badge"]))
        assert "nothing to count" in (folder / "win_counts.md").read_text()
        assert pd.read_csv(folder / "win_counts.csv").empty
        assert "BADGE" in (folder / "table1.md").read_text()
