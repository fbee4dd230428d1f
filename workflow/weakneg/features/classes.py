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
OTHER_COLUMNS = ("training_negatives", "training_unknown", "test_negatives", "test_unknown")
"""Further columns, where clips may be unknown."""


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
        `test_clips` (those with features). Where the study says that what is not listed is unknown,
        the numbers of negative and of unknown clips in both splits follow.

    Raises
    ------
    UserError
        Naming class and split, when too few clips are positive or too few are negative.
    """
    classes, dataset = settings.classes, settings.dataset
    counts: dict[tuple[str, str], tuple[int, ...]] = {}
    observed = False
    for split, path in (("training", train_store), ("test", test_store)):
        with open_store(path) as store:
            observed = store.negatives_observed
            for name in classes:
                positive = int(np.count_nonzero(store.positive(name)))
                negative = int(np.count_nonzero(store.negative(name)))
                unknown = len(store.id) - positive - negative
                require_both(name, split, positive, negative, unknown, observed)
                counts[name, split] = positive, negative, unknown
            numbers = {name: number for number, name in enumerate(store.class_names)}
    data = datasets.load(dataset)
    published = data.training_counts if isinstance(data, Dataset) else None
    rows = []
    for name in classes:
        number = numbers[name]
        count = None if published is None else published[number]
        training, test = counts[name, "training"], counts[name, "test"]
        row = (name, number, count, training[0], test[0])
        rows.append((*row, *training[1:], *test[1:]) if observed else row)
    write_table(output, (*COLUMNS, *OTHER_COLUMNS) if observed else COLUMNS, rows)


def require_both(
    name: str, split: str, positive: int, negative: int, unknown: int, observed: bool
) -> None:
    """Refuse a class with too few positive or negative clips.

    Parameters
    ----------
    name : str
        The class.
    split : {"training", "test"}
        The clips. Training needs two of each kind, since some are used for validation.
    positive, negative, unknown : int
        Numbers of its clips.
    observed : bool
        Whether what is not listed is unknown.

    Raises
    ------
    UserError
        Naming class and split.
    """
    least = 2 if split == "training" else 1
    if min(positive, negative) >= least:
        return
    said, advice = "are positive", "leave the class out of the study"
    if observed:
        said = f"are positive and {negative} are known to be negative"
        advice = (
            "name it in the list's column negatives more often, say annotated: whole under dataset "
            f"if all that sounds was annotated, or {advice}"
        )
    raise UserError(
        f"class {name}: {positive} of the {positive + negative + unknown} {split} clips {said}, "
        f"but at least {least} positive and {least} negative are needed: {advice}."
    )
