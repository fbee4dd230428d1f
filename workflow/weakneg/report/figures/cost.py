"""What each strategy costs, in bags and in seconds, beside what it gains over the baseline."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from weakneg.analysis.comparison import costs
from weakneg.analysis.runs import SECONDS
from weakneg.analysis.study import strategy_name
from weakneg.report.figures.style import (
    MUTED,
    canvas,
    label_rows,
    legend_below,
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

# In the order of an epoch; blue is what choosing adds to what training takes anyway.
PARTS = dict(zip(SECONDS, ("#7FB2DD", "#0B4F8A", "#BDBDBD", "#E2E2E2"), strict=True))


def draw(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """Draw the figure from the metrics of `study`."""
    table = costs(metrics, study).set_index("strategy")
    rows = rows_of(study, table.index)
    n_classes, n_seeds = len(study["classes"]), metrics["seed"].nunique()
    baseline = strategy_name(study["baseline"])

    subtitle = f"per class and seed, on average over {classes_phrase(n_classes)} and"
    subtitle += f" {seeds_phrase(n_seeds)}; seconds: {measured_on(table['devices'])}"
    if n_classes > 1:
        subtitle += f"; difference: {bootstrap_phrase(n_classes, n_seeds)}"
    figure = canvas(
        0.25 * (max(rows.values()) + 1) + 0.7,
        study,
        f"what choosing gains over {baseline}, and what it costs",
        subtitle,
    )
    gain, bags, clock = figure.subplots(1, 3, sharey=True)
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
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    label_rows(gain, rows, study)
    legend_below(
        figure,
        [
            Patch(facecolor=colour, label=part.removeprefix("seconds_"))
            for part, colour in PARTS.items()
        ],
    )
    return figure


def _draw_gain(axes: Axes, table: pd.DataFrame, rows: dict[str, float], study: dict) -> None:
    look = styles(study)
    axes.axvline(0, color=MUTED, linewidth=0.7, zorder=0)
    for strategy, y in rows.items():
        row, colour = table.loc[strategy], look[strategy].colour
        axes.hlines(y, row["difference_low"], row["difference_high"], color=colour, linewidth=1.3)
        axes.plot(row["difference"], y, look[strategy].marker, color=colour, markersize=5)
    axes.margins(x=0.12)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(signed))
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#EEEEEE", linewidth=0.5)


def _draw_bars(axes: Axes, values: pd.Series, rows: dict[str, float], write, color=MUTED) -> None:
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
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
