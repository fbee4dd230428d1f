"""AP per strategy: its mean over a few classes, or, of many classes, each of them.

Of few classes, the mean over them, and beside it the classes of which the paper gives values. Of
many, one row per class, largest class first, so that it shows at a glance which classes are hard,
how much the choice of negatives matters there, and whether that goes with the number of positives.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from weakneg.analysis.comparison import class_sizes, paired_differences
from weakneg.analysis.intervals import MEAN_OVER_CLASSES, intervals
from weakneg.analysis.study import distinct_strategies, reference_value, strategy_name
from weakneg.report.figures.style import (
    AP_LIMITS,
    INK,
    MUTED,
    canvas,
    label,
    label_rows,
    legend_below,
    plain,
    rows_of,
    seeds_and_intervals,
    set_apart,
    shorten,
    styles,
    two_lines,
)
from weakneg.report.formatting import number, seeds_phrase

MOST_CLASSES_IN_A_MEAN = 12
BAND = "#DDDDDD"


def draw(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """Draw the figure from the metrics of `study`."""
    if len(study["classes"]) > MOST_CLASSES_IN_A_MEAN:
        return _class_by_class(metrics, study)
    return _mean_over_classes(metrics, study)


def _class_by_class(metrics: pd.DataFrame, study: dict) -> Figure:
    table = intervals(metrics, "ap").set_index(["strategy", "class"])
    clear = _clear(metrics, study)
    sizes = class_sizes(metrics).loc[study["classes"], "n_positive"]
    sizes = sizes.sort_values(ascending=False, kind="stable")
    rows = {name: float(y) for y, name in enumerate(sizes.index)}
    rows[MEAN_OVER_CLASSES] = len(rows) + 0.5
    n_seeds, baseline = metrics["seed"].nunique(), study["baseline"]
    style = styles(study)
    others = [s for s in distinct_strategies(study) if s != baseline]

    subtitle = f"{seeds_phrase(n_seeds)}; classes by their number of positive training bags"
    if n_seeds > 1:
        subtitle += (
            "; large marks: the 95% interval over seeds of the paired difference to"
            f" {strategy_name(baseline)} excludes zero"
        )
    figure = canvas(
        0.185 * (max(rows.values()) + 1) + 0.75, study, "average precision per class", subtitle
    )
    axes = figure.subplots()
    # Marks of one class stand on lines of their own, in the order of the legend.
    offsets = np.linspace(-0.3, 0.3, len(others)) if len(others) > 1 else [0.0]
    for name, y in rows.items():
        if int(y) % 2 == 0:
            axes.axhspan(y - 0.5, y + 0.5, color="#F7F7F7", linewidth=0, zorder=0)
        reference = table.loc[(baseline, name)]
        if n_seeds > 1:
            axes.barh(y, reference["high"] - reference["low"], 0.8, reference["low"], color=BAND)
        axes.plot([reference["mean"]] * 2, [y - 0.4, y + 0.4], color=MUTED, linewidth=0.9)
        for strategy, offset in zip(others, offsets, strict=True):
            large = n_seeds == 1 or clear[strategy, name]
            axes.plot(
                table.loc[(strategy, name), "mean"],
                y + offset,
                style[strategy].marker,
                color=style[strategy].colour,
                markersize=3.6 if large else 2.0,
                markeredgewidth=0,
                zorder=3,
            )
    _label_classes(axes, rows, sizes)
    axes.set_xlim(0, min(axes.get_xlim()[1], AP_LIMITS[1]))
    axes.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    axes.set_axisbelow(True)
    axes.grid(axis="x", color="#EEEEEE", linewidth=0.5)
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("AP")
    legend_below(figure, *_key(study, others, n_seeds))
    return figure


def _clear(metrics: pd.DataFrame, study: dict) -> pd.Series:
    """By strategy and class, and for the mean: whether the interval over seeds excludes zero."""
    by_seed = metrics.groupby(["strategy", "seed"], as_index=False).mean(numeric_only=True)
    of_mean = {**study, "classes": [MEAN_OVER_CLASSES]}
    tables = [
        paired_differences(metrics, study, "ap"),
        paired_differences(by_seed.assign(**{"class": MEAN_OVER_CLASSES}), of_mean, "ap"),
    ]
    return pd.concat(tables).set_index(["strategy", "class"])["clear"]


def _label_classes(axes: Axes, rows: dict[str, float], sizes: pd.Series) -> None:
    """Names of the classes, and right of them their numbers of positives."""
    labels = [shorten(name, 40) for name in rows]
    axes.set_yticks(list(rows.values()), labels, fontsize=6.5)
    axes.tick_params(axis="y", pad=27)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.set_ylim(max(rows.values()) + 0.6, -0.6)
    beside = {"transform": axes.get_yaxis_transform(), "ha": "right", "color": MUTED}
    for name, size in sizes.items():
        axes.text(-0.012, rows[name], f"{size:,.0f}", va="center_baseline", fontsize=6, **beside)
    axes.text(-0.012, -0.75, "positives", va="bottom", fontsize=6, **beside)


def _key(study: dict, others: list[str], n_seeds: int) -> list[list]:
    style = styles(study)
    handles = [
        Line2D(
            [],
            [],
            linewidth=0,
            color=style[s].colour,
            marker=style[s].marker,
            markersize=4.5,
            markeredgewidth=0,
            label=label(study, s, 200).replace("\n", " "),
        )
        for s in others
    ]
    text = strategy_name(study["baseline"])
    text += ", with its 95% interval over seeds" if n_seeds > 1 else ""
    handles.append(Patch(facecolor=BAND, edgecolor=MUTED, linewidth=0.9, label=text))
    half = math.ceil(len(handles) / 2)
    return [handles[:half], handles[half:]] if len(handles) > 4 else [handles]


def _mean_over_classes(metrics: pd.DataFrame, study: dict) -> Figure:
    table = intervals(metrics, "ap").set_index(["class", "strategy"])
    n_seeds = metrics["seed"].nunique()
    members = distinct_strategies(study)
    rows = rows_of(study, members)
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
        n_rows * (0.24 * (max(rows.values()) + 1) + 0.35) + 0.3 + 0.2 * any_published,
        study,
        "average precision on the test bags",
        f"{seeds_and_intervals(n_seeds)}; dashed: {strategy_name(study['baseline'])}"
        if study["baseline"] in rows
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
            both = [s for s in members[strategy] if s in theirs]
            nudge = 0.17 if both else 0
            axes.hlines(y - nudge, ours["low"], ours["high"], color=look.colour, linewidth=1.3)
            axes.plot(ours["mean"], y - nudge, look.marker, color=look.colour, markersize=5)
            for member in both:
                axes.plot(
                    theirs[member],
                    y + nudge,
                    style[member].marker,
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
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, AP_LIMITS[0]), min(high, AP_LIMITS[1]))
        set_apart(axes, rows, study)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(plain))
        axes.set_xlabel("AP")
    label_rows(grid[0, 0], rows, study)
    if any_published:
        circle = {"marker": "o", "color": INK}
        ours = Line2D([], [], markersize=5, linewidth=1.3, label="this study", **circle)
        theirs = Line2D([], [], markersize=4.5, linewidth=0, markerfacecolor="white", **circle)
        theirs.set_label(study["reference"]["source"])
        legend_below(figure, [ours, theirs])
    return figure
