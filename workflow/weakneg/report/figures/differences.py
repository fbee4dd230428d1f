"""Difference from the baseline per class, with its interval; one panel per strategy."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weakneg.analysis.comparison import paired_differences
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    MUTED,
    Style,
    canvas,
    guide_lines,
    hide_left_axis,
    in_house_style,
    label,
    label_below,
    label_lowest,
    nothing_to_compare,
    panel_grid,
    round_ticks,
    rows_of,
    seeds_and_intervals,
    shorten,
    signed,
    styles,
)

MANY_CLASSES = 20  # with more classes, all panels are in one row, so that each class is one line


@in_house_style
def draw(metrics: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the metrics."""
    table = paired_differences(metrics, study, "ap")
    if table.empty:
        return nothing_to_compare(study)
    strategies = list(rows_of(study, table["strategy"].unique()))
    classes, n_seeds = study.classes, metrics["seed"].nunique()
    style = styles(study)

    many = len(classes) > MANY_CLASSES
    n_columns = min(len(strategies), 8 if many else 5)
    n_rows = math.ceil(len(strategies) / n_columns)
    n_columns = math.ceil(len(strategies) / n_rows)
    row_height = 0.15 if n_rows == 1 or not many else 0.097
    baseline = study.display_name(study.baseline)
    limit, any_cut = axis_limit(table)
    subtitle = f"one point per class, {seeds_and_intervals(n_seeds)}"
    if n_seeds > 1:
        subtitle += ", paired by seed; filled where the interval excludes zero"
    subtitle += "; long intervals are cut off" * any_cut
    figure = canvas(
        n_rows * (row_height * len(classes) + 0.5) + 0.35,
        study,
        f"difference in average precision from {baseline}",
        subtitle,
    )
    grid = panel_grid(figure, len(strategies), n_columns, sharex=True, sharey=True)
    for axes, strategy in zip(grid.flat, strategies, strict=False):
        of_strategy = table[table["strategy"] == strategy].set_index("class").loc[classes]
        _draw_points(axes, of_strategy, style[strategy], 10 if many else 13)
        # About 90 characters of bold print fill the width beside the class names.
        title = label(study, strategy, 92 // n_columns)
        axes.set_title(title, fontsize=6 if many else 7, fontweight="bold")
        guide_lines(axes, "y")
        hide_left_axis(axes)
    first = grid[0, 0]
    first.set_xlim(-limit, limit)
    first.set_ylim(len(classes) - 0.4, -0.6)
    for axes in grid[:, 0]:
        names = [shorten(name, 40 if many else 26) for name in classes]
        axes.set_yticks(np.arange(len(classes)), names, fontsize=6 if many else 7)
    round_ticks(first.xaxis, 2 if n_columns > 5 else 4, signed, symmetric=True)
    label_lowest(grid)
    label_below(figure, f"AP minus that of {baseline}")
    return figure


def axis_limit(table: pd.DataFrame) -> tuple[float, bool]:
    """Where the axis ends on both sides, and whether an interval is cut off there.

    With few seeds, intervals are far wider than any difference.

    Parameters
    ----------
    table : DataFrame
        With the columns difference, low and high.

    Returns
    -------
    limit : float
        Above zero.
    is_cut : bool
        Whether an interval ends beyond it.
    """
    bounds = table[["low", "high"]].abs().max(axis=1).fillna(0)
    farthest = table["difference"].abs().max()
    limit = min(max(2.5 * farthest, bounds.quantile(0.75)), 1.0)  # no difference is larger
    if bounds.max() > limit:
        return 1.06 * limit, True
    return 1.06 * (max(farthest, bounds.max()) or 1.0), False


def _draw_points(axes: Axes, table: pd.DataFrame, style: Style, size: float) -> None:
    """A point for each class, with its interval."""
    y = np.arange(len(table))
    axes.axvline(0, color=MUTED, linewidth=0.7, zorder=1)
    axes.hlines(y, table["low"], table["high"], color=style.colour, linewidth=0.9)
    axes.scatter(
        table["difference"],
        y,
        s=size,
        marker=style.marker,
        facecolors=[style.colour if clear else "white" for clear in table["clear"]],
        edgecolors=style.colour,
        linewidths=0.7,
        zorder=3,
    )
