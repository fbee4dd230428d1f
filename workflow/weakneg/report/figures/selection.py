"""Which negative bags the strategies chose: how far they agree, how often they change their choice.

Left, the Jaccard index of every two strategies, averaged over epochs; right, turnover and share of
the pool used against epochs, over the values for random choices. A curve ends when the first of its
runs stops, so that each point averages the same runs.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    CENTRED,
    FAINT,
    INK,
    Style,
    canvas,
    draw_curve,
    epoch_axis,
    guide_lines,
    in_house_style,
    label,
    legend_below,
    plain,
    round_ticks,
    styles,
)
from weakneg.report.formatting import classes_phrase, number, seeds_phrase

AGREEMENT = LinearSegmentedColormap.from_list("agreement", ["#FFFFFF", "#A9CDEB", "#0B4F8A"])
RANDOM: dict[str, Any] = {"color": FAINT, "linewidth": 4, "solid_capstyle": "butt", "zorder": 0}
PANELS = {"turnover": "new in a selection", "used": "share of the pool used"}


@in_house_style
def draw(overlap: pd.DataFrame, turnover: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the tables selection_overlap.csv and selection_turnover.csv."""
    strategies = study.competitors
    headline = "which negatives the strategies choose"
    turnover = turnover[turnover["strategy"].isin(strategies)]
    if turnover.empty:
        return canvas(0.7, study, headline, "No strategy chose bags, so there is nothing to show.")
    overlap = overlap[overlap["strategy_a"].isin(strategies)]
    overlap = overlap[overlap["strategy_b"].isin(strategies)]
    n_trainings = turnover["n"].max()
    kept = turnover[turnover["n"] == n_trainings]
    look = styles(study)

    n_classes = len(study.classes)
    subtitle = f"mean over {classes_phrase(n_classes)} and {seeds_phrase(n_trainings // n_classes)}"
    if not overlap.empty:
        expected = number(_mean(overlap, "expected_jaccard"), 2)
        subtitle += f", on the left also over epochs; overlap of random choices: {expected}"
    if len(kept) < len(turnover):
        subtitle += "; a curve ends where the first of its runs stopped"
    names = [label(study, strategy, 22) for strategy in strategies]
    row_height = max(0.24, 0.06 + 0.11 * max(1 + name.count("\n") for name in names))
    figure = canvas(max(2.2, row_height * len(strategies) + 0.35), study, headline, subtitle)
    matrix, *panels = figure.subplots(1, 3, width_ratios=[1.5, 1, 1])
    _draw_matrix(matrix, overlap, {s: look[s] for s in strategies}, names)
    for axes, (measure, title) in zip(panels, PANELS.items(), strict=True):
        _draw_curves(axes, kept, measure, {s: look[s] for s in strategies})
        axes.set_title(title)
    legend_below(
        figure, [Line2D([], [], label="uniformly random choices of the same size", **RANDOM)]
    )
    return figure


def _draw_matrix(
    axes: Axes, overlap: pd.DataFrame, looks: dict[str, Style], names: Sequence[str]
) -> None:
    """The triangle below the diagonal; on it, the markers that name the columns and the curves."""
    place = {strategy: position for position, strategy in enumerate(looks)}
    size = len(looks)
    for (a, b), pair in overlap.groupby(["strategy_a", "strategy_b"]):
        value = _mean(pair, "jaccard")
        x, y = sorted((place[a], place[b]))
        axes.barh(y, 1, 1, x - 0.5, color=AGREEMENT(value), edgecolor="white", linewidth=0.8)
        axes.text(
            x,
            y,
            number(value, 2),
            color="white" if value > 0.6 else INK,
            fontsize=min(7, 90 / size),  # so that it fits into its cell
            **CENTRED,
        )
    for position, look in enumerate(looks.values()):
        axes.plot(
            [position - 0.3, position + 0.3],
            [position] * 2,
            color=look.colour,
            linestyle=look.line,
            linewidth=1.2,
        )
        axes.plot(position, position, look.marker, color=look.colour, markersize=4.5, mew=0)
    axes.set_title("overlap at the same epoch (Jaccard index)")
    axes.set_yticks(range(size), names, fontsize=7.5)
    axes.set_xticks([])
    places = max(size, 5)  # two strategies alone would have one huge cell
    axes.set_xlim(-0.5, places - 0.5)
    axes.set_ylim(places - 0.5, -0.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_curves(axes: Axes, turnover: pd.DataFrame, measure: str, looks: dict[str, Style]) -> None:
    """One curve for each strategy, over the mean for random choices."""
    expected = turnover.groupby("epoch")[f"expected_{measure}"].mean()
    axes.plot(expected.index, expected, **RANDOM)
    for strategy, look in looks.items():
        curve = turnover[turnover["strategy"] == strategy].dropna(subset=measure)
        draw_curve(axes, curve["epoch"], curve[measure], look, len(curve))
    epoch_axis(axes)
    shown = turnover[[measure, f"expected_{measure}"]]
    top = shown.fillna(0).to_numpy().max(initial=0.1)  # a single selection has no turnover
    axes.set_ylim(-0.02 * top, min(1.08 * top, 1.02))
    round_ticks(axes.yaxis, 6, plain)
    guide_lines(axes, "y")


def _mean(table: pd.DataFrame, column: str) -> float:
    """Mean over all classes, seeds and epochs, from means over classes and seeds."""
    return float((table[column] * table["n"]).sum() / table["n"].sum())
