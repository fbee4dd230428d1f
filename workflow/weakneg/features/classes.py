"""Stage: list the classes of a study of clips, with the number of clips of each."""

import csv
import os
from collections.abc import Sequence

import numpy as np

from weakneg import datasets
from weakneg.datasets import Dataset
from weakneg.errors import UserError
from weakneg.features.store import open_store
from weakneg.io.files import replace_when_whole

COLUMNS = ("class", "number", "published_training_clips", "training_clips", "test_clips")


def list_classes(
    train_store: str | os.PathLike,
    test_store: str | os.PathLike,
    classes: Sequence[str],
    dataset: str,
    output: str | os.PathLike,
) -> None:
    """Write a CSV of the `classes`, one row each in their order.

    number : of the class in the data set
    published_training_clips : in the published list of the data set, by which {top: n} chooses
        classes; empty where there is none
    training_clips, test_clips : those of them that have features

    Raises UserError, naming class and split, when too few clips carry the label, or do not.
    """
    counts = {}
    # Of the training clips, some of each are for validation.
    for split, path, least in (("training", train_store, 2), ("test", test_store, 1)):
        with open_store(path) as store:
            for name in classes:
                counts[name, split] = np.count_nonzero(store.positive(name))
                if not least <= counts[name, split] <= len(store.id) - least:
                    raise UserError(
                        f"class {name}: {counts[name, split]} of the {len(store.id)} {split} clips "
                        f"carry the label, but at least {least} must, and as many must not: leave "
                        "the class out of the study."
                    )
            numbers = {name: number for number, name in enumerate(store.class_names)}
    data = datasets.load(dataset)
    published = data.training_counts if isinstance(data, Dataset) else None
    with (
        replace_when_whole(output) as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for name in classes:
            number = numbers[name]
            count = "" if published is None else published[number]
            writer.writerow((name, number, count, counts[name, "training"], counts[name, "test"]))
