"""Feature stores of both splits, from the files of a data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weakneg import datasets
from weakneg.datasets import UNKNOWN, Clips, Images, OwnDataset, Problem, Unlisted
from weakneg.features.store import Store, write_store
from weakneg.io.csv import write_table

if TYPE_CHECKING:
    from weakneg.config.stages import FeaturesSettings


def make(
    settings: "FeaturesSettings",
    folder: Path,
    inputs: Sequence[Path],
    train_store: Path,
    test_store: Path,
    problems: Path,
) -> None:
    """Write the stores of a data set of images or clips.

    The parameters are those of `weakneg.features.build.build_features`; `inputs` is not used.
    Images and frames are stored as published, unscaled; both stores hold the statistics of the
    training split.
    """
    dataset, list_file = settings.dataset.name, settings.dataset.list
    test_split = settings.dataset.test_split
    data = datasets.load(dataset)
    splits: Mapping[str, Images | Clips]
    found: list[Problem] = []
    if isinstance(data, OwnDataset):
        assert data.load_clips is not None
        assert list_file is not None
        classes = data.read_classes(list_file)
        splits, found = data.load_clips(list_file, test_split)
    else:
        classes = data.class_names
        if data.load_clips is not None:
            splits, found = data.load_clips(folder)
        else:
            assert data.load_images is not None
            splits = {split: data.load_images(split, folder) for split in ("train", "test")}
    unlisted = settings.dataset.unlisted
    said = {"unlisted": unlisted} if unlisted == "unknown" else {}
    mean, std = _statistics(splits["train"])
    for split, path in (("train", train_store), ("test", test_store)):
        rows = splits[split]
        of_clips = {}
        if isinstance(rows, Clips):
            of_clips = {"length": rows.length, "start": rows.start, "group": rows.group}
        write_store(
            path,
            Store(
                x=rows.x,
                id=rows.id,
                y=_labels(rows, len(classes), unlisted),
                class_names=classes,
                mean=mean,
                std=std,
                kind=data.kind,
                parameters={"dataset": dataset, "split": split, **said},
                **of_clips,
            ),
        )
    write_table(problems, Problem._fields, found)


def _labels(rows: Images | Clips, n_classes: int, unlisted: Unlisted) -> np.ndarray:
    """The labels of a store; the study says what is not listed."""
    if isinstance(rows, Images):
        return one_hot(rows.y, n_classes)
    if unlisted == "unknown":
        return rows.y
    return np.where(rows.y == UNKNOWN, np.uint8(0), rows.y)


def one_hot(y: Sequence[int] | np.ndarray, n_classes: int) -> np.ndarray:
    """One-hot encoding of class numbers.

    Parameters
    ----------
    y : array_like, (N,) int
        Class numbers.
    n_classes : int
        Number of classes.

    Returns
    -------
    ndarray, (N, n_classes) uint8
        1 at the class of each row, else 0.
    """
    return np.eye(n_classes, dtype=np.uint8)[y]


def _statistics(rows: Images | Clips) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(rows, Images):
        return channel_statistics(rows.x)
    return channel_statistics(rows.x[np.arange(rows.x.shape[1]) < rows.length[:, None]])


def channel_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel.

    Parameters
    ----------
    x : ndarray, (N, channels, ...)
        The values.

    Returns
    -------
    mean, std : ndarray, (channels,) float64
        In the units of `x`. The deviation of a constant channel is 1, so that it can be divided by.
    """
    # Channel by channel: a float64 copy of the images would be eight times their size.
    channels = [x[:, c] for c in range(x.shape[1])]
    mean = [values.mean(dtype=np.float64) for values in channels]
    std = [
        values.std(dtype=np.float64) if values.min() < values.max() else 1.0 for values in channels
    ]
    return np.array(mean), np.array(std)
