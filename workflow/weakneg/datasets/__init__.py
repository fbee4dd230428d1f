"""Data sets: one file each, which defines `DATASET`, a `Dataset` or an `OwnDataset`.

A new file is found by itself. Importing one costs little: its functions import heavy libraries.
`DATASET` is made in one call, by keywords alone, so that a stage depends on those keywords that it
uses, and not on how the files are fetched (see `weakneg.workspace.fingerprint`).
"""

import importlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from weakneg import plugins
from weakneg.stages import stage

DataKind = Literal["images", "clips", "spectrograms"]
"""What a data set, a feature store and the bags of a model hold.

Images are put into bags. A clip is a bag of its own: its frames, feature vectors, are the
instances, or a model makes the instances from its spectrogram.
"""

Folder = str | os.PathLike


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


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A published data set, or one that is made here.

    Attributes
    ----------
    kind : {"images", "clips", "spectrograms"}
        What it consists of.
    class_names : tuple of str
        Class number c is `class_names[c]`.
    files : tuple of str
        Files that `fetch` leaves in the folder of the data set, as paths in it.
    fetch : callable, optional
        `fetch(folder, local_copy)` puts `files` into the folder, checked; None if there are none.
    made_here : bool
        Whether `fetch` computes the files: then they are made again when its code changes.
    load_images : callable, optional
        Of images: `load_images(split, folder)` for the split "train" or "test".
    load_clips : callable, optional
        Of clips: `load_clips(folder)` gives the `Clips` of each split, and the problems found.
    recordings : callable, optional
        Of spectrograms: `recordings(folder)` gives a dictionary per recording, with the columns of
        `weakneg.audio.recordings`.
    split_sizes : mapping of str to int, optional
        Of spectrograms: number of recordings of each split.
    sound_elsewhere : bool
        Of spectrograms: whether the sound comes from the `source` that a study names.
    training_counts : tuple of int, optional
        Number of clips of each class in the published training list.
    aliases : mapping of str to int
        Other names of classes, and their class numbers.
    related_classes : callable, optional
        `related_classes(folder)` gives, for each class name, the names of the classes that imply it
        or that it implies; None if they are not known.
    link : callable, optional
        `link(id, start)` is a web address at which to hear a clip; None if there is none.
    """

    kind: DataKind
    class_names: tuple[str, ...]
    files: tuple[str, ...] = ()
    fetch: Callable[[Folder, Folder | None], None] | None = None
    made_here: bool = False
    load_images: Callable[[str, Folder], Images] | None = None
    load_clips: Callable[[Folder], tuple[dict[str, Clips], list[Problem]]] | None = None
    recordings: Callable[[Folder], Sequence[dict]] | None = None
    split_sizes: Mapping[str, int] | None = None
    sound_elsewhere: bool = False
    training_counts: tuple[int, ...] | None = None
    aliases: Mapping[str, int] = field(default_factory=dict)
    related_classes: Callable[[Folder], Mapping[str, frozenset[str]]] | None = None
    link: Callable[[str, float], str] | None = None


@dataclass(frozen=True, kw_only=True)
class OwnDataset:
    """A person's own data: what they are depends on a list, which a study names.

    Attributes
    ----------
    kind : {"clips", "spectrograms"}
        What they consist of.
    study_keys : tuple of str
        Keys of the section `dataset` that a study must give: "list", "folder".
    read_classes : callable
        `read_classes(list_file)` gives the names of the classes, in the order of their numbers.
    class_sizes : callable
        `class_sizes(list_file, test_split)` gives, for each split, the number of bags or recordings
        of each class name.
    load_clips : callable, optional
        Of clips: `load_clips(list_file, test_split)`, as that of a `Dataset`.
    recordings, split_sizes : callable, optional
        Of spectrograms: functions of the list and the test split, with the values of a `Dataset`.
    """

    kind: DataKind
    study_keys: tuple[str, ...]
    read_classes: Callable[[str], tuple[str, ...]]
    class_sizes: Callable[[str, str], Mapping[str, Mapping[str, int]]]
    load_clips: Callable[[str, str], tuple[dict[str, Clips], list[Problem]]] | None = None
    recordings: Callable[[str, str], Sequence[dict]] | None = None
    split_sizes: Callable[[str, str], Mapping[str, int]] | None = None


def names() -> list[str]:
    """Names of the data sets, in alphabetical order."""
    return plugins.names(Path(__file__).parent, "DATASET")


def load(name: str) -> Dataset | OwnDataset:
    """The data set of that name. One data set does not depend on the file of another."""
    dataset: Dataset | OwnDataset = importlib.import_module(f"{__name__}.{name}").DATASET
    return dataset


@stage
def fetch_dataset(dataset: str, folder: Path) -> None:
    """Put the files of a data set into a folder, checked, from a local copy or by download.

    Parameters
    ----------
    dataset : str
        Name of the data set.
    folder : Path
        Folder of its files. The environment variable WEAKNEG_LOCAL_COPIES holds the folders of
        local copies as JSON, data set -> folder.

    Raises
    ------
    UserError
        When a file is missing or is not the published one, or the download fails.
    """
    local_copies = json.loads(os.environ.get("WEAKNEG_LOCAL_COPIES", "{}"))
    data = load(dataset)
    assert isinstance(data, Dataset)
    assert data.fetch is not None
    data.fetch(folder, local_copies.get(dataset))
