"""The audio of a study: some of its clips, and their number, level and length.

Top: spectrograms of training clips drawn at random for each class; if there are many classes, for
some of them, spread evenly from the class with the most clips to that with the fewest. A line above
a spectrogram shows when the class is heard, if the list of recordings has times. Bottom: all
classes, the one with the most training clips first.
"""

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from weakneg.analysis.sound import ALL_CLIPS, Example, Overview, read_sound
from weakneg.analysis.study import Study
from weakneg.audio.mel import LogMel
from weakneg.audio.recordings import SPLITS
from weakneg.report.figures.style import (
    FAINT,
    INK,
    MUTED,
    canvas,
    guide_lines,
    hide_left_axis,
    in_house_style,
    layout_of,
    legend_below,
    round_ticks,
    shorten,
    thousands,
)

KINDS = ("spectrograms",)

_ONE_PER_ROW = 3  # classes; with more, two share a row
_MANY = 20  # with more classes, the rows at the bottom are narrow
_RANGE_DB = 70  # shown, below the loudest band of a clip
_SPECTROGRAM = LinearSegmentedColormap.from_list(  # as light as grey, so that grey prints work
    "spectrogram", ["#FFFFFF", "#C9DFF2", "#6FA8D6", "#0B4F8A", "#031A33"], N=64
)
_DECIBELS = 10 / math.log(10)  # of a natural logarithm of power
_COLOURS = {"train": "#0B4F8A", "test": "#7DB4E0"}
_MARKERS = {"train": "o", "test": "D"}
_NAMES = {"train": "training", "test": "test"}
_NUDGE = {"train": -0.17, "test": 0.17}  # within the row of a class
_HERTZ = {250: "250 Hz", 1000: "1 kHz", 4000: "4 kHz", 16000: "16 kHz", 64000: "64 kHz"}


@in_house_style
def draw(
    recordings: Path, train_store: Path, test_store: Path, problems: Path, study: Study
) -> Figure:
    """Draw the figure, from the list of recordings, the feature stores and their problems."""
    return draw_overview(
        _overview(recordings, train_store, test_store, problems, tuple(study.classes)), study
    )


def table(
    recordings: Path, train_store: Path, test_store: Path, problems: Path, study: Study
) -> pd.DataFrame:
    """The numbers of the figure: see `weakneg.analysis.sound.class_table`."""
    return _overview(recordings, train_store, test_store, problems, tuple(study.classes)).table


@cache  # the figure and its table share one reading: files are read once in a process
def _overview(
    recordings: Path, train_store: Path, test_store: Path, problems: Path, classes: tuple[str, ...]
) -> Overview:
    stores = {"train": train_store, "test": test_store}
    return read_sound(recordings, stores, problems, list(classes))


def draw_overview(sound: Overview, study: Study) -> Figure:
    """Draw the figure.

    Parameters
    ----------
    sound : Overview
        Its content.
    study : Study
        The study.
    """
    n_shown, n_classes = len(sound.examples), len(study.classes)
    across = 1 if n_shown <= _ONE_PER_ROW else 2  # classes side by side
    down = math.ceil(n_shown / across)
    heights = (
        down * (1.1 if across == 1 else 0.85) + 0.3,
        (0.125 if n_classes >= _MANY else 0.17) * (n_classes + 1.4) + 0.6,
    )
    figure = canvas(sum(heights) + 0.17, study, "the sound", _subtitle(sound, n_classes))
    legend_below(
        figure,
        [
            *(
                Line2D([], [], label=f"{_NAMES[split]} clips, median", **_look(split), linewidth=0)
                for split in SPLITS
            ),
            Line2D([], [], color=INK, linewidth=2.2, label="25 to 75%"),
            Line2D([], [], color=INK, linewidth=0.8, label="5 to 95%"),
        ],
    )
    layout_of(figure).set(wspace=0.025, w_pad=0.025, hspace=0.02)
    halves = figure.add_gridspec(2, 1, height_ratios=heights)
    _draw_spectrograms(figure, halves[0], sound, across, down)
    _draw_classes(figure, halves[1], sound.table)
    return figure


def _look(split: str) -> dict[str, Any]:
    return {
        "color": _COLOURS[split],
        "marker": _MARKERS[split],
        "markersize": 3.4,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }


def _subtitle(sound: Overview, n_classes: int) -> str:
    of_all = sound.table[sound.table["class"] == ALL_CLIPS].set_index("split")
    text = " and ".join(f"{of_all['clips'][split]:,} {_NAMES[split]}" for split in SPLITS)
    text += " clips"
    if sound.n_other:
        text += f", {sound.n_other:,} of them without a class of the study"
    text += f"; {of_all['lost'].sum():,} of {of_all['recordings'].sum():,} recordings lost"
    if sound.lost:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in sound.lost.most_common())
        text += f" ({reasons})"
    heard = any(example.heard for examples in sound.examples.values() for example in examples)
    text += "; spectrograms of random training clips"
    if len(sound.examples) < n_classes:
        text += f" of {len(sound.examples)} classes, from the most to the least frequent one"
    text += ", in dB below their loudest band"
    return text + (", a line where the class is heard" if heard else "")


def _draw_spectrograms(
    figure: Figure, place: SubplotSpec, sound: Overview, across: int, down: int
) -> None:
    """A row of clips for each class; `across` classes side by side, from left to right."""
    n, last = sound.n_examples, len(sound.examples) - across
    mel, seconds = LogMel.of(sound.settings), sound.settings["clip_seconds"]
    ticks = {mel.bin_at(hertz): text for hertz, text in _HERTZ.items()}
    ticks = {place: text for place, text in ticks.items() if -0.5 < place < mel.mel_bins - 0.5}
    gap = 0.12
    grid = place.subgridspec(
        down, across * (n + 1) - 1, width_ratios=([1] * n + [gap]) * (across - 1) + [1] * n
    )
    for number, (name, examples) in enumerate(sound.examples.items()):
        row, column = divmod(number, across)
        for position in range(n):
            axes = figure.add_subplot(grid[row, column * (n + 1) + position])
            if position == 0:
                axes.set_title(shorten(name, 40), fontsize=7.5, pad=8)
            if position >= len(examples):
                axes.set_axis_off()
                continue
            _draw_clip(axes, examples[position], mel)
            axes.set_xlim(0, seconds)
            axes.set_yticks(list(ticks), ticks.values() if position + column == 0 else [])
            round_ticks(axes.xaxis, 4)
            axes.xaxis.set_major_formatter("{x:g}")
            axes.tick_params(labelsize=6, labelbottom=number >= last, pad=2)
            if number >= last:
                axes.set_xlabel("seconds", fontsize=6, labelpad=1)


def _draw_clip(axes: Axes, example: Example, mel: LogMel) -> None:
    frames, bins = example.log_mel.shape
    seconds = ((frames - 1) * mel.frame_shift_ms + mel.frame_length_ms) / 1000
    axes.imshow(
        _DECIBELS * (example.log_mel - example.log_mel.max()).T,
        cmap=_SPECTROGRAM,
        vmin=-_RANGE_DB,
        vmax=0,
        origin="lower",
        aspect="auto",
        extent=(0, seconds, -0.5, bins - 0.5),
    )
    axes.spines[:].set(visible=True, color=FAINT)
    for times in example.heard:
        axes.plot(
            np.clip(times, 0, seconds),
            [1.05] * 2,
            color=INK,
            linewidth=1.6,
            solid_capstyle="butt",
            clip_on=False,
            transform=axes.get_xaxis_transform(),
        )


def _draw_classes(figure: Figure, place: SubplotSpec, table: pd.DataFrame) -> None:
    """A row for all clips and one for each class: number, level, length, recordings lost."""
    in_training = table[(table["split"] == "train") & (table["class"] != ALL_CLIPS)]
    by_size = in_training.sort_values("clips", ascending=False, kind="stable")["class"]
    y = {ALL_CLIPS: 0.0} | {name: 1.4 + row for row, name in enumerate(by_size)}
    grid = place.subgridspec(1, 4, width_ratios=[1.5, 1.2, 1, 1])
    panels: np.ndarray = grid.subplots(sharey=True, squeeze=False)[0]
    titles = ("clips: training + test", "level", "length", "recordings lost")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title)
        guide_lines(axes, "x")
        axes.axhline(0.7, color=FAINT, linewidth=0.8, zorder=0)
        hide_left_axis(axes)
    counts, level, length, lost = panels
    small = len(y) > _MANY
    counts.set_yticks(
        list(y.values()), [shorten(name, 28) for name in y], fontsize=6 if small else 7
    )
    counts.set_ylim(max(y.values()) + 0.6, -0.6)
    _draw_counts(counts, table, y, 5.5 if small else 6.5)
    for split, rows in table.groupby("split"):
        place_of = rows["class"].map(y) + _NUDGE[split]
        for axes, measure in ((level, "level"), (length, "seconds")):
            for width, low, high in ((0.7, 5, 95), (2.0, 25, 75)):
                axes.hlines(
                    place_of,
                    rows[f"{measure}_{low}"],
                    rows[f"{measure}_{high}"],
                    color=_COLOURS[split],
                    linewidth=width,
                )
            axes.plot(rows[f"{measure}_50"], place_of, linestyle="", **_look(split))
        lost.plot(rows["lost"] / rows["recordings"], place_of, linestyle="", **_look(split))
    round_ticks(level.xaxis, 4)
    level.set_xlabel("dBFS (RMS)")
    length.set_xlim(0, 1.1 * table["seconds_95"].max())
    round_ticks(length.xaxis, 4)
    length.set_xlabel("seconds")
    top = max(0.05, (table["lost"] / table["recordings"]).max())
    lost.set_xlim(-0.04 * top, 1.06 * top)
    round_ticks(lost.xaxis, 3)
    lost.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _draw_counts(axes: Axes, table: pd.DataFrame, y: Mapping[str, float], fontsize: float) -> None:
    """Bars of the classes, stacked by split; no bar of all clips, which would dwarf them."""
    clips = table.pivot(index="class", columns="split", values="clips")
    for name, of_class in clips.iterrows():
        left = 0
        for split in SPLITS if name != ALL_CLIPS else ():
            axes.barh(y[name], of_class[split], 0.62, left, color=_COLOURS[split])
            left += of_class[split]
        axes.annotate(
            " + ".join(f"{of_class[split]:,}" for split in SPLITS),
            (left, y[name]),
            (2, 0),
            textcoords="offset points",
            fontsize=fontsize,
            color=MUTED,
            va="center_baseline",
        )
    axes.set_xlim(0, 1.35 * clips.drop(index=ALL_CLIPS).sum(axis=1).max())
    round_ticks(axes.xaxis, 4, thousands, integer=True)
