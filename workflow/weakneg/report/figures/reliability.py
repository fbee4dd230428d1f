"""Are scores the chances that they seem to be? As scored, and calibrated on validation bags."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from weakneg.analysis.calibration import CALIBRATED, RAW, calibration_error
from weakneg.analysis.study import Study
from weakneg.report.figures.style import (
    INK,
    MUTED,
    Style,
    canvas,
    guide_lines,
    hide_left_axis,
    in_house_style,
    label_rows,
    legend_below,
    legend_of_curves,
    plain,
    round_ticks,
    rows_of,
    set_apart,
    styles,
)
from weakneg.report.formatting import classes_phrase

FEWEST = 10  # bags; points of fewer are mostly chance
LOOKS = {RAW: Style("#BBBBBB", "o", "-"), CALIBRATED: Style(INK, "s", "-")}


@in_house_style
def draw(reliability: pd.DataFrame, study: Study) -> Figure:
    """Draw the figure, from the table reliability.csv."""
    table = reliability.assign(strategy=reliability["strategy"].astype(str))
    rows = rows_of(study, study.distinct)
    kinds = [kind for kind in LOOKS if kind in set(table["scores"])]
    figure = canvas(
        max(0.2 * len(rows) + 0.7, 2.6),
        study,
        "are scores the chances that they seem to be?",
        f"test bags of {classes_phrase(len(study.classes))} and all seeds, in bins of scores with "
        f"{FEWEST} bags or more; calibrated: by Platt scaling on the validation bags; calibration "
        "error: mean distance from the diagonal, weighted by bags",
    )
    *panels, errors = figure.subplots(1, len(kinds) + 1)
    for axes, kind in zip(panels, kinds, strict=True):
        _draw_curves(axes, table[table["scores"] == kind], study)
        axes.set_title(kind)
        axes.set_xlabel("score")
    panels[0].set_ylabel("share of positives")
    for strategy, y in rows.items():
        for kind in kinds:
            bins = table[(table["strategy"] == strategy) & (table["scores"] == kind)]
            if len(bins):  # older runs are not calibrated
                look, error = LOOKS[kind], calibration_error(bins)
                errors.plot(error, y, look.marker, color=look.colour, markersize=5)
    errors.set_title("calibration error")
    errors.set_xlim(0)
    round_ticks(errors.xaxis, 4, plain)
    guide_lines(errors, "both")
    set_apart(errors, rows, study)
    hide_left_axis(errors)
    label_rows(errors, rows, study)
    legend_below(
        figure,
        [
            Line2D([], [], color=LOOKS[kind].colour, marker=LOOKS[kind].marker, ls="", label=kind)
            for kind in kinds
        ],
    )
    legend_of_curves(figure, {study.joint_name(name): styles(study)[name] for name in rows})
    return figure


def _draw_curves(axes: Axes, table: pd.DataFrame, study: Study) -> None:
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.6, linestyle=(0, (3, 2)), zorder=0)
    style = styles(study)
    for strategy in study.distinct:
        bins = table[(table["strategy"] == strategy) & (table["bags"] >= FEWEST)]
        axes.plot(bins["score"], bins["positive"], **style[strategy].marked, linewidth=1)
    for axis in (axes.xaxis, axes.yaxis):
        round_ticks(axis, 5, plain)
    axes.set_xlim(-0.03, 1.03)
    axes.set_ylim(-0.03, 1.03)
    axes.set_box_aspect(1)
    guide_lines(axes, "both")
