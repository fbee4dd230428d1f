"""Whether the difference to the baseline goes with how many positives a class has."""

import itertools
import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from weakneg.analysis.comparison import paired_differences, size_trend
from weakneg.analysis.study import strategy_name
from weakneg.report.figures.style import (
    MUTED,
    canvas,
    label,
    label_below,
    logarithmic,
    nothing_to_compare,
    rows_of,
    signed,
    styles,
)
from weakneg.report.formatting import classes_phrase, seeds_phrase


def draw(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """Draw the figure from the metrics of `study`."""
    table, n_seeds = paired_differences(metrics, study, "ap"), metrics["seed"].nunique()
    if table.empty:
        return nothing_to_compare(study)
    of_what = f"{classes_phrase(len(study['classes']))}, {seeds_phrase(n_seeds)}"
    if table["n_positive"].nunique() == 1:
        size = f"{table['n_positive'].iloc[0]:.0f}"
        return nothing_to_compare(study, f"All have {size} positive training bags: {of_what}.")
    trend = size_trend(metrics, study, "ap")
    strategies = list(rows_of(study, table["strategy"].unique()))
    baseline, style = strategy_name(study["baseline"]), styles(study)

    n_columns = min(len(strategies), 4)
    n_rows = math.ceil(len(strategies) / n_columns)
    n_groups = trend.groupby("strategy").size().iloc[0]
    groups = f"{n_groups} groups of classes of neighbouring size" if n_groups > 1 else "all classes"
    figure = canvas(
        1.45 * n_rows + 0.6,
        study,
        "difference in average precision, by class size",
        f"one point per class ({of_what});"
        f" line and box: mean of {groups}, with its 95% interval over the classes",
    )
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axes, strategy in itertools.zip_longest(grid.flat, strategies):
        if strategy is None:
            axes.set_visible(False)
            continue
        of_strategy = table[table["strategy"] == strategy]
        colour = style[strategy].colour
        axes.axhline(0, color=MUTED, linewidth=0.7, zorder=1)
        axes.plot(
            of_strategy["n_positive"],
            of_strategy["difference"],
            style[strategy].marker,
            color=colour,
            markersize=2.8,
            markeredgewidth=0,
            alpha=0.6,
            zorder=2,
        )
        for _, group in trend[trend["strategy"] == strategy].iterrows():
            width = group["largest"] - group["smallest"]
            box = Rectangle((group["smallest"], group["low"]), width, group["high"] - group["low"])
            box.set(facecolor=colour, alpha=0.25, linewidth=0, zorder=0)
            axes.add_patch(box)
            axes.hlines(
                group["difference"],
                group["smallest"],
                group["largest"],
                color=colour,
                linewidth=1.6,
            )
        axes.set_title(label(study, strategy, 24), fontsize=7, fontweight="bold")
    first = grid[0, 0]
    logarithmic(first)
    shown = pd.concat([table["difference"], trend["low"], trend["high"], pd.Series([0.0])])
    margin = 0.06 * (shown.max() - shown.min()) or 1.0
    first.set_ylim(shown.min() - margin, shown.max() + margin)
    first.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    first.yaxis.set_major_formatter(FuncFormatter(signed))
    for row in grid:
        row[0].set_ylabel(f"AP minus {baseline}")
    for column in range(n_columns):
        lowest = [axes for axes in grid[:, column] if axes.get_visible()][-1]
        lowest.tick_params(axis="x", labelbottom=True)
    label_below(figure, "positive training bags of the class")
    return figure
