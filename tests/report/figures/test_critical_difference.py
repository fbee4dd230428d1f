"""The figure of average ranks."""

import numpy as np
import pytest
from drawn import drawn, lines, texts
from synthetic import metrics_of, study_of

from weakneg.report.figures.critical_difference import groups_within
from weakneg.report.figures.style import styles


class TestCriticalDifference:
    @pytest.mark.parametrize(
        ("ranks", "critical", "groups"),
        [
            ([1.0, 2.0, 3.0], 0.5, []),
            ([1.0, 2.0, 3.0], 1.5, [(0, 1), (1, 2)]),
            ([1.0, 2.0, 3.0], 2.5, [(0, 2)]),
            ([1.0, 2.0, 3.0], 1.0, []),  # as far as the critical difference: different
            ([1.0, 1.0, 4.0, 4.5, 5.0], 1.0, [(0, 1), (2, 3), (3, 4)]),
        ],
    )
    def test_bars_join_what_is_closer_than_the_critical_difference(self, ranks, critical, groups):
        assert groups_within(np.array(ranks), critical) == groups

    def test_marks_stand_at_the_ranks(self):
        strategies = ["full", "random", "badge", "margin"]
        aps = {"full": 0.9, "random": 0.4, "badge": 0.6, "margin": 0.5}
        classes = [f"c{i}" for i in range(30)]
        metrics = metrics_of({(c, s): [aps[s]] for c in classes for s in strategies})
        study = study_of(classes, strategies)
        figure, look = drawn("critical_difference", metrics, study), styles(study)
        for strategy, rank in {"badge": 1, "margin": 2, "random": 3}.items():
            assert ([rank], [0]) in lines(figure.axes[0], look[strategy].colour)
        assert not lines(figure.axes[0], look["full"].colour), "the upper bound has no rank"
        written = " ".join(texts(figure))
        # 2.343 sqrt(3 * 4 / (6 * 30)): too far apart for any bar.
        assert "critical difference 0.61" in written
        assert "p < .001" in written
        assert "1 seed, on 30 classes" in written
