"""The audio of a study: the number of clips per class, their level and their length.

These come from the list of recordings and the feature stores. Only the spectrograms that are shown
as examples are read: those of training clips drawn at random for each class. The same clips are
drawn each time, unless clips are added.
"""

import math
import os
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from weakneg.audio.recordings import SPLITS, Recording, read_recordings
from weakneg.datasets import Problem
from weakneg.errors import UserError
from weakneg.features.store import Store, open_store
from weakneg.io.csv import read_table

ALL_CLIPS = "(all clips)"
QUANTILES = {"5": 0.05, "25": 0.25, "50": 0.5, "75": 0.75, "95": 0.95}

_ALL_SHOWN, _SHOWN = 10, 8  # examples are shown for all of up to 10 classes, or for 8 of more
_FEW_SHOWN = 3  # up to this many classes have more examples each


class Example(NamedTuple):
    """A clip to show.

    Attributes
    ----------
    log_mel : ndarray, (t, F) float32
        Log-mel spectrogram without padding.
    heard : list of (float, float)
        Onset and offset of the class in the clip, in seconds.
    """

    log_mel: np.ndarray
    heard: list[tuple[float, float]]


class Overview(NamedTuple):
    """The content of the figure of the audio.

    Attributes
    ----------
    table : DataFrame
        The tables of `class_table` of all splits.
    examples : dict
        Class -> at most `n_examples` clips. With more than ten classes there are examples of eight,
        spread evenly from the class with the most training clips to that with the fewest.
    n_examples : int
        Largest number of examples per class.
    lost : Counter
        Problem -> number of recordings that have no clip because of it.
    n_other : int
        Number of clips without a class of the study.
    settings : mapping
        Settings of the spectrograms.
    """

    table: pd.DataFrame
    examples: dict[str, list[Example]]
    n_examples: int
    lost: Counter[str]
    n_other: int
    settings: Mapping[str, Any]


def read_sound(
    recordings: str | os.PathLike[str],
    stores: Mapping[str, str | os.PathLike[str]],
    problems: str | os.PathLike[str],
    classes: Sequence[str],
) -> Overview:
    """Read the overview of a study's audio.

    Parameters
    ----------
    recordings : str or Path
        The list of recordings.
    stores : mapping
        Split -> its feature store.
    problems : str or Path
        The list of problems next to the stores.
    classes : sequence of str
        Names of the classes.

    Returns
    -------
    Overview
        The content of the figure.

    Raises
    ------
    UserError
        When a file is missing or damaged, or a store lacks a class.
    """
    parts: list[pd.DataFrame] = []
    gone: set[str] = set()
    n_other = 0
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
        n = 5 if len(shown) <= _FEW_SHOWN else 3
        examples = {name: _examples(store, listed, name, n) for name in shown}
        settings = store.parameters
    return Overview(table, examples, n, _reasons(problems, gone), n_other, settings)


def class_table(
    store: Store,
    split: str,
    listed: Mapping[str, Recording],
    found: set[str],
    classes: Sequence[str],
) -> pd.DataFrame:
    """Measure all clips of a split, and those of each class.

    Parameters
    ----------
    store : Store
        The feature store of the split.
    split : str
        Its name.
    listed : mapping
        Id -> recording of the split.
    found : set of str
        Ids of the recordings with a clip in the store.
    classes : sequence of str
        Names of the classes.

    Returns
    -------
    DataFrame
        A row for all clips, then one per class: class; split; recordings, the number listed; lost,
        those without a clip in the store; clips, the number in the store; seconds_q and level_q,
        the q% quantiles of their length (s) and level (dBFS), without padding.
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
    """A field that only stores of audio have."""
    assert not isinstance(store.x, np.ndarray)
    values: np.ndarray = store.x.file[name][...]
    return np.char.decode(values, "utf-8") if values.dtype.kind == "S" else values


def _labels(row: Recording) -> set[str]:
    return {*row.labels, *(label for label, *_ in row.events)}


def _shown(classes: Sequence[str]) -> list[str]:
    """The classes whose spectrograms are shown."""
    if len(classes) <= _ALL_SHOWN:
        return list(classes)
    return [classes[round(i * (len(classes) - 1) / (_SHOWN - 1))] for i in range(_SHOWN)]


def _examples(store: Store, listed: Mapping[str, Recording], name: str, n: int) -> list[Example]:
    """Up to n random clips of a class; the choice depends only on its name and number of clips."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    assert store.length is not None
    assert store.start is not None
    rows = np.flatnonzero(store.positive(name))
    recordings = _column(store, "recording")
    each = store.parameters.get("channel") == "each"
    channels = _column(store, "channel") if each else None
    examples = []
    for row in sorted(rng.choice(rows, min(n, len(rows)), replace=False).tolist()):
        log_mel = store.x[row, : store.length[row]].astype(np.float32)
        recording = listed[recordings[row]]
        if channels is not None:
            recording = recording.of_channel(int(channels[row]))
        events = recording.events
        heard = [(a - store.start[row], b - store.start[row]) for e, a, b in events if e == name]
        examples.append(Example(log_mel, heard))
    return examples


def _reasons(problems: str | os.PathLike[str], gone: set[str]) -> Counter[str]:
    """Why the recordings `gone` have no clip; for one cut into clips, the problem of the first."""
    reasons: dict[str, str] = {}
    for _, row in read_table(problems, Problem._fields):
        recording = row["id"] if row["id"] in gone else row["id"].rpartition("@")[0]
        if recording in gone:
            reasons.setdefault(recording, row["problem"].split(":")[0].replace("_", " "))
    return Counter(reasons.values())
