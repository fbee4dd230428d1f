"""The figure of AP."""

import pytest
from drawn import drawn, figure_of, many_classes, texts

from weakneg.analysis.comparison import paired_differences
from weakneg.analysis.metrics import read_metrics
from weakneg.analysis.study import Study
from weakneg.report.figures.style import styles


def test_every_mark_of_mean_ap_stands_at_its_value_in_the_row_of_its_class():
    metrics, study = many_classes()
    axes = drawn("mean_ap", metrics, study).axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == [*study.classes[::-1], "mean over classes"], "largest class first"
    table = paired_differences(metrics, study, "ap").set_index(["strategy", "class"])
    means = metrics.groupby(["strategy", "class"])["ap"].mean()
    look = styles(study)
    for strategy in ("full", "badge", "margin"):
        marks = [
            line
            for line in axes.lines
            if line.get_marker() == look[strategy].marker and len(line.get_xdata()) == 1
        ]
        assert len(marks) == 15
        for mark, name in zip(marks, names[:-1], strict=False):
            assert mark.get_xdata()[0] == pytest.approx(means[strategy, name])
            assert round(mark.get_ydata()[0]) == names.index(name)
        sizes = {mark.get_markersize() for mark in marks}
        large = [mark.get_markersize() == max(sizes) for mark in marks[:-1]]
        assert large == [table.loc[(strategy, name), "clear"] for name in names[:-1]]
    written = texts(axes)
    assert {"50", "141"} <= set(written), "numbers of positives"


def test_published_values_stand_beside_ours(toy):
    metrics_csv, _, settings = toy
    reference = {"source": "P 2024", "values": {"badge": {"a|b_c": {"ap": 0.123}}}}
    study = Study.of({**settings, "reference": reference})
    figure = figure_of("mean_ap", read_metrics(metrics_csv), study)
    assert "P 2024" in [text.get_text() for text in figure.legends[0].get_texts()]
    panels = {axes.get_title("left"): axes for axes in figure.axes}
    assert list(panels) == ["Mean over 2 classes", "a|b_c"]
    hollow = [line for line in panels["a|b_c"].lines if line.get_markerfacecolor() == "white"]
    assert [line.get_xdata()[0] for line in hollow] == [0.123]
