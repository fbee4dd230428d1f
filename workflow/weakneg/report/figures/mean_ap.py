"""AP per strategy: the mean over a few classes, or each of many classes.

For few classes: their mean, and next to it the classes with published values. For many: one row per
class, largest class first, so that it shows at a glance which classes are hard, how much the choice
of negatives matters there, and whether that depends on the number of positives.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from weakneg.analysis.comparison import class_sizes, paired_differences
from weakneg.analysis.intervals import MEAN_OVER_CLASSES, intervals
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    AP_LIMITS,
    INK,
    MUTED,
    canvas,
    draw_mark,
    guide_lines,
    hide_left_axis,
    in_house_style,
    label,
    label_rows,
    legend_below,
    panel_grid,
    plain,
    round_ticks,
    rows_of,
    seeds_and_intervals,
    set_apart,
    shorten,
    styles,
    two_lines,
)
from weakneg.report.formatting import number, plus_minus, seeds_phrase

MOST_CLASSES_IN_A_MEAN = 12
BAND = "#DDDDDD"


@in_house_style
def draw(metrics: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the metrics."""
    if len(study.classes) > MOST_CLASSES_IN_A_MEAN:
        return _class_by_class(metrics, study)
    return _mean_over_classes(metrics, study)


# ----------------------------------------------------------------------------- many classes
def _class_by_class(metrics: pd.DataFrame, study: Study) -> Figure:
    table = intervals(metrics, "ap").set_index(["class", "strategy"])
    n_seeds, baseline = metrics["seed"].nunique(), study.baseline
    clear = _clear(metrics, study)
    sizes = class_sizes(metrics).loc[study.classes, "n_positive"]
    sizes = sizes.sort_values(ascending=False, kind="stable")
    rows = {name: float(y) for y, name in enumerate(sizes.index)}
    rows[MEAN_OVER_CLASSES] = len(rows) + 0.5
    others = [s for s in study.distinct if s != baseline]

    subtitle = f"{seeds_phrase(n_seeds)}; classes by their number of positive training bags"
    if n_seeds > 1:
        subtitle += (
            "; large marks: the 95% interval over seeds of the paired difference from"
            f" {study.display_name(baseline)} excludes zero"
        )
    figure = canvas(
        0.185 * (max(rows.values()) + 1) + 0.75, study, "average precision per class", subtitle
    )
    axes = figure.subplots()
    for name, y in rows.items():
        large = {s: n_seeds == 1 or (name, s) in clear for s in others}
        _draw_class(axes, y, table.xs(name), large, study)
    _label_classes(axes, rows, sizes)
    axes.set_xlim(0, min(axes.get_xlim()[1], AP_LIMITS[1]))
    round_ticks(axes.xaxis, 9, plain)
    guide_lines(axes, "x")
    hide_left_axis(axes)
    axes.set_xlabel("AP")
    legend_below(figure, *_key(study, others, n_seeds))
    return figure


def _clear(metrics: pd.DataFrame, study: Study) -> set[tuple[str, str]]:
    """The (class, strategy), also for the mean, whose interval over seeds excludes zero."""
    by_seed = metrics.groupby(["strategy", "seed"], as_index=False).mean(numeric_only=True)
    of_mean = replace(study, classes=[MEAN_OVER_CLASSES])
    tables = [
        paired_differences(metrics, study, "ap"),
        paired_differences(by_seed.assign(**{"class": MEAN_OVER_CLASSES}), of_mean, "ap"),
    ]
    return {
        (row["class"], row["strategy"])
        for table in tables
        for _, row in table.iterrows()
        if row["clear"]
    }


def _draw_class(
    axes: Axes, y: float, values: pd.DataFrame, large: dict[str, bool], study: Study
) -> None:
    """The row of a class: the baseline, and a large or small mark for each other strategy."""
    style, baseline = styles(study), values.loc[study.baseline]
    if int(y) % 2 == 0:
        axes.axhspan(y - 0.5, y + 0.5, color="#F7F7F7", linewidth=0, zorder=0)
    if pd.notna(baseline["high"]):
        axes.barh(y, baseline["high"] - baseline["low"], 0.8, baseline["low"], color=BAND)
    axes.plot([baseline["mean"]] * 2, [y - 0.4, y + 0.4], color=MUTED, linewidth=0.9)
    # Each mark is on its own line, in the order of the legend.
    offsets = [0.0] if len(large) == 1 else np.linspace(-0.3, 0.3, len(large))
    for (strategy, is_large), offset in zip(large.items(), offsets, strict=True):
        axes.plot(
            values.loc[strategy, "mean"],
            y + offset,
            style[strategy].marker,
            color=style[strategy].colour,
            markersize=3.6 if is_large else 2.0,
            markeredgewidth=0,
            zorder=3,
        )


def _label_classes(axes: Axes, rows: dict[str, float], sizes: pd.Series) -> None:
    """Names of the classes, and next to them their numbers of positives."""
    labels = [shorten(name, 40) for name in rows]
    axes.set_yticks(list(rows.values()), labels, fontsize=6.5)
    axes.tick_params(axis="y", pad=27)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    axes.set_ylim(max(rows.values()) + 0.6, -0.6)
    beside: dict[str, Any] = {
        "transform": axes.get_yaxis_transform(),
        "ha": "right",
        "color": MUTED,
    }
    for name, size in sizes.items():
        axes.text(-0.012, rows[name], f"{size:,.0f}", va="center_baseline", fontsize=6, **beside)
    axes.text(-0.012, -0.75, "positives", va="bottom", fontsize=6, **beside)


def _key(study: Study, others: list[str], n_seeds: int) -> list[list[Artist]]:
    style = styles(study)
    handles: list[Artist] = [
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
    text = study.display_name(study.baseline)
    text += ", with its 95% interval over seeds" if n_seeds > 1 else ""
    handles.append(Patch(facecolor=BAND, edgecolor=MUTED, linewidth=0.9, label=text))
    half = math.ceil(len(handles) / 2)
    return [handles[:half], handles[half:]] if len(handles) > 4 else [handles]


# ----------------------------------------------------------------------------- few classes
def _mean_over_classes(metrics: pd.DataFrame, study: Study) -> Figure:
    table = intervals(metrics, "ap").set_index(["class", "strategy"])
    n_seeds, n_classes = metrics["seed"].nunique(), len(study.classes)
    rows = rows_of(study, study.distinct)
    published = {name: _published(study, name) for name in (MEAN_OVER_CLASSES, *study.classes)}

    panels = [MEAN_OVER_CLASSES, *(name for name in study.classes if published[name])]
    if n_classes == 1:
        panels = panels[:1]  # The mean over one class is that class.
    n_columns = min(len(panels), 4)
    n_rows = math.ceil(len(panels) / n_columns)
    any_published = any(published[panel] for panel in panels)
    subtitle = seeds_and_intervals(n_seeds)
    if study.baseline in rows:
        subtitle += f"; dashed: {study.display_name(study.baseline)}"
    figure = canvas(
        n_rows * (0.24 * (max(rows.values()) + 1) + 0.35) + 0.3 + 0.2 * any_published,
        study,
        "average precision on the test bags",
        subtitle,
    )
    ratios = [1.5 if n_rows == 1 else 1, *[1] * (n_columns - 1)]
    grid = panel_grid(figure, len(panels), n_columns, sharey=True, width_ratios=ratios)
    for axes, panel in zip(grid.flat, panels, strict=False):
        is_mean, title = panel == MEAN_OVER_CLASSES, panel
        if is_mean:
            title = f"Mean over {n_classes} classes" if n_classes > 1 else study.classes[0]
        # The layout ignores the width of a title.
        axes.set_title(two_lines(title, 60 // n_columns), fontsize=7.5, fontweight="bold")
        _draw_strategies(axes, table.xs(panel), published[panel], rows, study, is_mean)
        guide_lines(axes, "y")
        hide_left_axis(axes)
        axes.margins(x=0.06)
        low, high = axes.get_xlim()
        axes.set_xlim(max(low, AP_LIMITS[0]), min(high, AP_LIMITS[1]))
        set_apart(axes, rows, study)
        round_ticks(axes.xaxis, 4, plain)
        axes.set_xlabel("AP")
    label_rows(grid[0, 0], rows, study)
    if study.reference and any_published:
        circle: dict[str, Any] = {"marker": "o", "color": INK}
        ours = Line2D([], [], markersize=5, linewidth=1.3, label="this study", **circle)
        theirs = Line2D([], [], markersize=4.5, linewidth=0, markerfacecolor="white", **circle)
        theirs.set_label(study.reference.source)
        legend_below(figure, [ours, theirs])
    return figure


def _published(study: Study, class_name: str) -> dict[str, float]:
    """The published values of a class by strategy."""
    values = {s: study.reference_value(s, class_name, "ap") for s in study.strategies}
    return {strategy: value for strategy, value in values.items() if value is not None}


def _draw_strategies(
    axes: Axes,
    ours: pd.DataFrame,
    theirs: dict[str, float],
    rows: dict[str, float],
    study: Study,
    in_numbers: bool,
) -> None:
    """The values of a panel, above the published ones, and their numbers next to them if wanted."""
    style = styles(study)
    if study.baseline in rows:
        axes.axvline(
            ours.loc[study.baseline, "mean"],
            color=MUTED,
            linewidth=0.6,
            linestyle=(0, (3, 2)),
            zorder=0,
        )
    for strategy, y in rows.items():
        row, look = ours.loc[strategy], style[strategy]
        both = [s for s in study.distinct[strategy] if s in theirs]
        nudge = 0.17 if both else 0
        draw_mark(axes, y - nudge, row["mean"], (row["low"], row["high"]), look)
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
        if in_numbers:
            text = number(row["mean"]) + plus_minus(row["mean"], row["high"])
            axes.text(
                1.02,
                y,
                text,
                transform=axes.get_yaxis_transform(),
                va="center_baseline",
                fontsize=6.5,
                color=MUTED,
            )
