"""The figure of gains and costs."""

import numpy as np
import pytest
from drawn import drawn, figure_of, lines, many_classes, texts

from weakneg.analysis.comparison import costs
from weakneg.analysis.metrics import read_metrics
from weakneg.analysis.runs import SECONDS
from weakneg.analysis.study import Study
from weakneg.report.figures.style import styles


class TestCost:
    def test_bars_add_up_to_the_costs(self):
        metrics, study = many_classes()
        figure = drawn("cost", metrics, study)
        gain, bags, clock, _ = figure.axes
        table = costs(metrics, study).set_index("strategy")
        rows = ["random", "badge", "margin", "full"]
        np.testing.assert_allclose(
            [bar.get_width() for bar in bags.patches], table.loc[rows, "bags_trained"]
        )
        ends = [bar.get_x() + bar.get_width() for bar in clock.patches]
        parts = table.loc[rows, SECONDS].cumsum(axis=1)
        np.testing.assert_allclose(ends[:-4], parts.to_numpy().T.ravel())
        points = [x for x, _ in lines(gain, styles(study)["badge"].colour)]
        assert points == [[table.loc["badge", "difference"]]]
        labels = [label.get_text() for label in gain.get_yticklabels()]
        assert labels == ["Random", "BADGE", "Margin = Entropy", "Full set\n(upper bound)"]

    def test_the_front_is_named_and_holds_what_no_other_strategy_beats_in_both(self):
        metrics, study = many_classes()
        seconds = {"random": 2, "badge": 4, "margin": 3, "entropy": 3, "full": 9}
        metrics["seconds"] = metrics["strategy"].map(seconds)
        *_, front = drawn("cost", metrics, study).axes
        assert [text.get_text() for text in front.texts] == ["Random", "BADGE", "Full set"]
        table = costs(metrics, study).set_index("strategy")["difference"]
        [line] = [line for line in front.lines if line.get_drawstyle() == "steps-post"]
        assert list(line.get_xdata()) == [2, 4, 9, 9]
        assert list(line.get_ydata()) == [0, table["badge"], table["full"], table["full"]]

    def test_seconds_of_several_machines_make_no_front(self):
        metrics, study = many_classes()
        metrics.loc[metrics["strategy"] == "badge", "device"] = "cuda: B"
        assert len(drawn("cost", metrics, study).axes) == 3

    @pytest.mark.parametrize("name", ["cost", "learning_curves"])
    def test_seconds_of_several_machines_are_said_to_be(self, toy, name):
        metrics_csv, runs, settings = toy
        metrics, study = read_metrics(metrics_csv), Study.of(settings)
        one = " ".join(texts(figure_of(name, metrics, study, runs)))
        metrics.loc[3, "device"] = "cuda: B"
        two = " ".join(texts(figure_of(name, metrics, study, runs)))
        assert "seconds: on cpu" in one
        assert "on different machines, so not comparable (cpu, cuda: B)" in " ".join(two.split())
