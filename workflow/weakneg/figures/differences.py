"""Per-class difference to the baseline with its interval, one panel per strategy."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from weakneg.evaluation import paired_differences
from weakneg.figures.style import (
    MUTED,
    canvas,
    nothing_to_compare,
    rows_of,
    seeds_and_intervals,
    shorten,
    signed,
    styles,
    two_lines,
)
from weakneg.wording import strategy_name, upper_bound


def draw(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """Draw the figure from the metrics of `study`."""
    table = paired_differences(metrics, study["baseline"], "ap")
    if table.empty:
        return nothing_to_compare(study)
    strategies = list(rows_of(study, table["strategy"].unique()))
    classes, n_seeds = study["classes"], metrics["seed"].nunique()
    style = styles(study)

    n_columns = min(len(strategies), 5 if len(classes) <= 20 else 6)
    n_rows = math.ceil(len(strategies) / n_columns)
    n_columns = math.ceil(len(strategies) / n_rows)
    row_height = 0.15 if len(classes) <= 20 else 0.097
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
        n_rows * (row_height * len(classes) + 0.38) + 0.85,
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
            s=13 if len(classes) <= 20 else 8,
            marker=style[strategy].marker,
            facecolors=[colour if clear else "white" for clear in of_strategy["clear"]],
            edgecolors=colour,
            linewidths=0.8,
            zorder=3,
        )
        # About 80 characters of bold print fill the width beside the class names.
        title = two_lines(strategy_name(strategy), 80 // n_columns)
        if strategy == upper_bound(study):
            title = f"{shorten(strategy_name(strategy), 80 // n_columns)}\n(upper bound)"
        axes.set_title(title, fontsize=7, fontweight="bold")
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    first = grid[0, 0]
    first.set_xlim(-limit, limit)
    first.set_ylim(len(classes) - 0.4, -0.6)
    for axes in grid[:, 0]:
        axes.set_yticks(
            np.arange(len(classes)),
            [shorten(name, 26) for name in classes],
            fontsize=7 if len(classes) <= 20 else 6,
        )
    first.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], symmetric=True))
    first.xaxis.set_major_formatter(FuncFormatter(signed))
    for column in range(n_columns):
        # The last row may be shorter than the others: ticks go below the lowest panel.
        lowest = [axes for axes in grid[:, column] if axes.get_visible()][-1]
        lowest.tick_params(axis="x", labelbottom=True)
    figure.supxlabel(f"AP minus that of {baseline}", fontsize=8)
    return figure
