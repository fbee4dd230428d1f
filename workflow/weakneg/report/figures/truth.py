"""Difference from the baseline, by the labels and by what people heard, on the same clips."""

import dataclasses

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from weakneg.analysis.comparison import compare
from weakneg.analysis.study import Study
from weakneg.analysis.truth import as_metrics
from weakneg.report.figures.style import (
    INK,
    MUTED,
    Style,
    canvas,
    draw_mark,
    guide_lines,
    hide_left_axis,
    in_house_style,
    label_below,
    label_rows,
    legend_below,
    nothing_to_compare,
    panel_grid,
    round_ticks,
    rows_of,
    signed,
)
from weakneg.report.formatting import bootstrap_phrase, classes_phrase

KINDS = ("clips", "spectrograms")
BY = {"labels": Style("#BBBBBB", "o", "-"), "heard": Style(INK, "s", "-")}
NAMES = {"labels": "by the labels of the data set", "heard": "by what people heard"}
TITLES = {"ap": "average precision", "roc_auc": "ROC-AUC"}
APART = 0.16  # from the middle of a row to its two marks


@in_house_style
def draw(truth: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the table truth.csv."""
    study = dataclasses.replace(study, classes=truth["class"].unique().tolist())
    table = as_metrics(truth, study)
    strategies = [each for each in study.distinct if each != study.baseline]
    if not strategies or study.baseline not in study.distinct:
        return nothing_to_compare(study)
    rows = rows_of(study, strategies)
    n_classes, n_seeds = len(study.classes), table["seed"].nunique()
    clips = table["clips"].max()
    subtitle = f"mean over {classes_phrase(n_classes)}, on the {clips:,} test clips that people"
    subtitle += " listened to"
    if n_classes > 1:
        subtitle += f"; {bootstrap_phrase(n_classes, n_seeds)}"
    baseline = study.display_name(study.baseline)
    figure = canvas(0.34 * len(rows) + 0.6, study, f"difference from {baseline}", subtitle)
    grid = panel_grid(figure, 2, 2, sharey=True)
    for axes, (metric, title) in zip(grid.flat, TITLES.items(), strict=True):
        axes.set_title(title, fontsize=7, fontweight="bold")
        _draw_panel(axes, table, study, rows, metric)
    label_rows(grid[0, 0], rows, study)
    label_below(figure, f"minus that of {baseline}")
    legend_below(
        figure,
        [
            Line2D([], [], color=style.colour, marker=style.marker, markersize=5, label=NAMES[by])
            for by, style in BY.items()
        ],
    )
    return figure


def _draw_panel(
    axes: Axes, table: pd.DataFrame, study: Study, rows: dict[str, float], metric: str
) -> None:
    """Two marks for each strategy."""
    axes.axvline(0, color=MUTED, linewidth=0.7, zorder=1)
    for by, offset in (("labels", -APART), ("heard", APART)):
        compared = compare(table, study, f"{metric}_{by}").set_index("strategy")
        for strategy, y in rows.items():
            row = compared.loc[strategy]
            bounds = (row["difference_low"], row["difference_high"])
            draw_mark(axes, y + offset, row["difference"], bounds, BY[by])
    guide_lines(axes, "x")
    hide_left_axis(axes)
    round_ticks(axes.xaxis, 4, signed)
