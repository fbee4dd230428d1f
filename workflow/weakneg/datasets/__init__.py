"""Data sets: one file each, which defines `DATASET`, a `Dataset` or an `OwnDataset`.

A new file is found automatically. Importing one is cheap: its functions import heavy libraries.
`DATASET` is made in one call with keyword arguments only, so that a stage depends on the keywords
it uses and not on how the files are fetched (see `weakneg.workspace.fingerprint`).
"""

import importlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from weakneg import plugins
from weakneg.stages import stage

DataKind = Literal["images", "clips", "spectrograms"]
"""What a data set, a feature store and the bags of a model hold.

Images are put into bags. A clip is a bag by itself: either its frames, which are feature vectors,
are the instances, or a model makes the instances from its spectrogram.
"""

Folder = str | os.PathLike[str]

Unlisted = Literal["negative", "unknown"]
"""What a class that a user's list does not name for a bag is: absent, or not known."""

UNKNOWN = 255
"""In `y` of clips and of feature stores: whether the clip belongs to the class is not known."""


@dataclass(frozen=True)
class Images:
    """One split of a data set of images.

    Attributes
    ----------
    x : (N, C, H, W) uint8
        Pixels as published, unscaled.
    y : (N,) int64
        Class numbers.
    id : (N,) int64
        Positions in the original data set.
    """

    x: np.ndarray
    y: np.ndarray
    id: np.ndarray


@dataclass(frozen=True)
class Clips:
    """One split of a data set of clips, in ascending order of id.

    Attributes
    ----------
    x : (N, T, F) uint8 or float32
        Frames; clips of fewer than T frames are padded with zeros.
    length : (N,) int64
        Number of valid frames, 1..T.
    id : (N,) str
        Distinct.
    start : (N,) float64
        Where the clip starts in its recording, in seconds.
    y : (N, C) uint8
        1 where the clip carries the label, else 0; for a user's own data `UNKNOWN` where the list
        names the class neither as a label nor as a negative.
    group : (N,) str, optional
        What clips have in common, so that it must not be divided. None: nothing.
    """

    x: np.ndarray
    length: np.ndarray
    id: np.ndarray
    start: np.ndarray
    y: np.ndarray
    group: np.ndarray | None = None


class Problem(NamedTuple):
    """Something wrong with a clip, and what was done about it.

    Attributes
    ----------
    split : str
        "train" or "test".
    id : str
        Of the clip; "" if it is unknown.
    problem : str
        What is wrong.
    consequence : str
        "excluded", or what the store holds instead, such as "the list's labels are used".
    """

    split: str
    id: str
    problem: str
    consequence: str


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A published data set, or one that this library makes.

    Attributes
    ----------
    kind : {"images", "clips", "spectrograms"}
        What it consists of.
    class_names : tuple of str
        Class number c is `class_names[c]`.
    files : tuple of str
        Paths of the files that `fetch` puts into the folder of the data set, relative to it.
    fetch : callable, optional
        `fetch(folder, local_copy)` puts `files` into the folder and checks them; None if there are
        no files.
    made_here : bool
        Whether `fetch` computes the files; if so, they are made again when its code changes.
    load_images : callable, optional
        Images only: `load_images(split, folder)` returns the split "train" or "test".
    load_clips : callable, optional
        Clips only: `load_clips(folder)` returns the `Clips` of each split and the problems found.
    recordings : callable, optional
        Spectrograms only: `recordings(folder)` returns a dictionary per recording, with the columns
        of `weakneg.audio.recordings`.
    split_sizes : mapping of str to int, optional
        Number of recordings or clips in each split, as published; spectrograms need it.
    sound_elsewhere : bool
        Spectrograms only: whether the sound comes from the `source` that a study names.
    training_counts : tuple of int, optional
        Number of clips of each class in the published training list.
    timed_labels : bool
        Spectrograms only: whether the recordings say when their labels sound.
    aliases : mapping of str to int
        Alternative names of classes, with their class numbers.
    related_classes : callable, optional
        `related_classes(folder)` returns, for each class name, the names of the classes that imply
        it or that it implies; None if they are unknown.
    link : callable, optional
        `link(id, start)` returns a web address where a clip can be heard; None if there is none.
    """

    kind: DataKind
    class_names: tuple[str, ...]
    files: tuple[str, ...] = ()
    fetch: Callable[[Folder, Folder | None], None] | None = None
    made_here: bool = False
    load_images: Callable[[str, Folder], Images] | None = None
    load_clips: Callable[[Folder], tuple[dict[str, Clips], list[Problem]]] | None = None
    recordings: Callable[[Folder], Sequence[dict[str, Any]]] | None = None
    split_sizes: Mapping[str, int] | None = None
    sound_elsewhere: bool = False
    training_counts: tuple[int, ...] | None = None
    timed_labels: bool = False
    aliases: Mapping[str, int] = field(default_factory=dict)
    related_classes: Callable[[Folder], Mapping[str, frozenset[str]]] | None = None
    link: Callable[[str, float], str] | None = None


@dataclass(frozen=True, kw_only=True)
class OwnDataset:
    """The user's own data, described by a list file that a study names.

    Attributes
    ----------
    kind : {"clips", "spectrograms"}
        What it consists of.
    study_keys : tuple of str
        Keys of the section `dataset` that a study must give: "list", "folder".
    read_classes : callable
        `read_classes(list_file)` returns the class names, in the order of their numbers.
    class_sizes : callable
        `class_sizes(list_file, test_split)` returns, for each split, the number of bags or
        recordings of each class name.
    negative_sizes : callable, optional
        `negative_sizes(list_file, test_split)` returns the same for those in which the list says
        that a class was looked for and not found, also for names that are never a label; None if
        the list cannot say it.
    load_clips : callable, optional
        Clips only: `load_clips(list_file, test_split)` returns what that of a `Dataset` does.
    recordings, split_sizes : callable, optional
        Spectrograms only: functions of the list and the test split that return what the attributes
        of a `Dataset` hold.
    """

    kind: DataKind
    study_keys: tuple[str, ...]
    read_classes: Callable[[str], tuple[str, ...]]
    class_sizes: Callable[[str, str], Mapping[str, Mapping[str, int]]]
    negative_sizes: Callable[[str, str], Mapping[str, Mapping[str, int]]] | None = None
    load_clips: Callable[[str, str], tuple[dict[str, Clips], list[Problem]]] | None = None
    recordings: Callable[[str, str], Sequence[dict[str, Any]]] | None = None
    split_sizes: Callable[[str, str], Mapping[str, int]] | None = None


def names() -> list[str]:
    """Return the names of the data sets, in alphabetical order."""
    return plugins.names(Path(__file__).parent, "DATASET")


def load(name: str) -> Dataset | OwnDataset:
    """Return the data set of that name; only its own file is imported."""
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
        Folder to put its files into. The environment variable WEAKNEG_LOCAL_COPIES holds the
        folders of local copies as JSON, data set -> folder.

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
