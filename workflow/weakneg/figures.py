"""The figures: which strategies beat the baseline, where, by how much, and how fast.

A figure is one function `(metrics, runs, study) -> Figure` named in `FIGURES`; the study is
the dictionary that `weakneg.wording` describes. Equal inputs give equal bytes in every format:
dates are left out of the files, SVG ids come from a fixed salt, and the fonts are matplotlib's own.

Colours are Okabe and Ito's (and Tol's for strategies beyond the paper's), which colour-blind people
tell apart; each strategy also has a marker and a line style of its own, so that grey prints work.
Nothing here touches pyplot or changes matplotlib's settings outside `draw`.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from scipy.optimize import isotonic_regression

from weakneg.errors import UserError
from weakneg.evaluation import (
    MEAN_OVER_CLASSES,
    intervals,
    mean_interval,
    paired_differences,
    read_epochs,
    read_metrics,
    read_run,
    select_study,
    win_counts,
)
from weakneg.files import replace_when_whole
from weakneg.wording import (
    number,
    p_value,
    reference_value,
    seeds_phrase,
    strategy_name,
    upper_bound,
)

WIDTH = 7.1  # inches: the text width of a two-column page
INK, MUTED, FAINT = "#222222", "#6B6B6B", "#D9D9D9"
BETTER, BETTER_NOISE, TIE, WORSE_NOISE, WORSE = (
    "#0B4F8A",
    "#A9CDEB",
    "#F2F2F2",
    "#F6C9A3",
    "#B0440A",
)
HOUSE_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "text.color": INK,
    "text.parse_math": False,  # a class may be called "$5 $10"
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "figure.dpi": 200,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",
    "svg.hashsalt": "weakneg",
}
# Whatever would name the date or the software's version in the file.
METADATA = {
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    ".svg": {"Date": None, "Creator": None},
    ".png": {"Software": None},
}


class Style(NamedTuple):
    """How a strategy looks, everywhere."""

    colour: str
    marker: str
    line: str | tuple


# Least confidence, margin and entropy choose the same bags of a binary model: one colour for them.
STYLES = {
    "full": Style("#000000", "D", "-"),
    "random": Style("#7A7A7A", "o", (0, (4, 1.5))),
    "least_confidence": Style("#56B4E9", "v", (0, (1, 1))),
    "margin": Style("#56B4E9", "^", (0, (1, 1))),
    "entropy": Style("#56B4E9", "<", (0, (1, 1))),
    "gradient_embedding": Style("#D55E00", "s", "-"),
    "badge": Style("#0072B2", "P", "-"),
    "kl_embedding": Style("#009E73", "X", (0, (5, 1, 1, 1))),
    "kl_probability": Style("#E69F00", "p", (0, (3, 1, 1, 1, 1, 1))),
    "svm_margin": Style("#CC79A7", "d", (0, (6, 1.5))),
}
_MORE_COLOURS = ("#332288", "#882255", "#999933", "#117733", "#8C510A", "#44AA99", "#AA4499")
_MORE_MARKERS = ("h", ">", "8", "*", "H")
_MORE_LINES = ("-", (0, (2, 1)), (0, (5, 1, 1, 1)))


def draw(
    name: str,
    metrics_csv: str | Path,
    runs: Sequence[tuple[str, str | Path]],
    study: dict,
    outputs: Sequence[str | Path],
) -> None:
    """Draw the figure `name` into each of `outputs` (.pdf, .png, .svg).

    Only `learning_curves` reads `runs`, (strategy, run folder) pairs. Raises UserError for a figure
    or a format that does not exist, and for metrics or runs that lack a part of the study.
    """
    if name not in FIGURES:
        raise UserError(f"There is no figure {name!r}; choose one of {', '.join(FIGURES)}.")
    for output in outputs:
        if Path(output).suffix not in METADATA:
            raise UserError(f"{output}: a figure is written as one of {', '.join(METADATA)}.")
    metrics = select_study(read_metrics(metrics_csv), study)
    with house_style():
        figure = FIGURES[name](metrics, runs, study)
        _settle(figure)
        for output in outputs:
            with replace_when_whole(output) as temporary:
                figure.savefig(temporary, metadata=METADATA[temporary.suffix])


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib's defaults and `HOUSE_STYLE`, whatever a user's matplotlibrc says, for a while."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(HOUSE_STYLE)
        yield


def styles(study: dict) -> dict[str, Style]:
    """Style of each strategy; those beyond the paper's take what is left, in study order."""
    # Coprime lengths: 7 * 5 * 3 strategies before a combination comes again.
    more = map(
        Style,
        itertools.cycle(_MORE_COLOURS),
        itertools.cycle(_MORE_MARKERS),
        itertools.cycle(_MORE_LINES),
    )
    return {s: STYLES[s] if s in STYLES else next(more) for s in study["strategies"]}


# ---------------------------------------------------------------------------------------------
# Figures


def win_count(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """On how many classes each strategy is better or worse than the baseline (paper, Fig. 1)."""
    counts = win_counts(paired_differences(metrics, study["baseline"], "ap"))
    if counts.empty:
        return _nothing_to_compare(study)
    counts = counts.set_index("strategy")
    n_classes, n_seeds = len(study["classes"]), metrics["seed"].nunique()
    rows = _rows(study, counts.index)

    figure = _canvas(
        0.30 * (max(rows.values()) + 1) + 1.0,
        study,
        f"number of classes improved over {strategy_name(study['baseline'])}",
        f"by average precision, {_seeds(n_seeds)}; each bar counts all classes, ties at its centre",
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
                axes.text(left + width / 2, y, width, color=text_colour, fontsize=6.5, **_CENTRED)
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
    _label_rows(axes, rows, study)
    _set_apart(axes, rows, study)

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


def differences(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """Per-class difference to the baseline with its interval, one panel per strategy."""
    table = paired_differences(metrics, study["baseline"], "ap")
    if table.empty:
        return _nothing_to_compare(study)
    strategies = list(_rows(study, table["strategy"].unique()))
    classes, n_seeds = study["classes"], metrics["seed"].nunique()
    style = styles(study)

    n_columns = min(len(strategies), 5 if len(classes) <= 20 else 6)
    n_rows = math.ceil(len(strategies) / n_columns)
    n_columns = math.ceil(len(strategies) / n_rows)
    row_height = 0.15 if len(classes) <= 20 else 0.097
    baseline = strategy_name(study["baseline"])
    subtitle = f"one point per class, {_seeds(n_seeds)}"
    if n_seeds > 1:
        subtitle += ", paired by seed; filled where the interval excludes zero"
    # With few seeds some intervals are far wider than any difference; those leave the panel.
    bounds = table[["low", "high"]].abs().max(axis=1).fillna(0)
    farthest = table["difference"].abs().max()
    limit = max(2.5 * farthest, bounds.quantile(0.75))
    if bounds.max() > limit:
        subtitle += "; long ones are cut"
    else:
        limit = max(farthest, bounds.max()) or 1.0
    limit *= 1.06
    figure = _canvas(
        n_rows * (row_height * len(classes) + 0.38) + 0.85,
        study,
        f"difference in average precision to {baseline}",
        subtitle,
    )
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    for axes, strategy in itertools.zip_longest(grid.flat, strategies):
        if strategy is None:
            axes.set_visible(False)
            continue
        of_strategy = table[table["strategy"] == strategy].set_index("class").loc[classes]
        colour = style[strategy].colour
        y = np.arange(len(classes))
        axes.axvline(0, color=MUTED, linewidth=0.7, zorder=1)
        axes.hlines(y, of_strategy["low"], of_strategy["high"], color=colour, linewidth=0.9)
        axes.scatter(
            of_strategy["difference"],
            y,
            s=13 if len(classes) <= 20 else 8,
            marker=style[strategy].marker,
            facecolors=[colour if clear else "white" for clear in of_strategy["clear"]],
            edgecolors=colour,
            linewidths=0.8,
            zorder=3,
        )
        # About 80 characters of bold print fill the width beside the class names.
        title = _two_lines(strategy_name(strategy), 80 // n_columns)
        if strategy == upper_bound(study):
            title = f"{_shorten(strategy_name(strategy), 80 // n_columns)}\n(upper bound)"
        axes.set_title(title, fontsize=7, fontweight="bold")
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    first = grid[0, 0]
    first.set_xlim(-limit, limit)
    first.set_ylim(len(classes) - 0.4, -0.6)
    for axes in grid[:, 0]:
        axes.set_yticks(
            np.arange(len(classes)),
            [_shorten(name, 26) for name in classes],
            fontsize=7 if len(classes) <= 20 else 6,
        )
    first.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], symmetric=True))
    first.xaxis.set_major_formatter(FuncFormatter(_signed))
    for column in range(n_columns):
        # The last row may be shorter than the others: ticks go below the lowest panel.
        lowest = [axes for axes in grid[:, column] if axes.get_visible()][-1]
        lowest.tick_params(axis="x", labelbottom=True)
    figure.supxlabel(f"AP minus that of {baseline}", fontsize=8)
    return figure


def mean_ap(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """Mean AP per strategy with intervals; beside it, classes of which the paper gives values."""
    table = intervals(metrics, "ap").set_index(["class", "strategy"])
    n_seeds = metrics["seed"].nunique()
    rows = _rows(study, study["strategies"])
    style = styles(study)

    def published(class_name: str) -> dict[str, float]:
        values = {s: reference_value(study, s, class_name, "ap") for s in study["strategies"]}
        return {strategy: value for strategy, value in values.items() if value is not None}

    panels = [MEAN_OVER_CLASSES, *(c for c in study["classes"] if published(c))]
    if len(study["classes"]) == 1 and len(panels) == 2:
        panels = panels[:1]  # The mean over one class is that class.
    n_columns = min(len(panels), 4)
    n_rows = math.ceil(len(panels) / n_columns)
    any_published = any(published(panel) for panel in panels)
    figure = _canvas(
        n_rows * (0.21 * (max(rows.values()) + 1) + 0.35) + 0.8 + 0.2 * any_published,
        study,
        "average precision on the test bags",
        f"{_seeds(n_seeds)}; dashed: {strategy_name(study['baseline'])}"
        if study["baseline"] in study["strategies"]
        else _seeds(n_seeds),
    )
    ratios = [1.5 if n_rows == 1 else 1, *[1] * (n_columns - 1)]
    grid = figure.subplots(n_rows, n_columns, sharey=True, squeeze=False, width_ratios=ratios)
    for axes, panel in itertools.zip_longest(grid.flat, panels):
        if panel is None:
            axes.set_visible(False)
            continue
        theirs = published(panel)
        if study["baseline"] in rows:
            axes.axvline(
                table.loc[(panel, study["baseline"]), "mean"],
                color=MUTED,
                linewidth=0.6,
                linestyle=(0, (3, 2)),
                zorder=0,
            )
        for strategy, y in rows.items():
            ours, look = table.loc[(panel, strategy)], style[strategy]
            nudge = 0.17 if strategy in theirs else 0
            axes.hlines(y - nudge, ours["low"], ours["high"], color=look.colour, linewidth=1.3)
            axes.plot(ours["mean"], y - nudge, look.marker, color=look.colour, markersize=5)
            if strategy in theirs:
                axes.plot(
                    theirs[strategy],
                    y + nudge,
                    look.marker,
                    markerfacecolor="white",
                    markeredgecolor=look.colour,
                    markersize=4.5,
                    zorder=3,
                )
            if panel == MEAN_OVER_CLASSES:
                text = number(ours["mean"])
                if n_seeds > 1:
                    text += f" ± {number(ours['high'] - ours['mean'])}"
                axes.text(
                    1.02,
                    y,
                    text,
                    transform=axes.get_yaxis_transform(),
                    va="center_baseline",
                    fontsize=6.5,
                    color=MUTED,
                )
        n_classes = len(study["classes"])
        title = panel
        if panel == MEAN_OVER_CLASSES:
            title = f"Mean over {n_classes} classes" if n_classes > 1 else study["classes"][0]
        # The layout does not look at how wide a title is.
        axes.set_title(_two_lines(title, 60 // n_columns), fontsize=7.5, fontweight="bold")
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.5)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.06)
        _set_apart(axes, rows, study)
        axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(_plain))
        axes.set_xlabel("AP")
    _label_rows(grid[0, 0], rows, study)
    if any_published:
        ours = Line2D([], [], marker="o", color=INK, markersize=5, linewidth=1.3)
        theirs = Line2D([], [], marker="o", color=INK, markersize=4.5, linewidth=0)
        theirs.set_markerfacecolor("white")
        figure.legend(
            [ours, theirs],
            ["this study", study["reference"]["source"]],
            loc="outside lower center",
            ncols=2,
        )
    return figure


def learning_curves(metrics: pd.DataFrame, runs: Sequence, study: dict) -> Figure:
    """Best validation AP so far against epochs, bags trained on, and seconds.

    Each point is the mean over classes after one epoch, in y as in x. A run that stopped early
    keeps its best AP and its cost until the last epoch, so that each point averages the same runs.
    """
    curves = read_curves(runs, metrics, study)
    style = styles(study)
    groups = _group_identical(curves)
    n_epochs = max(len(curve.ap[0]) for curve in curves.values())
    stopped_early = any(curve.stopped_early for curve in curves.values())
    n_seeds = metrics["seed"].nunique()
    few = len(groups) <= 4
    banded = [group for group in groups if n_seeds > 1 and (few or study["baseline"] in group)]

    subtitle = seeds_phrase(n_seeds)
    if banded:
        subtitle += "; band: 95% interval over seeds"
        subtitle += "" if few else f" of {strategy_name(study['baseline'])}"
    if stopped_early:
        subtitle += "; runs that stopped early keep their best value and cost"
    n_classes = len(study["classes"])
    what = "of the class" if n_classes == 1 else f"mean over {n_classes} classes"
    figure = _canvas(
        max(3.0, 0.16 * len(groups) + 0.11 * (len(curves) - len(groups)) + 1.2),
        study,
        f"best validation AP so far, {what}",
        subtitle,
    )
    panels = figure.subplots(1, 3, sharey=True)
    means = {group[0]: curves[group[0]].ap.mean(axis=0) for group in groups}
    floor = _floor(list(means.values()))
    for axes, quantity in zip(panels, ("epoch", "bags", "seconds"), strict=True):
        for group in groups:
            mean, low, high = mean_interval(curves[group[0]].ap)
            # Strategies that choose the same bags do the same work: their clocks are averaged.
            x = np.mean([getattr(curves[member], quantity) for member in group], axis=(0, 1))
            look = style[group[0]]
            # From the last epoch below the floor, so that the line enters through the axis.
            shown = slice(max(0, int(np.argmax(mean >= floor)) - 1), None)
            if group in banded:
                axes.fill_between(
                    x[shown], low[shown], high[shown], color=look.colour, alpha=0.2, linewidth=0
                )
            axes.plot(
                x[shown],
                mean[shown],
                color=look.colour,
                linestyle=look.line,
                linewidth=1.2,
                marker=look.marker,
                markersize=3.5,
                markeredgewidth=0,
                markevery=max(1, math.ceil(n_epochs / 6)),
            )
    panels[0].set_ylabel("validation AP")
    panels[0].set_xlabel("epoch")
    panels[0].xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    panels[0].xaxis.set_major_formatter("{x:.0f}")
    for axes, label in zip(
        panels[1:], ("bags trained on, per class", "seconds spent, per class"), strict=True
    ):
        axes.set_xlabel(label)
        _logarithmic(axes)
    for axes in panels:
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        axes.set_axisbelow(True)
        axes.grid(axis="y", color="#EEEEEE", linewidth=0.5)
    panels[0].set_ylim(bottom=floor)
    labels = [
        "\n= ".join(_shorten(strategy_name(member), 32) for member in group) for group in groups
    ]
    looks = [style[group[0]] for group in groups]
    _label_ends(figure, panels[-1], [mean[-1] for mean in means.values()], labels, looks)
    return figure


FIGURES = {
    "win_count": win_count,
    "differences": differences,
    "mean_ap": mean_ap,
    "learning_curves": learning_curves,
}


# ---------------------------------------------------------------------------------------------
# Curves


class Curve(NamedTuple):
    """One strategy's epochs, averaged over classes: arrays (seeds, epochs)."""

    ap: np.ndarray
    epoch: np.ndarray
    bags: np.ndarray
    seconds: np.ndarray
    stopped_early: bool
    validation_ap: pd.Series  # as measured, by class, seed and epoch


def read_curves(
    runs: Sequence[tuple[str, str | Path]], metrics: pd.DataFrame, study: dict
) -> dict[str, Curve]:
    """Read the histories of a study's runs; UserError when one of `metrics` has no folder."""
    tables = []
    for strategy, folder in runs:
        class_name = read_run(folder)["class"]
        if class_name in study["classes"] and strategy in study["strategies"]:
            history = read_epochs(folder)
            tables.append(history.assign(**{"class": class_name, "strategy": strategy}))
    keys = ["class", "strategy", "seed"]
    found = pd.concat(tables) if tables else pd.DataFrame(columns=keys)
    missing = set(metrics[keys].itertuples(index=False, name=None)) - set(
        found[keys].itertuples(index=False, name=None)
    )
    if missing:
        class_name, strategy, seed = min(missing)
        raise UserError(
            f"Study {study['name']}: no run folder holds the history of class {class_name!r},"
            f" strategy {strategy!r}, seed {seed}; name the folders of all runs."
        )

    by_seed = found.groupby(keys, sort=False)
    found["best_so_far"] = by_seed["validation_ap"].cummax()
    found["seconds"] = by_seed["seconds"].cumsum()
    epochs = np.arange(1, found["epoch"].max() + 1)
    curves = {}
    for strategy in study["strategies"]:
        of_strategy = found[found["strategy"] == strategy]

        def over_classes(column: str, of_strategy: pd.DataFrame = of_strategy) -> np.ndarray:
            wide = of_strategy.pivot(index=["class", "seed"], columns="epoch", values=column)
            wide = wide.reindex(columns=epochs).ffill(axis=1)
            return wide.groupby("seed").mean().to_numpy()

        n_runs = of_strategy.groupby(["class", "seed"]).ngroups
        ap = over_classes("best_so_far")
        curves[strategy] = Curve(
            ap=ap,
            epoch=np.broadcast_to(epochs, ap.shape),
            bags=over_classes("bags_trained"),
            seconds=over_classes("seconds"),
            stopped_early=len(of_strategy) < n_runs * len(epochs),
            validation_ap=of_strategy.set_index(["class", "seed", "epoch"])[
                "validation_ap"
            ].sort_index(),
        )
    return curves


def _floor(means: list[np.ndarray]) -> float:
    """Where the axis starts: the climb of the first epochs would flatten the differences."""
    ends = [mean[-1] for mean in means]
    start = min(mean[0] for mean in means)
    return max(start - 0.01, min(ends) - max(2 * (max(ends) - min(ends)), 0.1))


def _group_identical(curves: dict[str, Curve]) -> list[list[str]]:
    """Strategies whose runs agree in every validation AP, as groups in the order given."""
    groups: list[list[str]] = []
    for strategy, curve in curves.items():
        for group in groups:
            other = curves[group[0]]
            if curve.validation_ap.equals(other.validation_ap) and np.array_equal(
                curve.bags, other.bags
            ):
                group.append(strategy)
                break
        else:
            groups.append([strategy])
    return groups


# ---------------------------------------------------------------------------------------------
# Parts that figures share

_CENTRED = {"ha": "center", "va": "center_baseline"}


def _canvas(height: float, study: dict, headline: str, subtitle: str) -> Figure:
    """An empty figure of the page's width with its two title lines; `height` in inches."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    top, bottom = 0.48 / height, 0.03 / height
    figure.get_layout_engine().set(rect=(0.005, bottom, 0.985, 1 - top - bottom), wspace=0.04)
    title = _shorten(study["title"], 34)
    figure.text(
        0.012, 1 - 0.08 / height, f"{title}: {headline}", fontsize=9.5, fontweight="bold", va="top"
    )
    figure.text(0.012, 1 - 0.27 / height, subtitle, fontsize=7.5, color=MUTED, va="top")
    return figure


def _settle(figure: Figure) -> None:
    """Lay the figure out once and for all, at rounded positions.

    The constraint solver's last digits depend on where its objects lie in memory, and would
    otherwise differ between two drawings of the same figure.
    """
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position([round(edge, 5) for edge in axes.get_position(original=True).bounds])


def _nothing_to_compare(study: dict) -> Figure:
    baseline = strategy_name(study["baseline"])
    return _canvas(
        0.7,
        study,
        "nothing to compare",
        f"A comparison needs the baseline {baseline} and one more strategy in the study.",
    )


def _rows(study: dict, strategies: Sequence[str]) -> dict[str, float]:
    """Height of each strategy's row, in study order; the upper bound comes last, set apart."""
    competitors = [s for s in study["strategies"] if s in strategies and s != upper_bound(study)]
    rows = {strategy: float(y) for y, strategy in enumerate(competitors)}
    if upper_bound(study) in strategies:
        rows[upper_bound(study)] = len(rows) + (0.4 if rows else 0.0)
    return rows


def _label_rows(axes: Axes, rows: dict[str, float], study: dict) -> None:
    """Strategy names on the y axis, first on top."""
    bound = upper_bound(study)
    labels = [
        _shorten(strategy_name(s), 34) + ("\n(upper bound)" if s == bound else "") for s in rows
    ]
    axes.set_yticks(list(rows.values()), labels, fontsize=8)
    axes.set_ylim(max(rows.values()) + 0.6, -0.6)


def _set_apart(axes: Axes, rows: dict[str, float], study: dict) -> None:
    """A rule above the row of the upper bound."""
    if upper_bound(study) in rows and len(rows) > 1:
        axes.axhline(rows[upper_bound(study)] - 0.7, color=FAINT, linewidth=0.8, zorder=0)


def _label_ends(
    figure: Figure, axes: Axes, ends: list[float], labels: list[str], looks: list[Style]
) -> None:
    """Name the curves right of `axes`, as near to their ends as the text size allows."""
    figure.draw_without_rendering()  # The height of the panel decides how far labels must part.
    height = round(axes.get_window_extent().height / figure.dpi, 3)
    low, high = axes.get_ylim()
    order = np.argsort(ends, kind="stable")
    targets = (np.asarray(ends)[order] - low) / (high - low)
    sizes = np.array([0.05 + 0.11 * (1 + labels[index].count("\n")) for index in order]) / height
    steps = np.cumsum(sizes) - (sizes + sizes[0]) / 2
    # The least squared displacement that keeps the labels apart and inside the panel.
    placed = isotonic_regression(targets - steps).x
    placed = np.clip(placed, 0, max(0, 1 - steps[-1])) + steps
    frame = {"transform": axes.transAxes, "clip_on": False}
    for index, target, y in zip(order, targets, placed, strict=True):
        look = looks[index]
        axes.plot([1.0, 1.06], [target, y], color="#BBBBBB", linewidth=0.5, **frame)
        axes.plot([1.07, 1.17], [y, y], color=look.colour, linestyle=look.line, lw=1.2, **frame)
        axes.plot(1.12, y, look.marker, color=look.colour, ms=3.5, mew=0, **frame)
        axes.text(
            1.2,
            y,
            labels[index],
            transform=axes.transAxes,
            va="center",
            fontsize=7,
            linespacing=1.0,
        )


def _logarithmic(axes: Axes) -> None:
    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 60 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(_thousands))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _plain(value: float, _position: int) -> str:
    return number(value, 10).rstrip("0").rstrip(".") or "0"


def _signed(value: float, position: int) -> str:
    text = _plain(abs(value), position)
    return text if text == "0" else ("+" if value > 0 else "\N{MINUS SIGN}") + text


def _thousands(value: float, _position: int) -> str:
    for unit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:g}{suffix}"
    return f"{value:g}"


def _seeds(n_seeds: int) -> str:
    if n_seeds == 1:
        return "1 seed, so no interval"
    return f"95% intervals over {seeds_phrase(n_seeds)}"


def _shorten(name: str, length: int) -> str:
    """Cut a name that would push the drawing off the page."""
    name = " ".join(str(name).split())
    return name if len(name) <= length else name[: length - 1].rstrip() + "…"


def _two_lines(title: str, length: int) -> str:
    """Break a title at a space or an underscore, so that panels do not write over each other."""
    words = title.replace("_", "_ ").split(" ")
    first = words.pop(0)
    while words and len(first) + 1 + len(words[0]) <= length:
        first += " " + words.pop(0)
    lines = [line.replace("_ ", "_") for line in (first, " ".join(words)) if line]
    return "\n".join(_shorten(line, length) for line in lines)
