"""The class on which each strategy loses most against the baseline: which are dangerous.

The lowest of many differences is low by chance, too. So the figure shows how low it would be if a
strategy and the baseline differed by nothing but their seeds.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from weakneg.analysis.comparison import paired_differences, worst_by_chance
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    FAINT,
    INK,
    MUTED,
    Style,
    canvas,
    guide_lines,
    hide_left_axis,
    in_house_style,
    label_rows,
    legend_below,
    nothing_to_compare,
    round_ticks,
    rows_of,
    seeds_and_intervals,
    set_apart,
    shorten,
    signed,
    styles,
)
from weakneg.report.formatting import classes_phrase, signed_number

CHANCE = "#ECECEC"
OTHER: dict[str, Any] = {"marker": "|", "markersize": 5, "linestyle": "none", "alpha": 0.45}
MEAN: dict[str, Any] = {"color": INK, "marker": "|", "markersize": 9, "linestyle": "none"}


@in_house_style
def draw(metrics: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the metrics."""
    table = paired_differences(metrics, study, "ap")
    if table.empty:
        return nothing_to_compare(study)
    worst = table.loc[table.groupby("strategy")["difference"].idxmin()].set_index("strategy")
    rows = rows_of(study, list(worst.sort_values("difference", kind="stable").index))
    n_classes, n_seeds = len(study.classes), metrics["seed"].nunique()
    baseline = study.display_name(study.baseline)
    left, right, cut = _ends(table, worst)

    subtitle = f"each strategy's worst of {classes_phrase(n_classes)}, named on the right;"
    subtitle += f" {seeds_and_intervals(n_seeds)}"
    if n_seeds > 1:
        subtitle += ", paired by seed; filled where the interval excludes zero"
    subtitle += "; long intervals are cut off" * cut
    figure = canvas(
        0.2 * (max(rows.values()) + 1) + 0.75,
        study,
        f"what a strategy may lose against {baseline}",
        subtitle,
    )
    axes = figure.subplots()
    low, high = worst_by_chance(metrics, study, "ap")
    if low < high:
        axes.axvspan(low, high, color=CHANCE, linewidth=0, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=0.7, zorder=0.5)
    look = styles(study)
    for strategy, y in rows.items():
        of_strategy = table.loc[table["strategy"] == strategy, "difference"]
        _draw_row(axes, y, worst.loc[strategy], of_strategy, look[strategy])
    axes.set_xlim(left, right)
    axes.set_xlabel(f"AP minus that of {baseline}")
    round_ticks(axes.xaxis, 8, signed)
    guide_lines(axes, "y")
    set_apart(axes, rows, study)
    hide_left_axis(axes)
    label_rows(axes, rows, study)
    axes.tick_params(axis="y", labelsize=7)
    legend_below(figure, _key(n_classes, low < high))
    return figure


def _ends(table: pd.DataFrame, worst: pd.DataFrame) -> tuple[float, float, bool]:
    """Where the axis ends, and whether an interval is cut off there.

    With few seeds some intervals are far wider than any difference.
    """
    lowest, highest = min(table["difference"].min(), 0), max(table["difference"].max(), 0)
    low, high = worst["low"].min(), worst["high"].max()
    room = 0.5 * (highest - lowest) or 1.0
    left = np.fmax(np.fmin(low, lowest), lowest - room)
    right = np.fmin(np.fmax(high, highest), highest + room)
    margin = 0.04 * (right - left)
    return left - margin, right + margin, bool(low < left or high > right)


def _draw_row(axes: Axes, y: float, worst: pd.Series, all_of: pd.Series, style: Style) -> None:
    """The worst class with its interval and name, the other classes, and the mean."""
    others = all_of.drop(worst.name, errors="ignore")
    axes.plot(others, [y] * len(others), color=style.colour, zorder=1, **OTHER)
    axes.plot(all_of.mean(), y, zorder=1.5, **MEAN)
    axes.hlines(y, worst["low"], worst["high"], color=style.colour, linewidth=1.1)
    axes.plot(
        worst["difference"],
        y,
        style.marker,
        color=style.colour,
        markersize=5,
        markerfacecolor=style.colour if worst["clear"] else "white",
        markeredgewidth=0.8,
        zorder=3,
    )
    text = f"{signed_number(worst['difference'])}  {shorten(worst['class'], 30)}"
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center_baseline"}
    axes.text(1.01, y, text, fontsize=6.5, **beside)


def _key(n_classes: int, chance: bool) -> list[Line2D | Patch]:
    key: list[Line2D | Patch] = [
        Line2D([], [], color=MUTED, marker="o", markersize=5, label="worst class"),
    ]
    if n_classes > 1:
        key.append(Line2D([], [], color=MUTED, label="other classes", **OTHER))
        key.append(Line2D([], [], label="mean over classes", **MEAN))
    if chance:
        text = f"worst of {classes_phrase(n_classes)} if only seeds differed (95%)"
        key.append(Patch(facecolor=CHANCE, edgecolor=FAINT, linewidth=0.5, label=text))
    return key
