"""Number of classes on which each strategy is better or worse than the baseline (paper, Fig. 1).

There is a panel for each metric, since they need not agree. For comparison, the figure shows what
chance alone would give: the heads of fair coins, one coin per class.
"""

from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from weakneg.analysis.comparison import chance_range, compare
from weakneg.analysis.metrics import METRICS
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    CENTRED,
    INK,
    MUTED,
    canvas,
    in_house_style,
    label_rows,
    legend_below,
    nothing_to_compare,
    rows_of,
    set_apart,
)
from weakneg.report.formatting import bootstrap_phrase, p_value, seeds_phrase

BETTER, BETTER_NOISE, TIE, WORSE_NOISE, WORSE = (
    "#0B4F8A",
    "#A9CDEB",
    "#F2F2F2",
    "#F6C9A3",
    "#B0440A",
)
COINS = "#ECECEC"
WHISKER: dict[str, Any] = {"color": INK, "linewidth": 0.9, "marker": "|", "markersize": 4}


@in_house_style
def draw(metrics: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the metrics."""
    tables = {metric: compare(metrics, study, metric) for metric in METRICS}
    if any(table.empty for table in tables.values()):
        return nothing_to_compare(study)
    tables = {metric: table.set_index("strategy") for metric, table in tables.items()}
    n_classes, n_seeds = len(study.classes), metrics["seed"].nunique()
    rows = rows_of(study, list(tables["ap"].index))

    subtitle = f"{seeds_phrase(n_seeds)}; each bar counts all classes"
    if n_seeds > 1:
        subtitle += "; clearly: the 95% interval over seeds of the paired difference excludes zero"
    subtitle += "; p: sign test over classes, Holm-corrected except for the upper bound"
    figure = canvas(
        0.34 * (max(rows.values()) + 1) + 0.8,
        study,
        f"number of classes improved over {study.display_name(study.baseline)}",
        subtitle,
    )
    panels = figure.subplots(1, len(METRICS), sharex=True, sharey=True)
    low, high = chance_range(n_classes)
    farthest = max(
        table[["wins", "losses", "wins_high"]].max().max() + table["ties"].max() / 2
        for table in tables.values()
    )
    reach = max(high, farthest) + 0.24 * n_classes  # room for the count next to the longest bar
    for axes, (metric, table) in zip(panels, tables.items(), strict=True):
        for ends in ((-high, -low), (low, high)):
            axes.axvspan(*ends, color=COINS, linewidth=0, zorder=0)
        for strategy, y in rows.items():
            _bar(axes, y, table.loc[strategy], reach)
        set_apart(axes, rows, study)
        axes.axvline(0, color=INK, linewidth=0.8, zorder=0.5)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.set_title(f"by {METRICS[metric]}", fontweight="bold", pad=14)
        header: dict[str, Any] = {"color": MUTED, "fontsize": 7}
        coins = f"chance: {low} to {high}" if low < high else f"chance: {low}"
        for x in (-(low + high) / 2, (low + high) / 2):
            axes.text(x, 1.02, coins, ha="center", transform=axes.get_xaxis_transform(), **header)
        axes.text(1.02, 1.02, "p", transform=axes.transAxes, **header)
    axes.set_xlim(-reach, reach)
    label_rows(panels[0], rows, study)
    for axes in panels:
        axes.tick_params(length=0)
        axes.set_xticks([])
    legend_below(figure, *_key(n_seeds, n_classes))
    return figure


def _bar(axes: Axes, y: float, row: pd.Series, reach: float) -> None:
    """Losses on the left, wins on the right, ties in the middle; the interval of wins below."""
    noisy_wins = row["wins"] - row["clear_wins"]
    noisy_losses = row["losses"] - row["clear_losses"]
    tie = row["ties"] / 2
    segments = [
        (-tie, row["ties"], TIE, INK),
        (tie, noisy_wins, BETTER_NOISE, INK),
        (tie + noisy_wins, row["clear_wins"], BETTER, "white"),
        (-tie - noisy_losses, noisy_losses, WORSE_NOISE, INK),
        (-tie - noisy_losses - row["clear_losses"], row["clear_losses"], WORSE, "white"),
    ]
    for left, width, colour, text_colour in segments:
        if width == 0:
            continue
        axes.barh(y, width, 0.54, left, color=colour, edgecolor="white", linewidth=0.7)
        # A digit of this size takes about 1/35 of the axis.
        if width * 35 > 2 * reach * len(str(width)):
            axes.text(left + width / 2, y, width, color=text_colour, fontsize=6.5, **CENTRED)
    if row["ties"]:
        axes.barh(y, row["ties"], 0.5, -tie, fill=False, edgecolor="#B5B5B5", linewidth=0.5)
    if pd.notna(row["wins_low"]):
        # The bootstrap pulls wins towards half of the classes: the count may lie outside.
        ends = [tie + row["wins_low"], tie + row["wins_high"]]
        axes.plot(ends, [y + 0.38] * 2, **WHISKER)
    for side, count in ((-1, row["losses"]), (1, row["wins"])):
        axes.annotate(
            count,
            (side * (tie + count), y),
            (4 * side, 0),
            textcoords="offset points",
            ha="left" if side > 0 else "right",
            va="center_baseline",
            fontweight="bold",
        )
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center_baseline"}
    # The upper bound does not compete, so its p is not corrected.
    corrected = row["sign_p_holm"] if pd.notna(row["sign_p_holm"]) else row["sign_p"]
    axes.text(1.02, y, p_value(corrected), **beside)


def _key(n_seeds: int, n_classes: int) -> list[list[Artist]]:
    verdicts = {"worse": WORSE_NOISE, "tie": TIE, "better": BETTER_NOISE}
    if n_seeds > 1:
        verdicts = {
            "clearly worse": WORSE,
            "worse, within noise": WORSE_NOISE,
            "tie": TIE,
            "better, within noise": BETTER_NOISE,
            "clearly better": BETTER,
        }
    patches: list[Artist] = [
        Patch(facecolor=colour, edgecolor="#B5B5B5" if colour == TIE else "none", label=text)
        for text, colour in verdicts.items()
    ]
    coins = f"95% range for {n_classes} tosses of a fair coin"
    chance: list[Artist] = [Patch(facecolor=COINS, label=coins)]
    if n_classes > 1:
        won = f"classes won, {bootstrap_phrase(n_classes, n_seeds)}"
        chance.append(Line2D([], [], label=won, **WHISKER))
    return [patches, chance]
