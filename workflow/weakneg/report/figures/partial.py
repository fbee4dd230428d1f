"""Which labels that are assumed to be negative training should believe, and what it memorises.

Above: mean AP of every method or, where methods see several sets of labels, labelling efficiency;
and the difference from the baseline with the same labels, in groups of classes by their number of
observed positives. Below: the loss of hidden positives, which a model memorises where it falls to
that of hidden negatives; and how many of the labels that a method rejects or corrects are positive.
"""

from collections.abc import Collection, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D

from weakneg.analysis.partial import ALL, levels
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    AP_LIMITS,
    CENTRED,
    FAINT,
    INK,
    MUTED,
    Style,
    canvas,
    draw_curve,
    draw_mark,
    epoch_axis,
    guide_lines,
    hide_left_axis,
    in_house_style,
    layout_of,
    legend_below,
    legend_of_curves,
    plain,
    round_ticks,
    seeds_and_intervals,
    shorten,
    styles_of_methods,
)
from weakneg.report.formatting import classes_phrase, signed_number

KINDS = ("partial",)
_CHANGE = LinearSegmentedColormap.from_list("change", ["#D9805F", "#FFFFFF", "#6FA3CC"])
_OTHER = "#B5B5B5"
_ROW, _PANEL, _AROUND = 0.19, 0.78, 0.55  # inches: a method, a small panel, titles and labels
_MOST_ACROSS = 7  # small panels side by side


@in_house_style
def draw(partial: pd.DataFrame, partial_epochs: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the tables partial.csv and partial_epochs.csv."""
    results, epochs = partial[partial["metric"] == "ap"], partial_epochs
    of_all = results[results["group"] == ALL]
    looks = styles_of_methods(study)
    rows, seen_by = _rows(looks, study), levels(of_all, study)
    seen = study.methods[study.baseline].observed
    compared = results[results["observed"].eq(seen) & results["difference"].notna()]
    epochs = epochs[epochs["group"].eq(ALL) & epochs["observed"].eq(seen)]
    hiding = _methods_with(epochs, "loss_hidden_positive", looks)
    doubting = _methods_with(epochs, "precision", looks)

    down = -(-len(hiding) // (_MOST_ACROSS - 2 * bool(doubting)))
    heights = [_AROUND + max(_ROW * (max(rows.values()) + 1), 1.7 if seen_by else 0.5)]
    if hiding:
        heights.append(_AROUND + _PANEL * max(down, 2))
    n_seeds, n_classes = (int(of_all[each].max()) for each in ("seeds", "classes"))
    subtitle = f"mean over {classes_phrase(n_classes)}; {seeds_and_intervals(n_seeds)}"
    if len(compared) and n_seeds > 1:
        subtitle += "; bold: the interval of a difference excludes zero"
    if seen_by and (len(compared) or hiding):
        subtitle += f"; right and below, the labels observed are: {seen}"
    headline = "which assumed negatives should training believe?"
    figure = canvas(sum(heights), study, headline, subtitle)
    layout_of(figure).set(hspace=0.05)
    parts = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    if hiding:
        _draw_training(figure, parts[1], epochs, hiding, doubting, looks, down, study)
    results_axes, *beside = _side_by_side(figure, parts[0], [1.0, 1.15] if len(compared) else [1.0])
    if seen_by:
        _draw_efficiency(results_axes, of_all, seen_by, looks, study)
    else:
        _draw_results(results_axes, of_all, rows, looks, study)
    for axes in beside:
        _draw_differences(axes, compared, rows, study)
        _name_rows(axes, rows if seen_by else {}, looks)
    if seen_by and not beside:
        legend_of_curves(figure, looks)
    return figure


def _rows(looks: Mapping[str, Style], study: Study) -> dict[str, float]:
    """Position of the row of each method; the upper bound comes last, set apart."""
    upper = study.full_method
    rows = {method: float(y) for y, method in enumerate(name for name in looks if name != upper)}
    return rows if upper is None else rows | {upper: len(rows) + 0.4}


def _methods_with(epochs: pd.DataFrame, measure: str, looks: Mapping[str, Style]) -> list[str]:
    found = {*epochs.loc[epochs["measure"] == measure, "method"]}
    return [method for method in looks if method in found]


def _side_by_side(figure: Figure, spec: SubplotSpec, widths: Sequence[float]) -> list[Axes]:
    grid = spec.subgridspec(1, len(widths), width_ratios=widths)
    return [figure.add_subplot(grid[0, column]) for column in range(len(widths))]


def _draw_results(
    axes: Axes,
    of_all: pd.DataFrame,
    rows: Mapping[str, float],
    looks: Mapping[str, Style],
    study: Study,
) -> None:
    """Mean AP of every method, in rows."""
    for row in of_all.to_dict("records"):
        y, look = rows[row["method"]], looks[row["method"]]
        draw_mark(axes, y, row["mean"], (row["low"], row["high"]), look)
    upper = study.full_method
    names = [shorten(name, 28) + (", all labels" if name == upper else "") for name in rows]
    axes.set_yticks([*rows.values()], names, fontsize=7.5)
    if upper is not None and len(rows) > 1:
        axes.axhline(rows[upper] - 0.7, color=FAINT, linewidth=0.8, zorder=0)
    axes.set_ylim(max(rows.values()) + 0.6, -0.6)
    low, high = axes.get_xlim()  # intervals over two seeds reach far beyond 0 and 1
    axes.set_xlim(max(low, AP_LIMITS[0]), min(high, AP_LIMITS[1]))
    axes.set_title("mean AP")
    round_ticks(axes.xaxis, 5, plain)
    guide_lines(axes, "x")
    hide_left_axis(axes)


def _draw_efficiency(
    axes: Axes,
    of_all: pd.DataFrame,
    seen_by: Sequence[str],
    looks: Mapping[str, Style],
    study: Study,
) -> None:
    """Mean AP against the labels observed, a line for each method."""
    for method, look in looks.items():
        of_method = of_all[of_all["method"] == method].set_index("observed")
        of_method = of_method.reindex([each for each in seen_by if each in of_method.index])
        x = [seen_by.index(each) for each in of_method.index]
        if method == study.methods[study.baseline].method:  # the others would hide each other
            low, high = of_method["low"], of_method["high"]
            axes.fill_between(x, low, high, color=look.colour, alpha=0.15, linewidth=0)
        axes.plot(x, of_method["mean"], **look.marked, linewidth=1.2)
    known = of_all.groupby("observed")["labels_observed"].mean()
    names = [
        name if name == "all" or name.endswith("%") else f"{name}\n({100 * known[name]:.2g}%)"
        for name in seen_by
    ]
    axes.set_xticks(range(len(names)), names)
    low, high = axes.get_ylim()
    axes.set_ylim(max(low, AP_LIMITS[0]), min(high, AP_LIMITS[1]))
    axes.set_title("mean AP")
    axes.set_xlabel("labels observed, of all training labels")
    round_ticks(axes.yaxis, 6, plain)
    guide_lines(axes, "y")


def _draw_differences(
    axes: Axes, compared: pd.DataFrame, rows: Mapping[str, float], study: Study
) -> None:
    """Difference from the baseline of every method, for all classes and in groups of classes."""
    baseline = study.methods[study.baseline].method
    columns = {group: float(x) for x, group in enumerate(compared["group"].unique())}
    columns = {group: x + 0.25 * (x > 0) for group, x in columns.items()}
    largest = max(compared["difference"].abs().max(), 1e-9)
    for row in compared.to_dict("records"):
        x, y, value = columns[row["group"]], rows[row["method"]], row["difference"]
        colour = _CHANGE(0.5 + 0.5 * value / largest)
        axes.barh(y, 1, 1, x - 0.5, color=colour, edgecolor="white", linewidth=0.8)
        sure = row["seeds_low"] > 0 or row["seeds_high"] < 0
        weight = "bold" if sure else "normal"
        axes.text(x, y, signed_number(value), color=INK, fontsize=6.5, weight=weight, **CENTRED)
    if baseline in rows:
        axes.text(-0.4, rows[baseline], "the baseline", color=MUTED, fontsize=6.5, va="center")
    axes.set_title(f"difference from {shorten(baseline, 40)}")
    names = ["all", *(group for group in columns if group != ALL)]
    if len(names) > 2:
        names[0], names[1] = "all classes", f"{names[1]}: rarest"
        names[-1] = f"{names[-1]}: most\nfrequent"
    axes.set_xticks([*columns.values()], names)
    axes.set_xlim(-0.5, max(*columns.values(), 2.0) + 0.5)
    axes.set_ylim(max(rows.values()) + 0.6, -0.6)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _name_rows(axes: Axes, rows: Mapping[str, float], looks: Mapping[str, Style]) -> None:
    """Names of methods beside their rows, with the markers of their lines."""
    axes.set_yticks([*rows.values()], [shorten(name, 24) for name in rows], fontsize=7.5)
    axes.tick_params(axis="y", length=0, pad=14)
    left, right = axes.get_xlim()
    for method, y in rows.items():
        look = looks[method]
        axes.plot(left - 0.25, y, look.marker, color=look.colour, ms=4.5, mew=0, clip_on=False)
    axes.set_xlim(left, right)


def _draw_training(
    figure: Figure,
    spec: SubplotSpec,
    epochs: pd.DataFrame,
    hiding: Sequence[str],
    doubting: Sequence[str],
    looks: Mapping[str, Style],
    down: int,
    study: Study,
) -> None:
    """Losses of hidden labels, a panel for each method, and the precision of what it doubts."""
    across = -(-len(hiding) // down)
    columns = spec.subgridspec(1, 2, width_ratios=[2.2, 1]) if doubting else None
    panels = (columns[0, 0] if columns else spec).subgridspec(down, across)
    baseline = study.methods[study.baseline].method
    by_measure = {
        measure: rows.pivot(index="epoch", columns="method", values="mean")
        for measure, rows in epochs.groupby("measure")
    }
    positives, negatives = (
        by_measure.get(f"loss_hidden_{sign}", pd.DataFrame()) for sign in ("positive", "negative")
    )
    first: Axes | None = None
    for number, method in enumerate(hiding):
        place = panels[number // across, number % across]
        axes = figure.add_subplot(place, sharex=first, sharey=first)
        if baseline in positives and method != baseline:
            axes.plot(positives.index, positives[baseline], color=_OTHER, linewidth=0.9)
        colour = looks[method].colour
        axes.plot(positives.index, positives[method], color=colour, linewidth=1.5)
        if method in negatives:
            axes.plot(negatives.index, negatives[method], color=colour, linewidth=0.6)
        title = shorten(method, 90 // across)
        axes.set_title(title, fontsize=7, color=colour, fontweight="bold", pad=2)
        epoch_axis(axes)
        axes.set_xlabel("epoch" if number // across == down - 1 else "", fontsize=7)
        guide_lines(axes, "y")
        axes.tick_params(labelbottom=number // across == down - 1, labelleft=not number % across)
        axes.tick_params(labelsize=6.5)
        first = first or axes
    if first is not None:
        first.set_ylim(0)
        round_ticks(first.yaxis, 4, plain)
    handles = [
        Line2D([], [], color=INK, lw=1.5, label="hidden positives: loss with label 0"),
        Line2D([], [], color=INK, lw=0.6, label="hidden negatives"),
    ]
    if baseline in positives and len(hiding) > 1:
        label = f"hidden positives of {baseline}"
        handles.append(Line2D([], [], color=_OTHER, lw=0.9, label=label))
    if doubting:
        handles.append(Line2D([], [], color=MUTED, lw=0.8, ls=(0, (3, 2)), label="at random"))
    legend_below(figure, handles)
    if columns:
        _draw_precision(figure.add_subplot(columns[0, 1]), by_measure, doubting, looks)


def _draw_precision(
    axes: Axes,
    by_measure: Mapping[str, pd.DataFrame],
    doubting: Collection[str],
    looks: Mapping[str, Style],
) -> None:
    """Share of hidden positives among the labels that a method rejects or corrects, by epoch."""
    precision, at_random = by_measure["precision"], by_measure["positives"]
    of_doubting = at_random[[*doubting]].mean(axis=1)
    axes.plot(at_random.index, of_doubting, color=MUTED, linewidth=0.8, linestyle=(0, (3, 2)))
    for method in doubting:
        curve = precision[method].dropna()
        draw_curve(axes, curve.index, curve, looks[method], len(curve))
    axes.set_title("precision of rejection and correction")
    epoch_axis(axes)
    axes.set_ylim(0, 1.08 * axes.dataLim.y1)  # room for the highest marker
    round_ticks(axes.yaxis, 5, plain)
    guide_lines(axes, "y")
