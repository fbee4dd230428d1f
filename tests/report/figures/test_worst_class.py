"""The figure of each strategy's worst class."""

import pytest
from drawn import drawn, lines, many_classes, texts
from matplotlib.colors import same_color

from weakneg.analysis.comparison import paired_differences, worst_by_chance
from weakneg.report.figures.style import styles


def test_it_names_and_shows_the_lowest_difference_of_each_strategy_the_most_dangerous_first():
    metrics, study = many_classes()
    metrics.loc[metrics["class"].eq("c03") & metrics["strategy"].eq("badge"), "ap"] -= 0.4
    figure = drawn("worst_class", metrics, study)
    [axes] = figure.axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["BADGE", "Margin = Entropy", "Full set\n(upper bound)"]
    table = paired_differences(metrics, study, "ap")
    for strategy in ("badge", "margin", "full"):
        of_strategy = table[table["strategy"] == strategy]
        lowest = of_strategy.loc[of_strategy["difference"].idxmin()]
        drawn_of = lines(axes, styles(study)[strategy].colour)
        assert [lowest["difference"]] in [x for x, _ in drawn_of]
        assert any(lowest["class"] in text for text in texts(figure))
    assert any("c03" in text.get_text() and text.get_position()[1] == 0 for text in axes.texts)


def test_the_lowest_by_chance_is_shown_unless_there_is_a_single_seed():
    metrics, study = many_classes()
    [axes] = drawn("worst_class", metrics, study).axes
    [band] = [patch for patch in axes.patches if same_color(patch.get_facecolor(), "#ECECEC")]
    low, high = worst_by_chance(metrics, study, "ap")
    assert band.get_bbox().intervalx.tolist() == pytest.approx([low, high])
    [axes] = drawn("worst_class", metrics[metrics["seed"] == 0], study).axes
    assert not axes.patches
