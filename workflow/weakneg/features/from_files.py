"""From the files of a data set to the feature store of each split."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from weakneg import datasets
from weakneg.datasets import Clips, Images, OwnDataset, Problem
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
    """Write the stores of a data set, see `weakneg.features.build`; `inputs` are not read.

    Images and frames are stored as published, unscaled; both stores carry the statistics of the
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
    mean, std = _statistics(splits["train"])
    for split, path in (("train", train_store), ("test", test_store)):
        rows = splits[split]
        of_clips = {"length": rows.length, "start": rows.start} if isinstance(rows, Clips) else {}
        write_store(
            path,
            Store(
                x=rows.x,
                id=rows.id,
                y=rows.y if isinstance(rows, Clips) else one_hot(rows.y, len(classes)),
                class_names=classes,
                mean=mean,
                std=std,
                kind=data.kind,
                parameters={"dataset": dataset, "split": split},
                **of_clips,
            ),
        )
    write_table(problems, Problem._fields, found)


def one_hot(y: Sequence[int] | np.ndarray, n_classes: int) -> np.ndarray:
    """(N,) class numbers -> (N, n_classes) uint8."""
    return np.eye(n_classes, dtype=np.uint8)[y]


def _statistics(rows: Images | Clips) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(rows, Images):
        return channel_statistics(rows.x)
    return channel_statistics(rows.x[np.arange(rows.x.shape[1]) < rows.length[:, None]])


def channel_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel of (N, channels, ...), each (channels,) float64.

    The deviation is 1 where a channel is always the same, so that one can divide by it.
    """
    # Channel by channel: a float64 copy of all of it would be eight times the size of the images.
    channels = [x[:, c] for c in range(x.shape[1])]
    mean = [values.mean(dtype=np.float64) for values in channels]
    std = [
        values.std(dtype=np.float64) if values.min() < values.max() else 1.0 for values in channels
    ]
    return np.array(mean), np.array(std)
