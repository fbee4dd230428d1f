"""Difference from the baseline against the number of positive bags of a class."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from weakneg.analysis.comparison import paired_differences, size_trend
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    MUTED,
    Style,
    canvas,
    in_house_style,
    label,
    label_below,
    label_lowest,
    logarithmic,
    nothing_to_compare,
    panel_grid,
    round_ticks,
    rows_of,
    signed,
    styles,
)
from weakneg.report.formatting import classes_phrase, seeds_phrase

KINDS = ("clips", "spectrograms")  # with images, all classes have about the same number of bags


@in_house_style
def draw(metrics: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the metrics."""
    table, n_seeds = paired_differences(metrics, study, "ap"), metrics["seed"].nunique()
    if table.empty:
        return nothing_to_compare(study)
    of_what = f"{classes_phrase(len(study.classes))}, {seeds_phrase(n_seeds)}"
    if table["n_positive"].nunique() == 1:
        size = f"{table['n_positive'].iloc[0]:.0f}"
        return nothing_to_compare(study, f"All have {size} positive training bags: {of_what}.")
    trend = size_trend(metrics, study, "ap")
    strategies = list(rows_of(study, table["strategy"].unique()))
    style = styles(study)

    n_columns = min(len(strategies), 4)
    n_rows = math.ceil(len(strategies) / n_columns)
    n_groups = trend.groupby("strategy").size().iloc[0]
    groups = f"{n_groups} groups of classes of similar size" if n_groups > 1 else "all classes"
    figure = canvas(
        1.45 * n_rows + 0.6,
        study,
        "difference in average precision, by class size",
        f"one point per class ({of_what});"
        f" line and box: mean of {groups}, with its 95% interval over the classes",
    )
    grid = panel_grid(figure, len(strategies), n_columns, sharex=True, sharey=True)
    for axes, strategy in zip(grid.flat, strategies, strict=False):
        axes.axhline(0, color=MUTED, linewidth=0.7, zorder=1)
        _draw_classes(axes, table[table["strategy"] == strategy], style[strategy])
        _draw_groups(axes, trend[trend["strategy"] == strategy], style[strategy].colour)
        axes.set_title(label(study, strategy, 24), fontsize=7, fontweight="bold")
    first = grid[0, 0]
    logarithmic(first)
    shown = pd.concat([table["difference"], trend["low"], trend["high"], pd.Series([0.0])])
    margin = 0.06 * (shown.max() - shown.min()) or 1.0
    first.set_ylim(shown.min() - margin, shown.max() + margin)
    round_ticks(first.yaxis, 4, signed)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"AP minus {study.display_name(study.baseline)}")
    label_lowest(grid)
    label_below(figure, "positive training bags of the class")
    return figure


def _draw_classes(axes: Axes, table: pd.DataFrame, style: Style) -> None:
    axes.plot(
        table["n_positive"],
        table["difference"],
        style.marker,
        color=style.colour,
        markersize=2.8,
        markeredgewidth=0,
        alpha=0.6,
        zorder=2,
    )


def _draw_groups(axes: Axes, trend: pd.DataFrame, colour: str) -> None:
    for _, group in trend.iterrows():
        width = group["largest"] - group["smallest"]
        box = Rectangle((group["smallest"], group["low"]), width, group["high"] - group["low"])
        box.set(facecolor=colour, alpha=0.25, linewidth=0, zorder=0)
        axes.add_patch(box)
        ends = (group["smallest"], group["largest"])
        axes.hlines(group["difference"], *ends, color=colour, linewidth=1.6)
