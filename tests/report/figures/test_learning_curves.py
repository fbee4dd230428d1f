"""The figure of learning curves."""

import itertools

import numpy as np
import pandas as pd
import pytest
from drawn import figure_of, make_study, texts

from weakneg.analysis.metrics import read_metrics
from weakneg.analysis.study import Study
from weakneg.errors import UserError
from weakneg.report.figures import draw_figure
from weakneg.report.figures.learning_curves import read_curves
from weakneg.report.figures.style import house_style


class TestLearningCurves:
    def test_a_stopped_run_keeps_its_best_value_and_cost(self, tmp_path):
        metrics_csv, runs, settings = make_study(tmp_path, ["a", "b"], ["random"], 1, n_epochs=3)
        for (_, folder), aps in zip(runs, ([0.2, 0.6, 0.4], [0.5]), strict=True):
            for name in ("history", "timing"):
                path = folder / f"{name}.parquet"
                table = pd.read_parquet(path).head(len(aps))
                if name == "history":
                    table["validation_ap"] = aps
                table.to_parquet(path)
        curve = read_curves(runs, read_metrics(metrics_csv), Study.of(settings))["random"]
        # Class a: .2 .6 .6 (best so far); class b: .5 and then as it stopped.
        np.testing.assert_allclose(curve.ap, [[0.35, 0.55, 0.55]])
        np.testing.assert_allclose(curve.bags, [[90, 135, 180]])
        seconds = 2.5 + len("random")
        np.testing.assert_allclose(curve.seconds, [np.array([1, 1.5, 2]) * seconds])
        assert curve.stopped_early

    def test_strategies_that_share_a_run_share_one_curve(self, toy):
        metrics_csv, runs, settings = toy
        metrics, study = read_metrics(metrics_csv), Study.of(settings)
        assert list(read_curves(runs, metrics, study)) == [
            s for s in study.strategies if s != "entropy"
        ]
        figure = figure_of("learning_curves", metrics, study, runs)
        assert "Margin = Entropy" in texts(figure)

    def test_labels_do_not_write_over_each_other(self, tmp_path):
        strategies = ["random", "margin", "entropy", *(f"s{i}" for i in range(17))]
        metrics_csv, runs, settings = make_study(tmp_path, ["a"], strategies, 1)
        for _, folder in runs:  # all end at the same AP
            path = folder / "history.parquet"
            table = pd.read_parquet(path)
            table.loc[table["epoch"] == 4, "validation_ap"] = 1.0
            table.to_parquet(path)
        metrics, study = read_metrics(metrics_csv), Study.of(settings)
        figure = figure_of("learning_curves", metrics, study, runs)
        with house_style():
            figure.draw_without_rendering()
            labels = [text for text in figure.axes[-1].texts if text.get_text()]
            boxes = sorted((text.get_window_extent() for text in labels), key=lambda box: box.y0)
        assert len(labels) == 19, "margin and entropy share one"
        for below, above in itertools.pairwise(boxes):
            assert above.y0 > below.y1 - 1

    def test_a_run_without_its_folder_is_named(self, toy, tmp_path):
        metrics, runs, settings = toy
        with pytest.raises(
            UserError, match=r"Study toy.*class 'a\|b_c', strategy 'my_own', seed 0"
        ):
            draw_figure(
                "learning_curves", settings, [tmp_path / "a.png"], metrics=metrics, runs=runs[:-1]
            )
        assert not (tmp_path / "a.png").exists()
