"""The figure of reliability: what is plotted, and what is left out."""

import numpy as np
import pandas as pd
import pytest
from drawn import fits, lines, texts
from synthetic import study_of

from weakneg.analysis.calibration import CALIBRATED, RAW, RELIABILITY
from weakneg.report.figures.reliability import FEWEST, draw
from weakneg.report.figures.style import house_style, styles

STUDY = study_of(["cat"], ["full", "random", "badge"])


@pytest.fixture
def reliability():
    """The figure of a table in which scores are twice the share of positives, unless calibrated."""

    def reliability(*kinds, bags=100):
        score = np.array([0.05, 0.45, 0.95])
        table = pd.concat(
            pd.DataFrame(
                {
                    **{"strategy": strategy, "scores": kind, "bin": [0, 4, 9], "score": score},
                    **{"bags": bags, "positive": score * (0.5 if kind == RAW else 1)},
                }
            )
            for strategy in STUDY.strategies
            for kind in kinds
        )[RELIABILITY]
        figure = draw(table, STUDY)
        with house_style():
            assert fits(figure)
        return figure

    return reliability


def test_each_strategy_has_a_curve_before_and_after_and_an_error(reliability):
    raw, calibrated, errors = reliability(RAW, CALIBRATED).axes
    colour = styles(STUDY)["badge"].colour
    assert lines(raw, colour) == [([0.05, 0.45, 0.95], [0.025, 0.225, 0.475])]
    assert lines(calibrated, colour) == [([0.05, 0.45, 0.95], [0.05, 0.45, 0.95])]
    found = [line.get_xdata()[0] for line in errors.lines[:6]]
    assert found[::2] == pytest.approx([np.mean([0.025, 0.225, 0.475])] * 3)
    assert found[1::2] == pytest.approx([0] * 3)


def test_points_of_few_bags_are_not_drawn(reliability):
    raw, *_ = reliability(RAW, CALIBRATED, bags=[FEWEST, FEWEST - 1, FEWEST]).axes
    assert lines(raw, styles(STUDY)["badge"].colour) == [([0.05, 0.95], [0.025, 0.475])]


def test_without_validation_scores_there_is_only_what_was_scored(reliability):
    figure = reliability(RAW)
    assert len(figure.axes) == 2
    assert CALIBRATED not in texts(figure)
