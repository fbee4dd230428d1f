"""The list of the classes of a study of clips, with their numbers of clips."""

from pathlib import Path

import numpy as np

from weakneg import datasets
from weakneg.config.stages import ClassesSettings
from weakneg.datasets import Dataset
from weakneg.errors import UserError
from weakneg.features.store import open_store
from weakneg.io.csv import write_table
from weakneg.stages import stage

COLUMNS = ("class", "number", "published_training_clips", "training_clips", "test_clips")


@stage
def list_classes(
    train_store: Path, test_store: Path, settings: ClassesSettings, output: Path
) -> None:
    """Write the list of a study's classes, with their numbers of clips.

    Parameters
    ----------
    train_store, test_store : Path
        The feature stores.
    settings : ClassesSettings
        The classes, and the name of the data set.
    output : Path
        The CSV file to write, with one row per class in the order of the study: its `number` in the
        data set, `published_training_clips` (in the published list of the data set, by which
        {top: n} chooses classes; empty where there is no such list), and `training_clips` and
        `test_clips` (those with features).

    Raises
    ------
    UserError
        Naming class and split, when too few clips are positive or too few are negative.
    """
    classes, dataset = settings.classes, settings.dataset
    counts = {}
    # Training needs two of each, since some training clips are used for validation.
    for split, path, least in (("training", train_store, 2), ("test", test_store, 1)):
        with open_store(path) as store:
            for name in classes:
                counts[name, split] = np.count_nonzero(store.positive(name))
                if not least <= counts[name, split] <= len(store.id) - least:
                    raise UserError(
                        f"class {name}: {counts[name, split]} of the {len(store.id)} {split} clips "
                        f"are positive, but at least {least} positive and {least} negative are "
                        "needed: leave the class out of the study."
                    )
            numbers = {name: number for number, name in enumerate(store.class_names)}
    data = datasets.load(dataset)
    published = data.training_counts if isinstance(data, Dataset) else None
    rows = []
    for name in classes:
        number = numbers[name]
        count = None if published is None else published[number]
        rows.append((name, number, count, counts[name, "training"], counts[name, "test"]))
    write_table(output, COLUMNS, rows)
