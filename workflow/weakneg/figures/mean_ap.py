"""Mean AP per strategy with intervals; beside it, classes of which the paper gives values."""

import itertools
import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from weakneg.evaluation import MEAN_OVER_CLASSES, intervals
from weakneg.figures.style import (
    INK,
    MUTED,
    canvas,
    label_rows,
    plain,
    rows_of,
    seeds_and_intervals,
    set_apart,
    styles,
    two_lines,
)
from weakneg.wording import number, reference_value, strategy_name


def draw(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """Draw the figure from the metrics of `study`."""
    table = intervals(metrics, "ap").set_index(["class", "strategy"])
    n_seeds = metrics["seed"].nunique()
    rows = rows_of(study, study["strategies"])
    style = styles(study)

    def published(class_name: str) -> dict[str, float]:
        values = {s: reference_value(study, s, class_name, "ap") for s in study["strategies"]}
        return {strategy: value for strategy, value in values.items() if value is not None}

    panels = [MEAN_OVER_CLASSES, *(c for c in study["classes"] if published(c))]
    if len(study["classes"]) == 1 and len(panels) == 2:
        panels = panels[:1]  # The mean over one class is that class.
    n_columns = min(len(panels), 4)
    n_rows = math.ceil(len(panels) / n_columns)
    any_published = any(published(panel) for panel in panels)
    figure = canvas(
        n_rows * (0.21 * (max(rows.values()) + 1) + 0.35) + 0.8 + 0.2 * any_published,
        study,
        "average precision on the test bags",
        f"{seeds_and_intervals(n_seeds)}; dashed: {strategy_name(study['baseline'])}"
        if study["baseline"] in study["strategies"]
        else seeds_and_intervals(n_seeds),
    )
    ratios = [1.5 if n_rows == 1 else 1, *[1] * (n_columns - 1)]
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False, width_ratios=ratios)
    for axes, panel in itertools.zip_longest(grid.flat, panels):
        if panel is None:
            axes.set_visible(False)
            continue
        theirs = published(panel)
        if study["baseline"] in rows:
            axes.axvline(
                table.loc[(panel, study["baseline"]), "mean"],
                color=MUTED,
                linewidth=0.6,
                linestyle=(0, (3, 2)),
                zorder=0,
            )
        for strategy, y in rows.items():
            ours, look = table.loc[(panel, strategy)], style[strategy]
            nudge = 0.17 if strategy in theirs else 0
            axes.hlines(y - nudge, ours["low"], ours["high"], color=look.colour, linewidth=1.3)
            axes.plot(ours["mean"], y - nudge, look.marker, color=look.colour, markersize=5)
            if strategy in theirs:
                axes.plot(
                    theirs[strategy],
                    y + nudge,
                    look.marker,
                    markerfacecolor="white",
                    markeredgecolor=look.colour,
                    markersize=4.5,
                    zorder=3,
                )
            if panel == MEAN_OVER_CLASSES:
                text = number(ours["mean"])
                if n_seeds > 1:
                    text += f" ± {number(ours['high'] - ours['mean'])}"
                axes.text(
                    1.02,
                    y,
                    text,
                    transform=axes.get_yaxis_transform(),
                    va="center_baseline",
                    fontsize=6.5,
                    color=MUTED,
                )
        n_classes = len(study["classes"])
        title = panel
        if panel == MEAN_OVER_CLASSES:
            title = f"Mean over {n_classes} classes" if n_classes > 1 else study["classes"][0]
        # The layout does not look at how wide a title is.
        axes.set_title(two_lines(title, 60 // n_columns), fontsize=7.5, fontweight="bold")
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.06)
        set_apart(axes, rows, study)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(plain))
        axes.set_xlabel("AP")
    label_rows(grid[0, 0], rows, study)
    if any_published:
        ours = Line2D([], [], marker="o", color=INK, markersize=5, linewidth=1.3)
        theirs = Line2D([], [], marker="o", color=INK, markersize=4.5, linewidth=0)
        theirs.set_markerfacecolor("white")
        figure.legend(
            [ours, theirs],
            ["this study", study["reference"]["source"]],
            loc="outside lower center",
            ncols=2,
        )
    return figure
