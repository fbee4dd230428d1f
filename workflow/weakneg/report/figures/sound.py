"""What a study of sound is made of: some of its clips; how many, how loud and how long they are.

Drawn from the list of recordings and the feature stores, not from metrics and runs, so it is no
figure of `weakneg.report.figures.draw`. Above, spectrograms of training clips that are drawn at
random for each class: the same ones each time, until clips are added. Of more than ten classes it
shows eight, spread evenly from the one with the most clips to the one with the fewest. A line over
a spectrogram says when the class is heard, where the list of recordings knows it. Below, all
classes, that with the most training clips first.

Only the spectrograms that are shown are read.
"""

import math
import os
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from pydantic import Json

from weakneg.audio.mel import LogMel
from weakneg.audio.recordings import SPLITS, Recording, read_recordings
from weakneg.datasets import Problem
from weakneg.errors import UserError
from weakneg.features.store import Store, open_store
from weakneg.io.csv import read_table, write_frame
from weakneg.report.figures import write_figure
from weakneg.report.figures.style import FAINT, INK, MUTED, canvas, legend_below, shorten, thousands
from weakneg.stages import stage

ALL_CLIPS = "(all clips)"
QUANTILES = {"5": 0.05, "25": 0.25, "50": 0.5, "75": 0.75, "95": 0.95}

_ALL_SHOWN, _SHOWN = 10, 8  # classes whose spectrograms are shown: all of so many, or so many
_ONE_PER_ROW = 3  # classes; of more, two share a row
_MANY = 20  # classes whose rows below must be narrow
_RANGE_DB = 70  # below the loudest band of a clip, that are told apart
_SPECTROGRAM = LinearSegmentedColormap.from_list(  # as light as grey, so that grey prints work
    "spectrogram", ["#FFFFFF", "#C9DFF2", "#6FA8D6", "#0B4F8A", "#031A33"], N=64
)
_DECIBELS = 10 / math.log(10)  # of a natural logarithm of power
_COLOURS = {"train": "#0B4F8A", "test": "#7DB4E0"}
_MARKERS = {"train": "o", "test": "D"}
_NAMES = {"train": "training", "test": "test"}
_NUDGE = {"train": -0.17, "test": 0.17}  # within the row of a class
_HERTZ = {250: "250 Hz", 1000: "1 kHz", 4000: "4 kHz", 16000: "16 kHz"}


class Example(NamedTuple):
    """A clip to show.

    log_mel : (t, F), without padding
    heard : (onset, offset) of the class in the clip, seconds
    """

    log_mel: np.ndarray
    heard: list[tuple[float, float]]


class Overview(NamedTuple):
    """All that the figure shows.

    table : see `class_table`
    examples : class -> clips
    lost : what was wrong -> number of recordings without a clip
    n_other : clips that carry no class of the study
    settings : of the spectrograms
    """

    table: pd.DataFrame
    examples: dict[str, list[Example]]
    lost: Counter
    n_other: int
    settings: Mapping


@stage
def draw_sound(
    recordings: Path,
    train_store: Path,
    test_store: Path,
    problems: Path,
    settings: Json[dict[str, Any]],
    table: Path,
    outputs: list[Path],
) -> None:
    """Draw the figure into each of `outputs` (.pdf, .png, .svg), and write its table.

    Parameters
    ----------
    recordings : Path
        The list of recordings.
    train_store, test_store : Path
        The feature stores.
    problems : Path
        The list of problems beside the stores.
    settings : dict
        The study as it is reported.
    table : Path
        The table of the figure, a CSV file.
    outputs : list of Path
        The files of the figure.

    Raises
    ------
    UserError
        When a file is missing or damaged, or a store lacks a class of the study.
    """
    study, stores = settings, {"train": train_store, "test": test_store}
    sound = read_sound(recordings, stores, problems, study["classes"])
    write_frame(table, sound.table, "%.3f")
    write_figure(lambda: draw_overview(sound, study), outputs)


# ----------------------------------------------------------------------------- reading
def read_sound(
    recordings: str | os.PathLike,
    stores: Mapping[str, str | os.PathLike],
    problems: str | os.PathLike,
    classes: Sequence[str],
) -> Overview:
    """What the figure shows of `classes`. Raises UserError as `draw_sound` does."""
    parts, n_other, gone = [], 0, set()
    for split in SPLITS:
        with open_store(stores[split]) as store:
            if store.kind != "spectrograms":
                raise UserError(f"{stores[split]} holds {store.kind}, not spectrograms.")
            if split == SPLITS[0]:
                listed = {row.id: row for row in read_recordings(recordings, store.class_names)}
            of_split = {name: row for name, row in listed.items() if row.split == split}
            found = set(_column(store, "recording"))
            gone |= of_split.keys() - found
            parts.append(class_table(store, split, of_split, found, classes))
            n_other += int((~np.any([store.positive(name) for name in classes], axis=0)).sum())
    table = pd.concat(parts, ignore_index=True)
    clips = table[table["split"] == "train"].set_index("class")["clips"]
    shown = _shown(sorted(classes, key=lambda name: -clips[name]))
    with open_store(stores["train"]) as store:
        n = _n_examples(len(shown))
        examples = {name: _examples(store, listed, name, n) for name in shown}
        settings = store.parameters
    return Overview(table, examples, _reasons(problems, gone), n_other, settings)


def class_table(
    store: Store,
    split: str,
    listed: Mapping[str, Recording],
    found: set[str],
    classes: Sequence[str],
) -> pd.DataFrame:
    """One row for all clips of a split and one for each class; see `draw_sound`.

    recordings : that the list has; lost : those of them without a clip in the store
    clips : in the store
    seconds_q, level_q : q% of the clips are shorter than that, and softer (dBFS); without its
        padding
    """
    measures = {
        "seconds": _column(store, "end") - store.start,
        "level": _column(store, "level").astype(float),
    }
    labels = {name: _labels(row) for name, row in listed.items()}
    rows = []
    for name in (ALL_CLIPS, *classes):
        everything = name == ALL_CLIPS
        clips = np.ones(len(store.id), bool) if everything else store.positive(name)
        mine = [recording for recording in listed if everything or name in labels[recording]]
        row = {"class": name, "split": split, "recordings": len(mine)}
        row |= {"lost": sum(recording not in found for recording in mine), "clips": clips.sum()}
        for measure, values in measures.items():
            for quantile, share in QUANTILES.items():
                value = np.quantile(values[clips], share) if clips.any() else math.nan
                row[f"{measure}_{quantile}"] = value
        rows.append(row)
    return pd.DataFrame(rows)


def _column(store: Store, name: str) -> np.ndarray:
    """What stores of sound hold beside the fields of every store."""
    values = store.x.file[name][...]
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def _labels(row: Recording) -> set[str]:
    return {*row.labels, *(label for label, *_ in row.events)}


def _shown(classes: Sequence[str]) -> list[str]:
    """The classes whose spectrograms are shown."""
    if len(classes) <= _ALL_SHOWN:
        return list(classes)
    return [classes[round(i * (len(classes) - 1) / (_SHOWN - 1))] for i in range(_SHOWN)]


def _n_examples(n_shown: int) -> int:
    return 5 if n_shown <= _ONE_PER_ROW else 3


def _examples(store: Store, listed: Mapping[str, Recording], name: str, n: int) -> list[Example]:
    """Up to n clips of a class; the choice depends on its name and on how many there are."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    rows = np.flatnonzero(store.positive(name))
    recordings = _column(store, "recording")
    examples = []
    for row in sorted(rng.choice(rows, min(n, len(rows)), replace=False).tolist()):
        log_mel = store.x[row, : store.length[row]].astype(np.float32)
        if np.isnan(log_mel).any():
            raise UserError(
                f"{store.x.file.filename}: the shard that holds clip {str(store.id[row])!r} is "
                "missing: delete the store, so that the next run makes both again."
            )
        events = listed[recordings[row]].events
        heard = [(a - store.start[row], b - store.start[row]) for e, a, b in events if e == name]
        examples.append(Example(log_mel, heard))
    return examples


def _reasons(problems: str | os.PathLike, gone: set[str]) -> Counter:
    """Why the recordings `gone` have no clip; of one that was cut, what its first clip had."""
    reasons: dict[str, str] = {}
    for _, row in read_table(problems, Problem._fields):
        recording = row["id"] if row["id"] in gone else row["id"].rpartition("@")[0]
        if recording in gone:
            reasons.setdefault(recording, row["problem"].split(":")[0].replace("_", " "))
    return Counter(reasons.values())


# ----------------------------------------------------------------------------- drawing
def draw_overview(sound: Overview, study: dict) -> Figure:
    """The figure."""
    n_shown, n_classes = len(sound.examples), len(study["classes"])
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
    figure.get_layout_engine().set(wspace=0.025, w_pad=0.025, hspace=0.02)
    above, below = figure.add_gridspec(2, 1, height_ratios=heights)
    _draw_spectrograms(figure, above, sound, across, down)
    _draw_classes(figure, below, sound.table)
    return figure


def _look(split: str) -> dict:
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
    """For each class a row of clips; `across` classes side by side, read from left to right."""
    n, last = _n_examples(len(sound.examples)), len(sound.examples) - across
    mel, seconds = LogMel.of(sound.settings), sound.settings["clip_seconds"]
    ticks = {mel.bin_at(hertz): text for hertz, text in _HERTZ.items()}
    ticks = {place: text for place, text in ticks.items() if place < mel.mel_bins - 0.5}
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
            axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
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
    """A row for all clips and one for each class: how many, how loud, how long, how many lack."""
    in_training = table[(table["split"] == "train") & (table["class"] != ALL_CLIPS)]
    by_size = in_training.sort_values("clips", ascending=False, kind="stable")["class"]
    y = {ALL_CLIPS: 0.0} | {name: 1.4 + row for row, name in enumerate(by_size)}
    panels = place.subgridspec(1, 4, width_ratios=[1.5, 1.2, 1, 1]).subplots(sharey=True)
    titles = ("clips: training + test", "level", "length", "recordings lost")
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title)
        axes.set_axisbelow(True)
        axes.grid(axis="x", color="#EEEEEE", linewidth=0.5)
        axes.axhline(0.7, color=FAINT, linewidth=0.8, zorder=0)
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
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
    level.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    level.set_xlabel("dBFS (RMS)")
    length.set_xlim(0, 1.1 * table["seconds_95"].max())
    length.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    length.set_xlabel("seconds")
    top = max(0.05, (table["lost"] / table["recordings"]).max())
    lost.set_xlim(-0.04 * top, 1.06 * top)
    lost.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    lost.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _draw_counts(axes: Axes, table: pd.DataFrame, y: Mapping[str, float], fontsize: float) -> None:
    """Bars of the classes, those of the splits in a row; that of all clips would dwarf them."""
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
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(thousands))
