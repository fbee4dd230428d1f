"""What a study of sound is made of: how many clips of each class, how loud and how long they are.

Read from the list of recordings and the feature stores. Only the spectrograms that are shown as
examples are read: those of training clips that are drawn at random for each class, the same ones
each time, until clips are added.
"""

import math
import os
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd

from weakneg.audio.recordings import SPLITS, Recording, read_recordings
from weakneg.datasets import Problem
from weakneg.errors import UserError
from weakneg.features.store import Store, open_store
from weakneg.io.csv import read_table

ALL_CLIPS = "(all clips)"
QUANTILES = {"5": 0.05, "25": 0.25, "50": 0.5, "75": 0.75, "95": 0.95}

_ALL_SHOWN, _SHOWN = 10, 8  # classes of which examples are shown: all of so many, or so many
_FEW_SHOWN = 3  # classes, of which there are more examples each


class Example(NamedTuple):
    """A clip to show.

    log_mel : (t, F), without padding
    heard : (onset, offset) of the class in the clip, seconds
    """

    log_mel: np.ndarray
    heard: list[tuple[float, float]]


class Overview(NamedTuple):
    """All that is to be shown.

    table : see `class_table`
    examples : class -> clips, `n_examples` at most; of more than ten classes, of eight, spread
        evenly from the one with the most training clips to the one with the fewest
    lost : what was wrong -> number of recordings without a clip
    n_other : clips that carry no class of the study
    settings : of the spectrograms
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
    """What there is of `classes`.

    Parameters
    ----------
    recordings : path
        The list of recordings.
    stores : mapping
        Split -> its feature store.
    problems : path
        The list of problems beside the stores.
    classes : list of str
        Names of the classes.

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
    """One row for all clips of a split and one for each class; in the order of `classes`.

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
    assert isinstance(store.x, h5py.Dataset)
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
    """Up to n clips of a class; the choice depends on its name and on how many there are."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    assert isinstance(store.x, h5py.Dataset)
    assert store.length is not None
    assert store.start is not None
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


def _reasons(problems: str | os.PathLike[str], gone: set[str]) -> Counter[str]:
    """Why the recordings `gone` have no clip; of one that was cut, what its first clip had."""
    reasons: dict[str, str] = {}
    for _, row in read_table(problems, Problem._fields):
        recording = row["id"] if row["id"] in gone else row["id"].rpartition("@")[0]
        if recording in gone:
            reasons.setdefault(recording, row["problem"].split(":")[0].replace("_", " "))
    return Counter(reasons.values())
