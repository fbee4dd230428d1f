"""The figure of the differences to the baseline."""

import numpy as np
from drawn import drawn, many_classes
from matplotlib.colors import same_color

from weakneg.analysis.comparison import paired_differences


def test_differences_are_filled_where_the_interval_excludes_zero():
    metrics, study = many_classes()
    figure = drawn("differences", metrics, study)
    table = paired_differences(metrics, study, "ap")
    titles = [axes.get_title("left") for axes in figure.axes if axes.get_visible()]
    assert titles == ["BADGE", "Margin = Entropy", "Full set\n(upper bound)"]
    for axes, strategy in zip(figure.axes, ("badge", "margin", "full"), strict=False):
        of_strategy = table[table["strategy"] == strategy]
        points = axes.collections[-1]
        np.testing.assert_allclose(points.get_offsets()[:, 0], of_strategy["difference"])
        filled = [not same_color(colour, "white") for colour in points.get_facecolors()]
        assert filled == of_strategy["clear"].tolist()
