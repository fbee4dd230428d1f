"""The user's own recordings: a folder of audio files, and a list that says what is in them.

The list has one of the formats in `weakneg.datasets.formats`, such as that of this project, `own`.
A recording may have several rows. One without a split is put into one by a hash of its name (or of
its group); a group, such as the night or the animal, is never on both sides of the split, nor is a
recording that is cut into clips. Classes that were looked for and not heard matter to studies that
say `unlisted: unknown`. Events of the same recording are exceptions from them, so that "looked for
Dog in all of it, heard it here and there" is one row with negatives and one for each event.
"""

import math
from collections import Counter
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from weakneg.datasets import OwnDataset, formats
from weakneg.datasets.formats import Row, Table
from weakneg.datasets.own_lists import SPLITS, count_labels, name_splits, refuse_both
from weakneg.errors import UserError


def read_classes(list_file: str | Table) -> tuple[str, ...]:
    """Return the names of all classes in the list, in alphabetical order."""
    return tuple(sorted({label for row in _rows(list_file) for label in row.labels}))


def split_sizes(list_file: str | Table, test_split: str) -> dict[str, int]:
    """Return the number of recordings in each split; parameters as `recordings`."""
    splits = [row["split"] for row in recordings(list_file, test_split)]
    return {split: splits.count(split) for split in SPLITS}


def class_sizes(list_file: str | Table, test_split: str) -> dict[str, Counter[str]]:
    """Count, for each split, the recordings that carry each label; parameters as `recordings`."""
    rows = recordings(list_file, test_split)
    return count_labels((recording["split"], recording["labels"]) for recording in rows)


def negative_sizes(list_file: str | Table, test_split: str) -> dict[str, Counter[str]]:
    """Count, for each split, the recordings in which each class was looked for and not heard.

    Those count in which that is so for a part of the recording; parameters as `recordings`.
    """
    rows = recordings(list_file, test_split)
    return count_labels((row["split"], {name for name, _, _ in row["negatives"]}) for row in rows)


@lru_cache
def recordings(list_file: str | Table, test_split: str) -> tuple[dict[str, Any], ...]:
    """Read the list.

    Parameters
    ----------
    list_file : str
        The list.
    test_split : str
        "test", or the name of the fold that is the test split.

    Returns
    -------
    tuple of dict
        One per recording, in the order of the list: id, split, file, labels (of the whole recording
        or of its events), events (label, onset and offset in seconds, for labels with times or of a
        channel), negatives (the same for classes that were not heard; from 0 to infinity for all of
        the recording), group, and event_channels and negative_channels (the channel of each; 0: all
        channels), which are empty where the list names none.

    Raises
    ------
    UserError
        Naming the line, when the list is malformed.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in _rows(list_file):
        first: dict[str, Any] = {"id": row.id, "file": row.file}
        first |= {"split": row.split, "group": row.group}
        first |= {"labels": [], "events": [], "negatives": [], "timed": None}
        first |= {"event_channels": [], "negative_channels": []}
        recording = found.setdefault(row.id, first)
        _add(recording, row)
    for recording in found.values():
        recording["labels"] = list(dict.fromkeys(recording["labels"]))
        del recording["timed"]
        for column in ("event_channels", "negative_channels"):
            recording[column] = recording[column] if any(recording[column]) else []
        recording["group"] = recording["group"] or _group(recording, _table(list_file))
    named = {name: recording["split"] for name, recording in found.items()}
    groups = {name: recording["group"] for name, recording in found.items()}
    path = _table(list_file).path
    for name, split in name_splits(named, test_split, path, "recording", groups).items():
        found[name]["split"] = split
    return tuple(found.values())


def _add(recording: dict[str, Any], row: Row) -> None:
    """Add a row of the list to its recording."""
    for column, value in (("split", row.split), ("group", row.group)):
        if recording[column] and value and recording[column] != value:
            raise UserError(
                f"{row.where}: {row.id!r} is in the {column}s {recording[column]!r} and "
                f"{value!r}: name one of them."
            )
        recording[column] = recording[column] or value
    # The labels of a channel are events, even if they last as long as the recording.
    timed = row.times is not None or row.channel is not None
    if row.labels and recording["timed"] not in (None, timed):
        of_channels = row.channel is not None or any(recording["event_channels"])
        what = "a channel" if of_channels else "onset and offset"
        raise UserError(
            f"{row.where}: {row.id!r} has labels with and without {what}: give "
            "them in all of its rows, or in none."
        )
    if row.labels:
        recording["timed"] = timed
    recording["labels"] += row.labels
    span = row.times or (0.0, math.inf)
    if timed:
        recording["events"] += [(label, *span) for label in row.labels]
        recording["event_channels"] += [row.channel or 0 for _ in row.labels]
    recording["negatives"] += [(name, *span) for name in row.negatives]
    recording["negative_channels"] += [row.channel or 0 for _ in row.negatives]
    if recording["timed"] is False:
        # Events are exceptions from negatives, but labels of the whole recording contradict them.
        refuse_both(
            f"{row.where}: in {row.id!r}",
            recording["labels"],
            (name for name, _, _ in recording["negatives"]),
        )


def _group(recording: dict[str, Any], table: Table) -> str:
    """The group of a recording of which the list names none: its site or date, if it is asked for.

    Raises UserError where it is not known.
    """
    if table.group is None:
        return ""
    from weakneg.audio.acquire.folder import find_folder
    from weakneg.audio.recorders import made

    name = recording["file"] or recording["id"]
    folder = Path(table.folder)
    with suppress(UserError):  # the name may be enough; before sound is read, all of it is checked
        folder = find_folder(folder)
    found: str = getattr(made(str(folder / name)), table.group)
    if not found:
        if not recording["file"]:
            raise UserError(
                f"dataset.group: the name {name!r} does not say the {table.group}, and headers are "
                "not read where the list leaves out suffixes: say file_suffix: .wav, or remove "
                "this key."
            )
        raise UserError(
            f"dataset.group: neither the name nor the header of {name!r} says the {table.group}: "
            "name its group in the list, or remove this key."
        )
    return found


def _table(list_file: str | Table) -> Table:
    return list_file if isinstance(list_file, Table) else Table(list_file)


@lru_cache
def _rows(list_file: str | Table) -> tuple[Row, ...]:
    """Return the rows of the list."""
    rows = formats.rows(_table(list_file))
    if not rows:
        raise UserError(f"{_table(list_file).path} lists no recordings: add a row for each.")
    return rows


DATASET = OwnDataset(
    kind="spectrograms",
    study_keys=("list", "folder"),
    read_classes=read_classes,
    class_sizes=class_sizes,
    negative_sizes=negative_sizes,
    recordings=recordings,
    split_sizes=split_sizes,
)
