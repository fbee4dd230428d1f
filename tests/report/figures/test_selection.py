"""The figure of the selections, drawn from the tables of the audit."""

import json
from pathlib import Path

import pandas as pd
import pytest
from drawn import fits, texts
from selections import LABEL, Made

from weakneg.analysis.selection_measures import expected_jaccard
from weakneg.analysis.study import Study
from weakneg.command_line import main
from weakneg.errors import UserError
from weakneg.report.figures import draw_figure, selection
from weakneg.report.figures.style import styles
from weakneg.report.formatting import number


def tables_of(made):
    """The files that the figure is drawn from."""
    made.audit()
    tables = made.folder / "tables"
    names = {"overlap": "selection_overlap.csv", "turnover": "selection_turnover.csv"}
    return {option: tables / name for option, name in names.items()}


def drawn_from(made):
    """The figure of a made study, and what is written in it."""
    study = Study.of(made.settings)
    tables = {name: pd.read_csv(path) for name, path in tables_of(made).items()}
    figure = selection.draw(**tables, study=study)
    figure.draw_without_rendering()
    return figure, [" ".join(text.split()) for text in texts(figure)]


def test_the_figure_shows_overlap_and_curves(made):
    figure, written = drawn_from(made)
    look = styles(Study.of(made.settings))
    assert fits(figure)
    matrix, new, used = figure.axes
    # Column and row of each cell; random and margin over 2 + 2 + 1 trainings: .60, .33, .14.
    assert {text.get_position(): text.get_text() for text in matrix.texts} == {
        (0, 1): ".40",
        (0, 2): ".19",
        (1, 2): ".60",
    }
    assert [label.get_text() for label in matrix.get_yticklabels()] == [
        "Random",
        "Margin = Entropy",
        "BADGE",
    ]
    assert any("mean over 2 classes and 2 seeds" in text for text in written)
    expected = number(expected_jaccard(9, 4, 4), 2)
    assert any(f"overlap of random choices: {expected}" in text for text in written)
    curves = {line.get_color(): line.get_ydata().tolist() for line in used.lines}
    # Without the last epoch, which one seed did not reach.
    assert curves[look["badge"].colour] == pytest.approx([4 / 9, 5 / 9])
    assert curves[selection.RANDOM["color"]] == pytest.approx([4 / 9, 56 / 81])
    assert any("a curve ends where the first of its runs stopped" in text for text in written)
    curves = {line.get_color(): line.get_ydata().tolist() for line in new.lines}
    assert curves[look["margin"].colour] == [0]
    assert look["full"].colour not in curves


@pytest.mark.parametrize("n", [0, 1, 2, 18])
def test_the_figure_fits_any_number_of_strategies(tmp_path, n):
    names = [f"strategy_of_my_own_{i}" for i in range(n)]
    made = Made(tmp_path, ["full", "random", *names][: n + 2], {"a" * 60: LABEL})
    if n == 0:
        made.settings["strategies"].remove("random")
    for strategy in made.settings["strategies"]:
        made.choose("a" * 60, strategy, {0: {5: made.pool("a" * 60, 0)[:3]}})
    figure, written = drawn_from(made)
    assert fits(figure)
    assert any("there is nothing to show" in text for text in written) == (n == 0)


def test_the_figure_is_drawn_by_its_stage_with_the_same_bytes_each_time(made):
    tables = tables_of(made)
    arguments = ["draw_figure", "--name", "selection", "--settings", json.dumps(made.settings)]
    for option, path in tables.items():
        arguments += [f"--{option}", str(path)]
    for name in ("one", "two"):
        outputs = [str(made.folder / name / f"selection.{kind}") for kind in ("pdf", "png", "svg")]
        assert main([*arguments, "--outputs", *outputs]) == 0
    for path in (made.folder / "one").iterdir():
        assert path.read_bytes() == (made.folder / "two" / path.name).read_bytes()
    assert len(list((made.folder / "one").iterdir())) == 3
    with pytest.raises(UserError, match=r"\.gif: the format of a figure is one of"):
        draw_figure("selection", made.settings, [Path("figure.gif")], **tables)
    tables["overlap"] = Path("none.csv")
    with pytest.raises(UserError, match=r"none\.csv does not exist; run the audit"):
        draw_figure("selection", made.settings, [Path("figure.png")], **tables)
