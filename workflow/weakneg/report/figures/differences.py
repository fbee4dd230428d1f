"""Per-class difference to the baseline with its interval, one panel per strategy."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from weakneg.analysis.comparison import paired_differences
from weakneg.analysis.study import strategy_name
from weakneg.report.figures.style import (
    MUTED,
    canvas,
    label,
    label_below,
    nothing_to_compare,
    rows_of,
    seeds_and_intervals,
    shorten,
    signed,
    styles,
)

MANY_CLASSES = 20  # more of them stand in one row of panels, so that a class is one line


def draw(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """Draw the figure from the metrics of `study`."""
    table = paired_differences(metrics, study, "ap")
    if table.empty:
        return nothing_to_compare(study)
    strategies = list(rows_of(study, table["strategy"].unique()))
    classes, n_seeds = study["classes"], metrics["seed"].nunique()
    style = styles(study)

    many = len(classes) > MANY_CLASSES
    n_columns = min(len(strategies), 8 if many else 5)
    n_rows = math.ceil(len(strategies) / n_columns)
    n_columns = math.ceil(len(strategies) / n_rows)
    row_height = 0.15 if n_rows == 1 or not many else 0.097
    baseline = strategy_name(study["baseline"])
    subtitle = f"one point per class, {seeds_and_intervals(n_seeds)}"
    if n_seeds > 1:
        subtitle += ", paired by seed; filled where the interval excludes zero"
    # With few seeds some intervals are far wider than any difference; those leave the panel.
    bounds = table[["low", "high"]].abs().max(axis=1).fillna(0)
    farthest = table["difference"].abs().max()
    limit = max(2.5 * farthest, bounds.quantile(0.75))
    if bounds.max() > limit:
        subtitle += "; long ones are cut"
    else:
        limit = max(farthest, bounds.max()) or 1.0
    limit *= 1.06
    figure = canvas(
        n_rows * (row_height * len(classes) + 0.5) + 0.35,
        study,
        f"difference in average precision to {baseline}",
        subtitle,
    )
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axes, strategy in itertools.zip_longest(grid.flat, strategies):
        if strategy is None:
            axes.set_visible(False)
            continue
        of_strategy = table[table["strategy"] == strategy].set_index("class").loc[classes]
        colour = style[strategy].colour
        y = np.arange(len(classes))
        axes.axvline(0, color=MUTED, linewidth=0.7, zorder=1)
        axes.hlines(y, of_strategy["low"], of_strategy["high"], color=colour, linewidth=0.9)
        axes.scatter(
            of_strategy["difference"],
            y,
            s=10 if many else 13,
            marker=style[strategy].marker,
            facecolors=[colour if clear else "white" for clear in of_strategy["clear"]],
            edgecolors=colour,
            linewidths=0.7,
            zorder=3,
        )
        # About 90 characters of bold print fill the width beside the class names.
        title = label(study, strategy, 92 // n_columns)
        axes.set_title(title, fontsize=6 if many else 7, fontweight="bold")
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    first = grid[0, 0]
    first.set_xlim(-limit, limit)
    first.set_ylim(len(classes) - 0.4, -0.6)
    for axes in grid[:, 0]:
        names = [shorten(name, 40 if many else 26) for name in classes]
        axes.set_yticks(np.arange(len(classes)), names, fontsize=6 if many else 7)
    ticks = 2 if n_columns > 5 else 4
    first.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10], symmetric=True))
    first.xaxis.set_major_formatter(FuncFormatter(signed))
    for column in range(n_columns):
        # The last row may be shorter than the others: ticks go below the lowest panel.
        lowest = [axes for axes in grid[:, column] if axes.get_visible()][-1]
        lowest.tick_params(axis="x", labelbottom=True)
    label_below(figure, f"AP minus that of {baseline}")
    return figure
