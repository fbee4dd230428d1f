"""The figure of differences by class size."""

import numpy as np
from drawn import drawn, lines, many_classes, texts

from weakneg.analysis.comparison import paired_differences, size_trend
from weakneg.report.figures.style import styles


def test_class_size_shows_every_class_and_the_means_of_its_groups():
    metrics, study = many_classes()
    figure = drawn("class_size", metrics, study)
    table, trend = paired_differences(metrics, study, "ap"), size_trend(metrics, study, "ap")
    for axes, strategy in zip(figure.axes, ("badge", "margin", "full"), strict=False):
        of_strategy = table[table["strategy"] == strategy]
        points = (of_strategy["n_positive"].tolist(), of_strategy["difference"].tolist())
        assert points in lines(axes, styles(study)[strategy].colour)
        boxes = [box.get_bbox().extents for box in axes.patches]
        expected = trend.loc[trend["strategy"] == strategy, ["smallest", "low", "largest", "high"]]
        np.testing.assert_allclose(boxes, expected)
    assert figure.axes[0].get_xscale() == "log"


def test_classes_of_one_size_say_nothing_about_size():
    metrics, study = many_classes()
    figure = drawn("class_size", metrics.assign(n_positive=12), study)
    assert any("All have 12 positive training bags" in text for text in texts(figure))
