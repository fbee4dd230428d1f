"""On how many classes each strategy is better or worse than the baseline (paper, Fig. 1)."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from weakneg.evaluation import paired_differences, win_counts
from weakneg.figures.style import (
    CENTRED,
    INK,
    MUTED,
    canvas,
    label_rows,
    nothing_to_compare,
    rows_of,
    seeds_and_intervals,
    set_apart,
)
from weakneg.wording import p_value, strategy_name

BETTER, BETTER_NOISE, TIE, WORSE_NOISE, WORSE = (
    "#0B4F8A",
    "#A9CDEB",
    "#F2F2F2",
    "#F6C9A3",
    "#B0440A",
)


def draw(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """Draw the figure from the metrics of `study`."""
    counts = win_counts(paired_differences(metrics, study["baseline"], "ap"))
    if counts.empty:
        return nothing_to_compare(study)
    counts = counts.set_index("strategy")
    n_classes, n_seeds = len(study["classes"]), metrics["seed"].nunique()
    rows = rows_of(study, counts.index)

    figure = canvas(
        0.30 * (max(rows.values()) + 1) + 1.0,
        study,
        f"number of classes improved over {strategy_name(study['baseline'])}",
        f"by average precision, {seeds_and_intervals(n_seeds)};"
        " each bar counts all classes, ties at its centre",
    )
    axes = figure.subplots()
    ends = []
    for strategy, y in rows.items():
        row = counts.loc[strategy]
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
            axes.barh(y, width, 0.72, left, color=colour, edgecolor="white", linewidth=0.7)
            # A digit of this size needs about a thirtieth of the axis.
            if width * 30 > n_classes * len(str(width)):
                axes.text(left + width / 2, y, width, color=text_colour, fontsize=6.5, **CENTRED)
        if row["ties"]:
            axes.barh(y, row["ties"], 0.68, -tie, fill=False, edgecolor="#B5B5B5", linewidth=0.5)
        ends += [-tie - row["losses"], tie + row["wins"]]
        for end, count, side in (
            (ends[-2], row["losses"], "right"),
            (ends[-1], row["wins"], "left"),
        ):
            axes.annotate(
                count,
                (end, y),
                (4 if side == "left" else -4, 0),
                textcoords="offset points",
                ha=side,
                va="center_baseline",
                fontweight="bold",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )
        axes.text(
            1.03, y, p_value(row["p"]), transform=axes.get_yaxis_transform(), va="center_baseline"
        )
    label_rows(axes, rows, study)
    set_apart(axes, rows, study)

    reach = max(n_classes / 2, -min(ends), max(ends)) + 0.1 * n_classes
    axes.set_xlim(-reach, reach)
    axes.axvline(0, color=INK, linewidth=0.8, zorder=0.5)
    for half in (-n_classes / 2, n_classes / 2):
        axes.axvline(half, color=MUTED, linewidth=0.6, linestyle=(0, (2, 2)), zorder=0)
    header = {"transform": axes.get_xaxis_transform(), "color": MUTED, "fontsize": 7}
    for x, text, align in (
        (-n_classes / 2, "half of the classes", "center"),
        (n_classes / 2, "half of the classes", "center"),
    ):
        axes.text(x, 1.02, text, ha=align, **header)
    axes.text(
        1.03, 1.02, "sign test p", transform=axes.transAxes, color=MUTED, fontsize=7, ha="left"
    )
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks([])

    if n_seeds > 1:
        key = {
            "clearly worse": WORSE,
            "worse, within noise": WORSE_NOISE,
            "tie": TIE,
            "better, within noise": BETTER_NOISE,
            "clearly better": BETTER,
        }
    else:
        key = {"worse": WORSE_NOISE, "tie": TIE, "better": BETTER_NOISE}
    patches = [
        Patch(facecolor=colour, edgecolor="#B5B5B5" if colour == TIE else "none", label=text)
        for text, colour in key.items()
    ]
    figure.legend(
        handles=patches,
        loc="outside lower center",
        ncols=len(patches),
        handlelength=1.1,
        handleheight=1.1,
        columnspacing=1.4,
    )
    return figure
