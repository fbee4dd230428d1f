"""Metrics and intervals, on runs small enough to check by hand."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from synthetic import SCORES, metrics_of, study_of, write_run

from weakneg.analysis.intervals import MEAN_OVER_CLASSES, intervals, mean_interval
from weakneg.analysis.metrics import (
    COLUMNS,
    collect_metrics,
    read_metrics,
    run_metrics,
    select_study,
)
from weakneg.analysis.runs import SECONDS
from weakneg.errors import UserError


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
        parts = row[SECONDS].tolist()
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
        with pytest.raises(UserError, match=r"seed 0 have the labels \[1\].*both 0 and 1"):
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

    @pytest.mark.parametrize("name", ["scores", "history", "timing"])
    def test_a_damaged_file_is_named(self, tmp_path, name):
        run = write_run(tmp_path)
        file = run / f"{name}.parquet"
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(UserError, match=rf"{name}\.parquet is damaged .*delete it"):
            run_metrics(run)

    def test_the_kept_epoch_must_be_known(self, tmp_path):
        run = write_run(tmp_path)
        edit(run / "history.parquet", lambda table: table.__setitem__("best", False))
        with pytest.raises(UserError, match="0 epochs of seed 0 are marked as best"):
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

    def test_ties_at_the_ends_are_counted_and_said(self, tmp_path, capsys, monkeypatch):
        """As a head that clamps its output leaves them: positives and negatives at the limit."""
        scores = np.arange(len(SCORES), dtype=float)
        for limit, tied in ((np.inf, [0, 0]), (len(SCORES) - 3.0, [3, 3])):
            run = write_run(tmp_path / "run", "zebra", scores=np.minimum(scores, limit))
            monkeypatch.setattr("weakneg.analysis.metrics.HANDFUL", 2)
            collect_metrics([("random", run)], tmp_path / "metrics.csv")
            metrics = read_metrics(tmp_path / "metrics.csv")
            assert metrics["tied_highest"].tolist() == tied
            assert metrics["tied_lowest"].tolist() == [0, 0]
            line = capsys.readouterr().err
            assert ("(up to 3: class 'zebra', strategy 'random', seed 0)" in line) == any(tied)

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
        with pytest.raises(
            UserError, match="'cat', strategy 'random' and seed 0 occur more than once"
        ):
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
        with pytest.raises(UserError, match="does not exist; run collect_metrics"):
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


# ---- what nobody knows -------------------------------------------------------------------------
def with_unknown(table):
    """Further bags, unknown, with the highest, the lowest and other scores."""
    seeds = table["seed"].unique()
    more = pd.DataFrame(
        {"seed": np.repeat(seeds, 3), "score": np.tile([9.0, 9.0, -9.0], len(seeds))}
    ).assign(label=-1, bag=-1)
    return pd.concat([table, more], ignore_index=True)


def test_unknown_bags_are_counted_and_change_no_metric(tmp_path):
    before = run_metrics(write_run(tmp_path / "a"))
    folder = write_run(tmp_path / "b")
    with_unknown(pd.read_parquet(folder / "scores.parquet")).to_parquet(folder / "scores.parquet")
    after = run_metrics(folder)
    assert before["test_unknown"].tolist() == [0, 0]
    assert after["test_unknown"].tolist() == [3, 3]
    same = [column for column in COLUMNS if column != "test_unknown"]
    pd.testing.assert_frame_equal(before[same], after[same])


def test_the_column_of_unknown_bags_is_only_there_if_there_are_any(tmp_path):
    runs = [("random", write_run(tmp_path / "a")), ("margin", write_run(tmp_path / "b"))]
    collect_metrics(runs, tmp_path / "before.csv")
    header = (tmp_path / "before.csv").read_text().splitlines()[0].split(",")
    assert header == [column for column in COLUMNS if column != "test_unknown"]
    assert read_metrics(tmp_path / "before.csv")["test_unknown"].tolist() == [0] * 4
    scores = runs[1][1] / "scores.parquet"
    with_unknown(pd.read_parquet(scores)).to_parquet(scores)
    collect_metrics(runs, tmp_path / "after.csv")
    after = read_metrics(tmp_path / "after.csv")
    assert after.columns.tolist() == COLUMNS
    assert after["test_unknown"].tolist() == [0, 0, 3, 3]


def test_a_class_of_which_no_test_bag_is_known_to_be_negative_is_named(tmp_path):
    folder = write_run(tmp_path)
    edit(folder / "scores.parquet", lambda table: table.replace({"label": {0: -1}}, inplace=True))
    words = r"have the labels \[1\] \(2 others are unknown\).*class 'cat'"
    with pytest.raises(UserError, match=words):
        run_metrics(folder)


class TestManyClasses:
    LABEL = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, -1, 0]], np.int8)
    SCORE = np.array([[3.0, 1.0, 0.0], [2.0, 2.0, 1.0], [1.0, 0.0, 2.0], [0.0, 9.0, 3.0]])

    @pytest.fixture
    def run(self, tmp_path):
        folder = write_run(tmp_path, seeds=(0,))
        table = {"seed": [0] * 4, "bag": range(4), "label": list(self.LABEL)}
        pd.DataFrame(table | {"score": list(self.SCORE)}).to_parquet(folder / "scores.parquet")
        record = json.loads((folder / "run.json").read_text())
        record |= {"class": "all classes", "settings": {"classes": ["a", "b", "c"]}}
        record |= {"n_positive": {"0": [5, 2, 9]}, "n_pool": {"0": [5, 8, 1]}}
        del record["thresholds"]
        (folder / "run.json").write_text(json.dumps(record))
        return folder

    def test_each_class_has_a_row_of_its_own(self, run):
        metrics = run_metrics(run)
        assert metrics["class"].tolist() == ["a", "b", "c"]
        assert metrics["ap"].tolist()[:2] == pytest.approx([5 / 6, 5 / 6])
        assert metrics["roc_auc"].tolist()[:2] == pytest.approx([3 / 4, 1 / 2])
        assert metrics["n_positive"].tolist() == [5, 2, 9]
        assert metrics["test_positive"].tolist() == [2, 2, 0]
        assert metrics["test_bags"].tolist() == [4, 3, 4]
        assert metrics["test_unknown"].tolist() == [0, 1, 0]

    def test_a_class_that_cannot_be_ranked_or_was_never_seen_has_no_metrics(self, run):
        assert np.isnan(run_metrics(run)["ap"][2]), "no positive test bag"
        record = json.loads((run / "run.json").read_text())
        record["n_positive"]["0"][0] = 0
        (run / "run.json").write_text(json.dumps(record))
        metrics = run_metrics(run)
        assert np.isnan(metrics.loc[0, ["ap", "roc_auc", "lift"]].astype(float)).all()
        assert metrics["ap"][1] == pytest.approx(5 / 6)


def test_a_class_without_results_stays_without_numbers_in_the_file(tmp_path):
    written = metrics_of({("NA", "random"): [0.5], ("", "random"): [0.1]})
    written.loc[0, ["ap", "f1"]] = np.nan
    written.to_csv(tmp_path / "metrics.csv", index=False)
    found = read_metrics(tmp_path / "metrics.csv")
    assert found["class"].tolist() == ["NA", ""]
    assert found["ap"].tolist() == pytest.approx([np.nan, 0.1], nan_ok=True)
    assert found["f1"].dtype == float
