"""The figure of the classes won and lost."""

from dataclasses import replace

import numpy as np
import pandas as pd
from drawn import drawn, figure_of, lines, many_classes, texts
from matplotlib.colors import same_color
from synthetic import study_of

from weakneg.analysis.comparison import compare
from weakneg.analysis.metrics import read_metrics, select_study
from weakneg.analysis.study import Study
from weakneg.report.figures import win_count


def test_win_count_prints_the_counts_and_the_p_value(toy):
    metrics_csv, _, _ = toy
    study = study_of([f"c{i}" for i in range(40)], ["random", "badge"])
    row = read_metrics(metrics_csv).iloc[:1]
    parts = []
    for i, class_name in enumerate(study.classes):
        for seed in (0, 1):
            parts.append(
                row.assign(**{"class": class_name, "strategy": "random"}, seed=seed, ap=0.5)
            )
            ap = 0.6 + 0.01 * seed if i < 28 else 0.4
            parts.append(row.assign(**{"class": class_name, "strategy": "badge"}, seed=seed, ap=ap))
    written = texts(figure_of("win_count", pd.concat(parts), study))
    # 28 classes better, clearly so in both directions; the two-sided sign test of 28 in 40.
    assert written.count("28") == 2
    assert written.count("12") == 2
    assert ".017" in written


def test_the_upper_bound_is_apart_and_last_whatever_the_order(toy):
    metrics_csv, _, settings = toy
    study = Study.of(settings)
    for strategies in (study.strategies, study.strategies[::-1]):
        reordered = replace(study, strategies=strategies)
        metrics = select_study(read_metrics(metrics_csv), reordered)
        axes = figure_of("win_count", metrics, reordered).axes[0]
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels[-1] == "Full set\n(upper bound)"
        gaps = np.diff(axes.get_yticks())
        assert gaps[-1] > gaps[0]
        # Margin and entropy share a run, and so a row.
        expected = ["BADGE", "Margin = Entropy", "my_own"]
        if strategies != study.strategies:
            expected = ["my_own", "Entropy = Margin", "BADGE"]
        assert labels[:-1] == expected


class TestWinCount:
    def test_whiskers_and_band_are_the_numbers_of_the_table(self):
        metrics, study = many_classes()
        noise = np.random.default_rng(0).normal(0, 0.05, len(metrics))
        metrics["roc_auc"] = metrics["ap"] + np.where(metrics["strategy"] == "random", 0, noise)
        shared = metrics["strategy"] == "entropy"  # its run is margin's
        margin = metrics.loc[metrics["strategy"] == "margin", "roc_auc"]
        metrics.loc[shared, "roc_auc"] = margin.to_numpy()
        panels = drawn("win_count", metrics, study).axes
        labels = [label.get_text() for label in panels[0].get_yticklabels()]
        assert labels == ["BADGE", "Margin = Entropy", "Full set\n(upper bound)"]
        drawn_whiskers = []
        for axes, metric in zip(panels, ("ap", "roc_auc"), strict=True):
            table = compare(metrics, study, metric).set_index("strategy")
            whiskers = [x for x, _ in lines(axes, win_count.WHISKER["color"]) if len(set(x)) > 1]
            rows = ["badge", "margin", "full"]  # the upper bound comes last
            assert whiskers == table.loc[rows, ["wins_low", "wins_high"]].to_numpy().tolist()
            drawn_whiskers.append(whiskers)
            spans = {
                (patch.get_x(), patch.get_x() + patch.get_width())
                for patch in axes.patches
                if same_color(patch.get_facecolor(), win_count.COINS)
            }
            assert spans == {(3, 11), (-11, -3)}  # 14 coins
        assert drawn_whiskers[0] != drawn_whiskers[1]

    def test_one_seed_has_no_clear_differences(self):
        metrics, study = many_classes(n_seeds=1)
        figure = drawn("win_count", metrics, study)
        written = " ".join(texts(figure))
        assert "1 seed" in written
        assert "clearly" not in written
        assert "over classes and seeds" not in written
