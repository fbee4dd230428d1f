"""The figure of both kinds of labels."""

import pytest
from drawn import fits, texts
from heard import CLASSES, Study

from weakneg.analysis.study import Study as Reported
from weakneg.analysis.truth import read_judged
from weakneg.errors import UserError
from weakneg.report.figures import draw_figure
from weakneg.report.figures.truth import draw
from weakneg.report.truth import judge_truth


@pytest.fixture
def study(tmp_path):
    made = Study(tmp_path)
    judge_truth(made.runs, made.manifests, made.heard, CLASSES, made.settings, made.tables)
    return made


def drawn(made, **changes):
    study = Reported.of(made.settings | changes)
    return draw(read_judged(made.tables / "truth.csv"), study)


def test_each_strategy_has_a_mark_for_each_kind_of_labels(study):
    figure = drawn(study)
    for axes in figure.axes[:2]:
        marks = [line for line in axes.lines if line.get_marker() in ("o", "s")]
        assert [line.get_marker() for line in marks] == ["o", "s"]  # badge is the only competitor
    said = " ".join(texts(figure))
    assert "6 test clips that people" in said
    assert "by what people heard" in said
    assert fits(figure)


def test_the_marks_are_at_the_differences(study):
    import pandas as pd

    table = pd.read_csv(study.tables / "truth.csv")
    mean = table.groupby("strategy")["ap_heard"].mean()
    [mark] = [line for line in drawn(study).axes[0].lines if line.get_marker() == "s"]
    assert mark.get_xdata()[0] == pytest.approx(mean["badge"] - mean["random"])


def test_one_strategy_has_nothing_to_compare(study):
    assert "nothing to compare" in " ".join(texts(drawn(study, strategies=["random"])))


def test_a_missing_table_is_one_sentence(study, tmp_path):
    with pytest.raises(UserError, match=r"none\.csv does not exist; run judge_truth first"):
        draw_figure("truth", study.settings, [tmp_path / "a.png"], truth=tmp_path / "none.csv")
