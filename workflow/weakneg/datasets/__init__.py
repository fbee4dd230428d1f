"""The data sets: one file each, found by looking into this folder.

A data set file defines

- `CLASSES`: tuple of class names; class number c is `CLASSES[c]`;
- `UNIT`: "image", when its instances are images that are put into bags; "clip", when each clip is
  a bag of its own and its frames, feature vectors, are the instances; "spectrogram", when each clip
  is a bag of its own and a model makes the instances from its spectrogram;
- `FILES`: the files that `fetch` leaves in the data set's folder (empty when nothing is fetched);
- `fetch(folder, local_copy=None)`: puts `FILES` there, checked (absent when `FILES` is empty);
- `MADE_HERE = True`, if `fetch` computes them: then they are made again when its code changes;
- of images: `load(split, folder)`, `Images` of "train" or "test";
- of clips: `load_clips(folder)`, a `Clips` for each split, and the list of problems met with;
  `ALIASES`, other names of classes -> class number; `TRAINING_COUNTS`, the number of clips of each
  class in the published training list; `related_classes(folder)`, class name -> names of the
  classes that imply it or that it implies;
- of spectrograms: `recordings(folder)`, a dictionary per recording with the fields of
  `weakneg.audio.recordings`, and `SPLIT_SIZES`, the number of recordings of each split;
  `SOUND_ELSEWHERE`, true when the sound comes from the `source` that a study names.

A person's own data, `recordings` and `instances`, name in `KEYS` what a study must say about them,
and have what depends on their list as functions of that list: `classes`, `class_sizes`, and
`split_sizes` with `recordings`, or `load_clips`.

Importing one costs nothing: heavy libraries are imported inside the functions.
"""

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np

from weakneg import plugins


@dataclass(frozen=True)
class Images:
    """One split of a data set of images.

    x : (N, C, H, W) uint8, as published, unscaled
    y : (N,) int64, class numbers
    id : (N,) int64, position in the original data set
    """

    x: np.ndarray
    y: np.ndarray
    id: np.ndarray


@dataclass(frozen=True)
class Clips:
    """One split of a data set of clips, in ascending order of id.

    x : (N, T, F) uint8 or float32, frames; 0 behind the last one of a shorter clip
    length : (N,) int64, frames that are real, 1..T
    id : (N,) str, distinct
    start : (N,) float64, where the clip starts in its recording, seconds
    y : (N, C) uint8, 1 where the clip carries the label
    """

    x: np.ndarray
    length: np.ndarray
    id: np.ndarray
    start: np.ndarray
    y: np.ndarray


class Problem(NamedTuple):
    """Something wrong with a clip, and what was done about it.

    consequence : "excluded", or what the store holds instead, such as "the list's labels are used"
    """

    split: str
    id: str
    problem: str
    consequence: str


def names() -> list[str]:
    """Names of the data sets: the files of this folder that define `UNIT`, sorted."""
    return plugins.names(Path(__file__).parent, "UNIT")


def module(name: str) -> ModuleType:
    """The data set's module. Imported by name, so that one data set does not depend on another."""
    return importlib.import_module(f"{__name__}.{name}")
