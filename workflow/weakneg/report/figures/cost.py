"""The gain of each strategy over the baseline, and its cost in bags and in seconds.

Above, gain against seconds, with the strategies that no other one beats in both: the Pareto front.
"""

import math
from collections.abc import Callable

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from weakneg.analysis.comparison import costs
from weakneg.analysis.runs import SECONDS
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    MUTED,
    canvas,
    draw_mark,
    guide_lines,
    hide_left_axis,
    in_house_style,
    label_rows,
    legend_below,
    logarithmic,
    round_ticks,
    rows_of,
    set_apart,
    signed,
    styles,
    thousands,
)
from weakneg.report.formatting import (
    bootstrap_phrase,
    classes_phrase,
    measured_on,
    seconds,
    seeds_phrase,
)

# In the order of an epoch; blue is the extra time for choosing, grey the rest.
PARTS = dict(zip(SECONDS, ("#7FB2DD", "#0B4F8A", "#BDBDBD", "#E2E2E2"), strict=True))


@in_house_style
def draw(metrics: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the metrics."""
    table = costs(metrics, study).set_index("strategy")
    rows = rows_of(study, table.index)
    n_classes, n_seeds = len(study.classes), metrics["seed"].nunique()
    baseline = study.display_name(study.baseline)

    subtitle = f"per class and seed, on average over {classes_phrase(n_classes)} and"
    subtitle += f" {seeds_phrase(n_seeds)}; seconds: {measured_on(table['devices'])}"
    if n_classes > 1:
        subtitle += f"; difference: {bootstrap_phrase(n_classes, n_seeds)}"
    comparable = table["devices"].nunique() == 1 and table["difference"].count() > 1
    front = _front(table) if comparable else []
    heights = [2.1] * bool(front) + [0.25 * (max(rows.values()) + 1) + 0.7]
    figure = canvas(
        sum(heights),
        study,
        f"what choosing gains over {baseline}, and what it costs",
        subtitle,
    )
    grid = figure.add_gridspec(len(heights), 3, height_ratios=heights)
    gain = figure.add_subplot(grid[-1, 0])
    bags, clock = (figure.add_subplot(grid[-1, column], sharey=gain) for column in (1, 2))
    for axes in (bags, clock):
        axes.tick_params(axis="y", labelleft=False)
    _draw_gain(gain, table, rows, study)
    gain.set_xlabel(f"AP minus that of {baseline}")
    _draw_bars(bags, table["bags_trained"], rows, "{:,.0f}".format)
    bags.set_xlabel("bags trained on, over all epochs")
    left = pd.Series(0.0, index=table.index)
    for part, colour in PARTS.items():
        widths = [table.loc[s, part] for s in rows]
        clock.barh(
            list(rows.values()), widths, 0.62, [left[s] for s in rows], color=colour, linewidth=0
        )
        left += table[part]
    _draw_bars(clock, left, rows, seconds, color="none")
    clock.set_xlabel("seconds")
    for axes in (gain, bags, clock):
        set_apart(axes, rows, study)
        hide_left_axis(axes)
    label_rows(gain, rows, study)
    if front:
        for strategy, name in zip(rows, gain.get_yticklabels(), strict=True):
            name.set_fontweight("bold" if strategy in front else "normal")
        _draw_front(figure.add_subplot(grid[0, :]), table, front, study)
    legend_below(
        figure,
        [
            Patch(facecolor=colour, label=part.removeprefix("seconds_"))
            for part, colour in PARTS.items()
        ],
    )
    return figure


def _front(table: pd.DataFrame) -> list[str]:
    """The strategies that no other one beats in gain and in seconds, the cheapest first."""
    front: list[str] = []
    best = -math.inf
    by_cost = table.dropna(subset="difference").sort_values(
        ["seconds", "difference"], ascending=[True, False], kind="stable"
    )
    for strategy, gain in by_cost["difference"].items():
        if gain > best:
            front.append(strategy)
            best = gain
    return front


def _draw_front(axes: Axes, table: pd.DataFrame, front: list[str], study: Study) -> None:
    """Gain against seconds. Only the front is named; the rows below tell the other markers."""
    look = styles(study)
    seconds_of, gain = table["seconds"], table["difference"]
    ends = [*seconds_of[front], seconds_of.max()]
    axes.step(ends, [*gain[front], gain[front[-1]]], where="post", color=MUTED, linewidth=0.8)
    for strategy in front:
        bounds = table.loc[strategy, ["difference_low", "difference_high"]]
        axes.vlines(seconds_of[strategy], *bounds, color=look[strategy].colour, linewidth=0.8)
    for strategy in gain.dropna().index:
        on_front = strategy in front
        axes.plot(
            seconds_of[strategy],
            gain[strategy],
            look[strategy].marker,
            color=look[strategy].colour,
            markersize=6 if on_front else 4.5,
            alpha=1 if on_front else 0.6,
            markeredgewidth=0,
            zorder=3 if on_front else 2,
        )
    logarithmic(axes)
    axes.margins(x=0.16, y=0.1)
    axes.set_xlabel("seconds")
    axes.set_ylabel(f"AP minus that of\n{study.display_name(study.baseline)}")
    round_ticks(axes.yaxis, 4, signed)
    guide_lines(axes, "y")
    axes.set_title(
        "Pareto front, in bold: no other strategy is both cheaper and better, by the mean"
    )
    low, high = axes.get_ylim()
    # Nothing is above the front on its left, so that names have room there, one above another.
    place = -math.inf
    for strategy in front:
        place = max(gain[strategy], place + 0.085 * (high - low))
        axes.annotate(
            study.display_name(strategy),
            (seconds_of[strategy], gain[strategy]),
            (-6, 2 + (place - gain[strategy]) / (high - low) * 108),
            textcoords="offset points",
            ha="right",
            fontsize=7,
            fontweight="bold",
        )


def _draw_gain(axes: Axes, table: pd.DataFrame, rows: dict[str, float], study: Study) -> None:
    look = styles(study)
    axes.axvline(0, color=MUTED, linewidth=0.7, zorder=0)
    for strategy, y in rows.items():
        row = table.loc[strategy]
        bounds = (row["difference_low"], row["difference_high"])
        draw_mark(axes, y, row["difference"], bounds, look[strategy])
    axes.margins(x=0.12)
    round_ticks(axes.xaxis, 5, signed)
    guide_lines(axes, "y")


def _draw_bars(
    axes: Axes,
    values: pd.Series,
    rows: dict[str, float],
    write: Callable[[float], str],
    color: str = MUTED,
) -> None:
    """Bars from zero, each with its value at its end."""
    axes.barh(list(rows.values()), [values[s] for s in rows], 0.62, color=color, linewidth=0)
    for strategy, y in rows.items():
        axes.annotate(
            write(values[strategy]),
            (values[strategy], y),
            (3, 0),
            textcoords="offset points",
            va="center_baseline",
            fontsize=6.5,
        )
    # The numbers need a quarter of the panel.
    axes.set_xlim(0, 1.25 * (values.max() or 1.0))
    round_ticks(axes.xaxis, 4, thousands)
