"""How few negatives are enough, and from which budget on choosing them stops mattering.

Above: AP and ROC-AUC against the bags that a training takes, on the way to the level of the full
set. Below: the difference from the baseline at the same budget.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from weakneg.analysis.metrics import METRICS
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    AP_LIMITS,
    FAINT,
    MUTED,
    Style,
    canvas,
    guide_lines,
    in_house_style,
    layout_of,
    legend_of_curves,
    logarithmic,
    nothing_to_compare,
    plain,
    round_ticks,
    seeds_and_intervals,
    signed,
    styles,
)
from weakneg.report.formatting import bootstrap_phrase, classes_phrase

KINDS = ("budget",)
_DODGE = 1.05  # ratio of budgets: intervals side by side


@in_house_style
def draw(budget: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the table budget.csv."""
    if not budget["budget"].notna().any():
        return nothing_to_compare(study, "No strategy with a budget is left.")
    n_classes, n_seeds = (int(budget[each].max()) for each in ("classes", "seeds"))
    looks = _looks(budget, study)
    baseline = study.joint_name(study.baseline)
    below = f"difference from {baseline} at the same budget"
    if n_classes > 1:
        below += f", {bootstrap_phrase(n_classes, n_seeds)}"
    figure = canvas(
        5.0,
        study,
        "how few negatives are enough?",
        f"mean over {classes_phrase(n_classes)}; above: negatives per positive over the points of "
        f"{baseline}, {seeds_and_intervals(n_seeds)}; below: {below}"
        f"{_whole_pool(budget, n_classes)}",
    )
    layout_of(figure).set(hspace=0.06)
    above, differences = figure.subplots(2, 2)
    for column, (metric, title) in enumerate(METRICS.items()):
        of_metric = budget[budget["metric"] == metric]
        _draw_metric(above[column], of_metric, looks, baseline)
        above[column].set_ylabel(f"test {title}")
        _draw_differences(differences[column], of_metric, looks, baseline)
        differences[column].set_ylabel(f"difference in {title}")
    legend_of_curves(figure, looks)
    return figure


def _looks(results: pd.DataFrame, study: Study) -> dict[str, Style]:
    """The look of each strategy, which is that of its first budget."""
    style = styles(study)
    found: dict[str, Style] = {}
    for name in study.distinct:
        found.setdefault(study.joint_name(name), style[name])
    return {strategy: found[strategy] for strategy in results["strategy"].unique()}


def _whole_pool(results: pd.DataFrame, n_classes: int) -> str:
    """From which budget on classes are trained on their whole pool."""
    whole = results[results["budget"].notna() & (results["whole_pool"] == n_classes)]
    return f"; from {whole['budget'].min():g} on, budgets are the whole pool" if len(whole) else ""


def _draw_metric(
    axes: Axes, results: pd.DataFrame, looks: Mapping[str, Style], baseline: str
) -> None:
    for strategy, look in looks.items():
        rows = results[results["strategy"] == strategy]
        if rows["budget"].isna().all():  # a strategy without a budget is a level
            level = rows.iloc[0]
            axes.axhline(level["mean"], color=look.colour, linewidth=0.7, zorder=1)
            if pd.notna(level["high"]):
                axes.axhspan(level["low"], level["high"], color=FAINT, alpha=0.4, lw=0, zorder=0)
        if strategy == baseline:  # the others would hide each other
            axes.fill_between(
                rows["bags"], rows["low"], rows["high"], color=look.colour, alpha=0.2, linewidth=0
            )
            _name_budgets(axes, rows)
        axes.plot(rows["bags"], rows["mean"], **look.marked, linewidth=1.2)
    low, high = axes.get_ylim()  # intervals over two seeds reach far beyond 0 and 1
    axes.set_ylim(max(low, AP_LIMITS[0]), min(high, AP_LIMITS[1]))
    logarithmic(axes)
    axes.set_xlabel("bags trained on, in all epochs")
    round_ticks(axes.yaxis, 6, plain)
    guide_lines(axes, "y")


def _name_budgets(axes: Axes, rows: pd.DataFrame) -> None:
    """The negatives per positive of each point of a curve, above the panel."""
    at: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": "center", "va": "bottom"}
    for bags, budget in zip(rows["bags"], rows["budget"], strict=True):
        axes.axvline(bags, color=FAINT, linewidth=0.5, zorder=0)
        axes.text(bags, 1.01, plain(budget, 0), fontsize=6, color=MUTED, **at)


def _draw_differences(
    axes: Axes, results: pd.DataFrame, looks: Mapping[str, Style], baseline: str
) -> None:
    axes.axhline(0, color=MUTED, linewidth=0.6, linestyle=(0, (3, 2)))
    compared = results[results["budget"].notna() & (results["strategy"] != baseline)]
    names = [name for name in looks if name in set(compared["strategy"])]
    for number, name in enumerate(names):
        rows, look = compared[compared["strategy"] == name], looks[name]
        x = rows["budget"] * _DODGE ** (number - (len(names) - 1) / 2)
        axes.vlines(x, rows["difference_low"], rows["difference_high"], color=look.colour, lw=1)
        axes.plot(x, rows["difference"], **look.marked, linewidth=0.7)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(sorted(results["budget"].dropna().unique())))
    axes.xaxis.set_major_formatter(FuncFormatter(plain))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("negatives per positive")
    round_ticks(axes.yaxis, 6, signed)
    guide_lines(axes, "y")
