"""Tables: what they say, at every size of study."""

import numpy as np
import pandas as pd
import pytest
from synthetic import metrics_of, settings_of

from weakneg.analysis.intervals import MEAN_OVER_CLASSES, mean_interval
from weakneg.io.csv import write_frame
from weakneg.report.formatting import DASH, MINUS
from weakneg.report.tables import write_tables

VALUES = {
    ("a", "random"): [0.5, 0.6],
    ("b", "random"): [0.7, 0.8],
    ("a", "badge"): [0.6, 0.7],
    ("b", "badge"): [0.6, 0.6],
}


def test_results_do_not_depend_on_the_order_of_strategies(tmp_path):
    metrics_of(VALUES).to_csv(tmp_path / "metrics.csv", index=False)
    tables = {}
    for strategies in (["random", "badge"], ["badge", "random"]):
        folder = tmp_path / "-".join(strategies)
        write_tables(tmp_path / "metrics.csv", settings_of(["a", "b"], strategies), folder)
        table = pd.read_csv(folder / "table1.csv")
        assert table["strategy"].drop_duplicates().tolist() == strategies
        keys = ["class", "strategy", "metric"]
        tables[folder.name] = table.sort_values(keys).reset_index(drop=True)
    pd.testing.assert_frame_equal(*tables.values())


def write(tmp_path, values, settings, **changed):
    """The folder of the tables of {(class, strategy): [AP of seed 0, ...]}."""
    metrics_of(values).assign(**changed).to_csv(tmp_path / "metrics.csv", index=False)
    write_tables(tmp_path / "metrics.csv", settings, tmp_path / "tables")
    return tmp_path / "tables"


def rows_of(text, title):
    """The cells below the header that starts with `title`, by the first cell of their row."""
    lines = iter(text.splitlines())
    header = next(line for line in lines if line.startswith(f"| {title} "))
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in [header, *lines]]
    end = next((i for i, row in enumerate(rows) if not row), len(rows))
    assert all(set(cell) <= set("-:") for cell in rows[1])
    return {row[0]: row[1:] for row in [rows[0], *rows[2:end]]}


class TestTables:
    def test_markdown_reads_as_the_papers_table(self, tmp_path):
        values = {
            ("plane", "full"): [0.9, 0.9],
            ("plane", "random"): [0.80, 0.82],
            ("plane", "badge"): [0.84, 0.84],
        }
        reference = {"source": "P 2024", "values": {"random": {"plane": {"ap": 0.9}}}}
        settings = settings_of(
            ["plane"], ["full", "random", "badge"], reference=reference, note="Toy data."
        )
        text = (write(tmp_path, values, settings) / "table1.md").read_text()
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
        folder = write(tmp_path, values, settings_of(classes, ["random", "badge"]))
        headers = [
            line
            for line in (folder / "table1.md").read_text().splitlines()
            if line.startswith("| Strategy")
        ]
        cells = " ".join(headers)
        for name in [*(f"c{i}&#124;x" for i in range(9)), MEAN_OVER_CLASSES]:
            assert cells.count(f"{name} AP") == 1
        assert headers[-1].rstrip(" |").endswith(f"{MEAN_OVER_CLASSES} ROC-AUC")

    def test_many_classes_are_the_rows_of_one_table(self, tmp_path):
        classes = [f"c{i}, or so" for i in range(13)]
        strategies = ["full", "random", "margin", "entropy"]
        aps = {"full": 0.9, "random": 0.5, "margin": 0.6, "entropy": 0.6}
        values = {(c, s): [aps[s], aps[s]] for c in classes for s in strategies}
        runs = {s: s for s in strategies} | {"entropy": "margin"}
        folder = write(
            tmp_path,
            values,
            settings_of(classes, strategies, runs=runs),
            n_positive=1234,
            test_positive=3,
            test_bags=500,
        )
        rows = rows_of((folder / "table1.md").read_text(), "Class")
        assert list(rows) == ["Class", *classes, MEAN_OVER_CLASSES]
        assert rows["Class"] == [
            *("Positives", "Prevalence", "Full set", "Random", "Margin = Entropy")
        ]
        expected = ["1,234", "0.6%", ".900 ± .000", ".500 ± .000", "**.600** ± .000"]
        assert rows[classes[0]] == expected
        assert rows[MEAN_OVER_CLASSES] == ["", "", *expected[2:]]

    def test_the_csv_has_every_metric_and_the_size_of_each_class(self, tmp_path):
        settings = settings_of(["a", "b"], ["random", "badge"])
        changed = {"f1": 0.25, "g_mean": 0.75, "lift": 3.0, "n_positive": 7, "test_bags": 4}
        folder = write(tmp_path, VALUES, settings, **changed)
        table = pd.read_csv(folder / "table1.csv").set_index(["class", "strategy", "metric"])
        table = table.sort_index()
        found = table.loc[("a", "badge"), "mean"]
        assert found.to_dict() == pytest.approx(
            {"ap": 0.65, "roc_auc": 0.65, "lift": 3, "f1": 0.25, "g_mean": 0.75}
        )
        assert table.loc[("a", "badge", "ap"), ["n_positive", "prevalence"]].tolist() == [7, 0.25]

    def test_one_seed_says_so(self, tmp_path):
        values = {("a", "random"): [0.5], ("a", "badge"): [0.6]}
        folder = write(tmp_path, values, settings_of(["a"], ["random", "badge"]))
        for name in ("table1.md", "win_counts.md"):
            assert "1 seed (no interval)" in (folder / name).read_text()
        for name in ("table1.md", "win_counts.md", "cost.md"):
            text = (folder / name).read_text()
            assert "nan" not in text
            assert "±" not in text
            assert "[" not in text
            assert "over classes and seeds" not in text

    def test_the_note_is_below_every_table(self, tmp_path):
        settings = settings_of(["a", "b"], ["random", "badge"], note="Toy data.")
        folder = write(tmp_path, VALUES, settings)
        texts = [path.read_text() for path in folder.glob("*.md")]
        assert len(texts) == 3
        assert all(text.endswith("|\n\nToy data.\n") for text in texts)

    def test_csv_files_hold_full_precision(self, tmp_path):
        values = {("a", "random"): [0.1, 0.2], ("a", "badge"): [1 / 3, 2 / 3]}
        folder = write(tmp_path, values, settings_of(["a"], ["random", "badge"]))
        differences = pd.read_csv(folder / "differences.csv")
        expected = mean_interval(np.array([1 / 3, 2 / 3]) - [0.1, 0.2])
        row = differences[differences["metric"] == "ap"].iloc[0]
        assert (row["difference"], row["low"], row["high"]) == expected
        counts = pd.read_csv(folder / "win_counts.csv")
        assert counts[["metric", "wins"]].to_numpy().tolist() == [["ap", 1], ["roc_auc", 1]]


class TestComparisons:
    def test_win_counts_say_what_they_are_of(self, tmp_path):
        classes = [f"c{i}" for i in range(40)]
        strategies = ["full", "random", "badge", "margin", "entropy"]
        values = {(c, "random"): [0.5, 0.5] for c in classes}
        for i, c in enumerate(classes):
            values[c, "full"] = values[c, "badge"] = [0.625, 0.625] if i < 28 else [0.375, 0.375]
            values[c, "margin"] = values[c, "entropy"] = [0.5, 0.5]
        runs = {s: s for s in strategies} | {"entropy": "margin"}
        settings = settings_of(classes, strategies, runs=runs)
        text = (write(tmp_path, values, settings) / "win_counts.md").read_text()
        caption = text.splitlines()[0]
        assert "(of 40)" in caption
        assert "over 2 seeds" in caption
        assert "corrected for 2 comparisons (without Full set" in caption
        assert "give 14 to 26 heads at least 95% of the time" in caption
        assert "heads in at least 40% of them (16 or more) 92% of the time" in caption
        assert "too narrow" not in caption
        rows = rows_of(text, "AP")
        # Binomial(40, .7) has 22 to 33 in its middle; the mean is (2 wins - 40) / 40 * .125.
        mean = "+.050 [+.013, +.081]"
        better, worse, p = "28 (28) [22, 33]", "12 (12)", ".017"
        wilcoxon = rows["BADGE"][6]
        assert rows["BADGE"] == [better, "0", worse, p, ".033", mean, wilcoxon, rows["BADGE"][7]]
        assert rows["Full set (upper bound)"] == [better, "0", worse, p, DASH, mean, wilcoxon, DASH]
        assert rows["Margin = Entropy"] == [
            *("0 (0) [0, 0]", "40", "0 (0)", "1.000", "1.000", ".000 [.000, .000]"),
            *("1.000", "1.000"),
        ]

    def test_ranks_stand_best_first(self, tmp_path):
        values = {
            (c, s): [ap, ap]
            for c in "abcdef"
            for s, ap in {"random": 0.5, "badge": 0.4, "margin": 0.6, "full": 0.9}.items()
        }
        settings = settings_of([*"abcdef"], ["full", "random", "badge", "margin"])
        text = (write(tmp_path, values, settings) / "win_counts.md").read_text()
        assert list(rows_of(text, "Rank by").items())[1:] == [
            ("Margin", ["1.00", "1.00"]),
            ("Random", ["2.00", "2.00"]),
            ("BADGE", ["3.00", "3.00"]),
        ]
        # 2.343 sqrt(3 * 4 / (6 * 6)); six rankings that agree: chi-squared 12, p = e^-6.
        assert "differ by at least 1.35 (Nemenyi" in text
        assert "differ by at least 1.29 (Bonferroni" in text  # 2.241 instead of 2.343
        assert "AP .002, ROC-AUC .002" in text

    def test_ranks_on_few_classes_are_not_said_to_differ(self, tmp_path):
        values = {(c, s): [ap, ap] for c in "abcde" for s, ap in (("random", 0.5), ("badge", 0.6))}
        settings = settings_of([*"abcde"], ["random", "badge"])
        text = (write(tmp_path, values, settings) / "win_counts.md").read_text()
        assert "Too few classes to tell which ranks differ significantly." in text
        assert "differ by at least" not in text

    def test_without_a_comparison_the_tables_still_come(self, tmp_path):
        folder = write(tmp_path, {("a", "badge"): [0.5, 0.6]}, settings_of(["a"], ["badge"]))
        assert "nothing to count" in (folder / "win_counts.md").read_text()
        assert pd.read_csv(folder / "win_counts.csv").empty
        assert "BADGE" in (folder / "table1.md").read_text()


class TestCost:
    def test_what_it_says(self, tmp_path):
        settings = settings_of(["a", "b"], ["random", "badge"])
        seconds = {"seconds_scoring": 2.5, "seconds_training": 1234.4, "seconds": 1236.9}
        folder = write(tmp_path, VALUES, settings, bags_trained=[1000, 3000] * 4, **seconds)
        text = (folder / "cost.md").read_text()
        assert "over 2 classes and 2 seeds" in text
        assert "for each part of an epoch, on cpu; epoch kept:" in text
        assert "Tied" not in text
        assert "over classes and seeds (too narrow: few classes)" in text
        rows = rows_of(text, "Strategy")
        assert rows["Strategy"][2:5] == ["Bags", "Seconds", "Scoring"]
        assert rows["Strategy"][-2:] == ["Epoch kept", "Until then"]
        expected = [".650", ".000", "2,000", "1,237", "2.5", "1.0", "1,234", "1.0", "1.0", "1.0"]
        assert rows["Random"] == expected
        # +.1 and +.1 on a, -.1 and -.2 on b. Drawing b twice, and of it the second seed four
        # times, has a chance of 1/64, three times of 1/16.
        assert rows["BADGE"][1].startswith(f"{MINUS}.025 [{MINUS}.175, +.100]")

    def test_scores_that_tie_have_a_column(self, tmp_path):
        settings = settings_of(["a", "b"], ["random", "badge"])
        tied = [0, 3, 0, 0, 148, 0, 0, 0]
        folder = write(tmp_path, VALUES, settings, tied_highest=tied, tied_lowest=[2] * 8)
        rows = rows_of((folder / "cost.md").read_text(), "Strategy")
        assert (rows["Strategy"][-1], rows["Random"][-1], rows["BADGE"][-1]) == ("Tied", "3", "148")

    def test_seconds_of_several_machines_are_not_to_be_compared(self, tmp_path):
        settings = settings_of(["a", "b"], ["random", "badge"])
        device = ["gpu", *["cpu"] * 7]
        text = (write(tmp_path, VALUES, settings, device=device) / "cost.md").read_text()
        assert "on different machines, so not comparable (cpu, gpu)" in text


@pytest.mark.parametrize(
    ("unknown", "words"),
    [((0, 0), None), ((12, 12), "unknown, 12 per class"), ((3, 0), "unknown, 0 to 3 per class")],
)
def test_the_table_says_how_many_test_bags_no_metric_counts(tmp_path, unknown, words):
    metrics = metrics_of({("a", "random"): [0.5, 0.6], ("b", "random"): [0.4, 0.5]})
    metrics["test_unknown"] = np.repeat(unknown, 2)
    if not any(unknown):
        metrics = metrics.drop(columns="test_unknown")
    write_frame(tmp_path / "metrics.csv", metrics)
    write_tables(tmp_path / "metrics.csv", settings_of("ab", ["random"]), tmp_path)
    text = (tmp_path / "table1.md").read_text()
    table = pd.read_csv(tmp_path / "table1.csv")
    if words is None:
        assert "nknown" not in text
        assert "test_unknown" not in table
    else:
        assert f"left out of all metrics: test bags whose label is {words}" in text
        assert sorted(set(table["test_unknown"].dropna())) == sorted({*unknown})
