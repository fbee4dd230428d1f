"""Validation AP of the best epoch so far against epochs, bags trained on, and seconds.

Both coordinates of a point are means over classes after an epoch. A run that stopped early keeps
its best AP and its cost until the last epoch, so that each point averages the same runs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.optimize import isotonic_regression

from weakneg.analysis.intervals import mean_interval
from weakneg.analysis.runs import read_epochs, read_run
from weakneg.analysis.study import Study
from weakneg.errors import UserError
from weakneg.report.figures.style import (
    AP_LIMITS,
    Style,
    canvas,
    draw_curve,
    epoch_axis,
    guide_lines,
    in_house_style,
    label,
    logarithmic,
    plain,
    round_ticks,
    styles,
)
from weakneg.report.formatting import measured_on, seeds_phrase


@in_house_style
def draw(metrics: pd.DataFrame, runs: Sequence[tuple[str, Path]], study: Study) -> Figure:
    """Draw the figure, from the metrics, and strategy and folder of each run."""
    curves = read_curves(runs, metrics, study)
    style = styles(study)
    n_epochs = max(len(curve.ap[0]) for curve in curves.values())
    stopped_early = any(curve.stopped_early for curve in curves.values())
    n_seeds = metrics["seed"].nunique()
    few = len(curves) <= 4
    banded = [s for s in curves if n_seeds > 1 and (few or s == study.baseline)]

    subtitle = seeds_phrase(n_seeds)
    if banded:
        subtitle += "; band: 95% interval over seeds"
        subtitle += "" if few else f" of {study.display_name(study.baseline)}"
    if stopped_early:
        subtitle += "; runs that stopped early keep their best value and cost"
    subtitle += f"; seconds: {measured_on(metrics['device'])}"
    n_classes = len(study.classes)
    what = "of the class" if n_classes == 1 else f"mean over {n_classes} classes"
    labels = [label(study, strategy, 20) for strategy in curves]
    lines = sum(1 + text.count("\n") for text in labels)
    figure = canvas(
        max(2.5, 0.05 * len(labels) + 0.11 * lines + 0.7),
        study,
        f"best validation AP so far, {what}",
        subtitle,
    )
    panels = figure.subplots(1, 3, sharey=True)
    means = {strategy: curve.ap.mean(axis=0) for strategy, curve in curves.items()}
    floor = _floor(list(means.values()))
    for axes, quantity in zip(panels, ("epoch", "bags", "seconds"), strict=True):
        for strategy, curve in curves.items():
            mean, low, high = mean_interval(curve.ap)
            x = curve._asdict()[quantity].mean(axis=0)
            look = style[strategy]
            # From the last epoch below the floor, so that the line enters through the axis.
            shown = slice(max(0, int(np.argmax(mean >= floor)) - 1), None)
            if strategy in banded:
                axes.fill_between(
                    x[shown], low[shown], high[shown], color=look.colour, alpha=0.2, linewidth=0
                )
            draw_curve(axes, x[shown], mean[shown], look, n_epochs)
    panels[0].set_ylabel("validation AP")
    epoch_axis(panels[0])
    panels[1].set_xlabel("bags trained on, per class")
    panels[2].set_xlabel("seconds spent, per class")
    for axes in panels[1:]:
        logarithmic(axes)
    for axes in panels:
        round_ticks(axes.yaxis, 6, plain)
        guide_lines(axes, "y")
    panels[0].set_ylim(floor, min(panels[0].get_ylim()[1], AP_LIMITS[1]))
    looks = [style[strategy] for strategy in curves]
    _label_ends(figure, panels[-1], [mean[-1] for mean in means.values()], labels, looks)
    return figure


class Curve(NamedTuple):
    """The epochs of a strategy, averaged over classes.

    Attributes
    ----------
    ap, epoch, bags, seconds : ndarray, (seeds, epochs)
        Best validation AP so far, number of the epoch, bags trained on so far, seconds so far.
    stopped_early : bool
        Whether a run stopped before the last epoch.
    """

    ap: np.ndarray
    epoch: np.ndarray
    bags: np.ndarray
    seconds: np.ndarray
    stopped_early: bool


def read_curves(
    runs: Sequence[tuple[str, str | Path]], metrics: pd.DataFrame, study: Study
) -> dict[str, Curve]:
    """Read the histories of a study's runs.

    Parameters
    ----------
    runs : sequence of (str, str or Path)
        Strategy and folder of each run.
    metrics : DataFrame
        The metrics of the study.
    study : Study
        The study.

    Returns
    -------
    dict
        Distinct strategy -> its curve.

    Raises
    ------
    UserError
        When a row of `metrics` has no folder.
    """
    strategies = list(study.distinct)
    tables = []
    for strategy, folder in runs:
        class_name = read_run(folder)["class"]
        if class_name in study.classes and strategy in strategies:
            history = read_epochs(folder)
            tables.append(history.assign(**{"class": class_name, "strategy": strategy}))
    keys = ["class", "strategy", "seed"]
    found = pd.concat(tables) if tables else pd.DataFrame(columns=keys)
    expected = metrics.loc[metrics["strategy"].isin(strategies), keys]
    missing = set(expected.itertuples(index=False, name=None)) - set(
        found[keys].itertuples(index=False, name=None)
    )
    if missing:
        class_name, strategy, seed = min(missing)
        raise UserError(
            f"Study {study.name}: no run folder holds the history of class {class_name!r},"
            f" strategy {strategy!r}, seed {seed}; name the folders of all runs."
        )

    # Older histories have no moving average.
    found["compared"] = found.get("validation_ap_smoothed", found["validation_ap"])
    by_seed = found.groupby(keys, sort=False)
    found["best_compared"] = by_seed["compared"].cummax()
    is_best = ~(found["compared"] <= by_seed["best_compared"].shift())
    found["best_so_far"] = found["validation_ap"].where(is_best)
    found["best_so_far"] = by_seed["best_so_far"].ffill()
    found["seconds"] = by_seed["seconds"].cumsum()
    epochs = np.arange(1, found["epoch"].max() + 1)
    curves = {}
    for strategy in strategies:
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
        )
    return curves


def _floor(means: list[np.ndarray]) -> float:
    """Where the axis starts: the steep first epochs would flatten the differences."""
    ends = [mean[-1] for mean in means]
    start = min(mean[0] for mean in means)
    return max(start - 0.01, min(ends) - max(2 * (max(ends) - min(ends)), 0.1))


def _label_ends(
    figure: Figure, axes: Axes, ends: list[float], labels: list[str], looks: list[Style]
) -> None:
    """Name the curves to the right of `axes`, as close to their ends as the text size allows."""
    figure.draw_without_rendering()  # The distance between labels depends on the panel's height.
    height = round(axes.get_window_extent().height / figure.dpi, 3)
    low, high = axes.get_ylim()
    order = np.argsort(ends, kind="stable")
    targets = (np.asarray(ends)[order] - low) / (high - low)
    sizes = np.array([0.05 + 0.11 * (1 + labels[index].count("\n")) for index in order]) / height
    steps = np.cumsum(sizes) - (sizes + sizes[0]) / 2
    # The least squared displacement that keeps the labels apart and inside the panel.
    placed = isotonic_regression(targets - steps).x
    placed = np.clip(placed, 0, max(0, 1 - steps[-1])) + steps
    frame: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
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
