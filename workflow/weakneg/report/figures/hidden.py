"""AP against the share of hidden positives, what was chosen, and what was memorised.

Above: test AP of the strategies with the usual loss, and of the baseline with every loss. Below:
hidden positives among the chosen bags, as a multiple of their share of the pool; and the loss of
the hidden positives and of the other negatives during training, which shows when a model memorises
wrong labels.
"""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from weakneg.analysis.hidden import MEASURES, baseline_of
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    AP_LIMITS,
    MUTED,
    Style,
    canvas,
    draw_curve,
    epoch_axis,
    guide_lines,
    in_house_style,
    legend_of_curves,
    nothing_to_compare,
    plain,
    round_ticks,
    seeds_and_intervals,
    styles,
)
from weakneg.report.formatting import classes_phrase

KINDS = ("hidden",)


@in_house_style
def draw(hidden: pd.DataFrame, hidden_epochs: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the tables hidden.csv and hidden_epochs.csv."""
    if not (hidden_epochs["hidden"] > 0).any():
        return nothing_to_compare(study, "No positives are hidden in the runs that are left.")
    strategy, loss = baseline_of(study)
    by_strategy = {place.strategy: look for place, look in _looks(study) if place.loss == loss}
    by_loss = {place.loss: look for place, look in _looks(study) if place.strategy == strategy}
    shown = _share_to_show(hidden_epochs)
    figure = canvas(
        5.0,
        study,
        "what missing labels cost, and who finds them",
        f"mean over {classes_phrase(len(study.classes))}; "
        f"band: {seeds_and_intervals(int(hidden['seeds'].max()))}"
        f"; below: {100 * shown:g}% of the positive training bags are hidden",
    )
    (by_choice, by_doubt), (chosen, memory) = figure.subplots(2, 2)
    _draw_shares(by_choice, hidden[hidden["loss"] == loss], "strategy", by_strategy, strategy)
    _draw_shares(by_doubt, hidden[hidden["strategy"] == strategy], "loss", by_loss, loss)
    lows, highs = zip(by_choice.get_ylim(), by_doubt.get_ylim(), strict=True)
    for axes in (by_choice, by_doubt):
        axes.set_ylim(min(lows), max(highs))
    by_choice.set_title(f"strategies, with {loss}")
    by_doubt.set_title(f"losses, with {strategy}")
    of_share = hidden_epochs[hidden_epochs["hidden"] == shown]
    _draw_chosen(chosen, of_share[of_share["loss"] == loss], by_strategy)
    _draw_memory(memory, of_share[of_share["strategy"] == strategy], by_loss)
    for looks in (by_loss, by_strategy):  # from the bottom up
        legend_of_curves(figure, looks)
    return figure


def _looks(study: Study) -> list[tuple]:
    """The first place of each strategy and loss in the grid, and its look."""
    style, seen, found = styles(study), set(), []
    for name, place in study.hidden.items():
        if (place.strategy, place.loss) not in seen:
            seen.add((place.strategy, place.loss))
            found.append((place, style[name]))
    return found


def _share_to_show(epochs: pd.DataFrame) -> float:
    """The middle one of the shares above 0."""
    shares = sorted(share for share in epochs["hidden"].unique() if share > 0)
    return float(shares[len(shares) // 2])


def _draw_shares(
    axes: Axes, results: pd.DataFrame, key: str, looks: Mapping[str, Style], banded: str
) -> None:
    for name, look in looks.items():
        rows = results[(results[key] == name) & (results["measure"] == "ap")]
        rows = rows.sort_values("hidden")
        x = 100 * rows["hidden"]
        if name == banded:  # the others would hide each other
            low, high, colour = rows["low"], rows["high"], look.colour
            axes.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(x, rows["mean"], **look.marked, linewidth=1.2)
    axes.set_xlabel("hidden positives (%)")
    axes.set_ylabel("test AP")
    round_ticks(axes.yaxis, 6, plain)
    guide_lines(axes, "y")
    axes.set_xticks([100 * share for share in sorted(results["hidden"].unique())])
    low, high = axes.get_ylim()  # intervals over two seeds reach far beyond 0 and 1
    axes.set_ylim(max(low, AP_LIMITS[0]), min(high, AP_LIMITS[1]))


def _by_epoch(rows: pd.DataFrame) -> pd.DataFrame:
    """A column for each measure, empty where there was nothing to measure."""
    wide = rows.pivot(index="epoch", columns="measure", values="mean")
    return wide.reindex(columns=MEASURES)


def _draw_chosen(axes: Axes, epochs: pd.DataFrame, looks: Mapping[str, Style]) -> None:
    axes.axhline(1, color=MUTED, linewidth=0.6, linestyle=(0, (3, 2)))
    for name, look in looks.items():
        rows = epochs[epochs["strategy"] == name]
        wide = _by_epoch(rows)
        draw_curve(axes, wide.index, wide["in_chosen"] / wide["in_pool"], look, len(wide))
    axes.set_title("hidden positives among the chosen, relative to the pool")
    epoch_axis(axes)
    axes.set_ylim(0)
    guide_lines(axes, "y")


def _draw_memory(axes: Axes, epochs: pd.DataFrame, looks: Mapping[str, Style]) -> None:
    for name, look in looks.items():
        rows = epochs[epochs["loss"] == name]
        wide = _by_epoch(rows)
        for measure, width in (("loss_hidden", 1.4), ("loss_true", 0.6)):
            axes.plot(wide.index, wide[measure], color=look.colour, linestyle=look.line, lw=width)
    axes.set_title("loss with label 0: hidden positives (thick), others (thin)")
    epoch_axis(axes)
    axes.set_ylim(0)
    guide_lines(axes, "y")
