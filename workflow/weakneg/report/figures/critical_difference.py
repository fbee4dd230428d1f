"""Average ranks over classes, and which of them differ.

References
----------
Demsar, "Statistical comparisons of classifiers over multiple data sets", JMLR 7 (2006), Fig. 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weakneg.analysis.comparison import average_ranks
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    INK,
    MUTED,
    Style,
    canvas,
    in_house_style,
    label,
    nothing_to_compare,
    styles,
)
from weakneg.report.formatting import classes_phrase, p_value, seeds_phrase

LINE = 0.16  # inches between lines of the drawing
FREE: dict[str, Any] = {"clip_on": False, "solid_capstyle": "butt"}


@in_house_style
def draw(metrics: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the metrics."""
    table = average_ranks(metrics, study, "ap")
    if len(table) < 2:
        return nothing_to_compare(study)
    ranks, critical = table["average_rank"].to_numpy(), table["critical_difference"][0]
    told = pd.notna(critical)
    groups = groups_within(ranks, critical) if told else []
    n_classes, n_seeds = len(study.classes), metrics["seed"].nunique()

    subtitle = f"rank by average precision, {seeds_phrase(n_seeds)}, on {classes_phrase(n_classes)}"
    subtitle += (
        "; bars join strategies that do not differ significantly (Nemenyi's test, 95%)"
        if told
        else "; too few classes to tell which strategies differ significantly"
    )
    if pd.notna(table["friedman_p"][0]):
        subtitle += (
            f"; Friedman test that all are equal: p {_with_relation(table['friedman_p'][0])}"
        )
    # Names are in two columns, the better half on the left.
    names = [label(study, strategy, 24) for strategy in table["strategy"]]
    tall = 1.7 if any("\n" in name for name in names) else 1.2
    depth = 1.2 + 0.7 * len(groups)
    bottom = depth + tall * ((len(ranks) + 1) // 2 - 0.5)
    figure = canvas(LINE * (bottom + 3.2), study, "average rank, 1 is best", subtitle)
    axes = figure.subplots()
    axes.set_axis_off()
    axes.set_xlim(1, len(ranks))
    axes.set_ylim(bottom, -3.2)
    _draw_scale(axes, len(ranks))
    if told:
        _draw_critical_difference(axes, len(ranks), critical)
    for level, (first, final) in enumerate(groups):
        ends = [ranks[first] - 0.04, ranks[final] + 0.04]
        axes.plot(ends, [0.6 + 0.7 * level] * 2, color=MUTED, linewidth=2.5, **FREE)
    looks = [styles(study)[strategy] for strategy in table["strategy"]]
    _draw_names(axes, ranks, names, looks, depth, tall)
    return figure


def _draw_scale(axes: Axes, last: int) -> None:
    """The ranks from 1 to the last."""
    axes.plot([1, last], [0, 0], color=INK, linewidth=0.8, **FREE)
    for rank in range(1, last + 1):
        axes.plot([rank, rank], [0, -0.3], color=INK, linewidth=0.8, **FREE)
        axes.text(rank, -0.5, str(rank), ha="center", va="bottom", fontsize=7)


def _draw_critical_difference(axes: Axes, last: int, critical: float) -> None:
    """Its length, above the ranks from 1 to the last."""
    reach = min(critical, last - 1)
    axes.plot([1, 1 + reach], [-2.2, -2.2], color=INK, linewidth=1.2, marker="|", clip_on=False)
    text = f"critical difference {critical:.2f}"
    axes.text(1 + reach / 2, -2.4, text, ha="center", va="bottom", fontsize=7)


def _draw_names(
    axes: Axes,
    ranks: np.ndarray,
    names: Sequence[str],
    looks: Sequence[Style],
    depth: float,
    tall: float,
) -> None:
    """A mark at each rank, and a line to its name; names start at `depth`, `tall` lines each."""
    last = len(ranks)
    for position, (rank, name, look) in enumerate(zip(ranks, names, looks, strict=True)):
        on_left = position < (last + 1) // 2
        # The outer ranks get the lower lines on the right, so that no two lines cross.
        y = depth + tall * (position if on_left else last - 1 - position)
        edge = 1 - 0.02 * (last - 1) if on_left else last + 0.02 * (last - 1)
        axes.plot([rank, rank, edge], [0, y, y], color=look.colour, linewidth=0.9, **FREE)
        axes.plot(rank, 0, look.marker, color=look.colour, markersize=5, mew=0, clip_on=False)
        axes.annotate(
            name,
            (edge, y),
            (-4 if on_left else 4, 0),
            textcoords="offset points",
            ha="right" if on_left else "left",
            va="center",
            fontsize=7.5,
            linespacing=1.0,
            annotation_clip=False,
        )


def groups_within(ranks: np.ndarray, critical: float) -> list[tuple[int, int]]:
    """Find the largest groups of strategies that do not differ significantly.

    Parameters
    ----------
    ranks : ndarray, (k,) float64
        Average ranks, ascending.
    critical : float
        Critical difference.

    Returns
    -------
    list of (int, int)
        First and last index of each group.
    """
    ends = [int(np.flatnonzero(ranks - rank < critical)[-1]) for rank in ranks]
    return [
        (first, last)
        for first, last in enumerate(ends)
        if last > first and (first == 0 or ends[first - 1] < last)
    ]


def _with_relation(p: float) -> str:
    return text if (text := p_value(p)).startswith("<") else f"= {text}"
