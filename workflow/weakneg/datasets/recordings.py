"""The user's own recordings: a folder of audio files, and a list that says what is in them.

The list is a CSV file with a header and one or more rows per recording:

- `file`: path in the folder;
- `labels`: names of classes, separated by semicolons; empty if the recording belongs to none;
- `split` (optional): "train" or "test", or the name of a fold; the study's test_split then names
  the fold to test on. Without this column, a quarter of the recordings is the test split, chosen by
  a hash of their names;
- `group` (optional): what recordings have in common, such as the night or the animal. A group is
  never on both sides of the split, nor is a recording that is cut into clips;
- `onset`, `offset` (optional, seconds): where in the recording the labels of the row are heard. A
  clip cut from the recording carries the labels that it overlaps with. Without these columns the
  labels apply to the whole recording;
- `negatives` (optional): names of classes, separated by semicolons, that were looked for and not
  heard: from `onset` to `offset`, or, without these, in all of the recording. It matters to studies
  that say `unlisted: unknown`. Events of the same recording are exceptions, so that "looked for
  Dog in all of it, heard it here and there" is one row with negatives and one for each event.

Other columns are not read. The id of a recording is its `file`.
"""

import csv
import math
from collections import Counter
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any

from weakneg.datasets import OwnDataset
from weakneg.datasets.own_lists import (
    SPLITS,
    count_labels,
    label_names,
    name_splits,
    refuse_both,
)
from weakneg.errors import UserError
from weakneg.io.csv import read_lines

COLUMNS = ("file", "labels", "split", "group", "onset", "offset", "negatives")


def read_classes(list_file: str) -> tuple[str, ...]:
    """Return the names of all classes in the list, in alphabetical order."""
    return tuple(sorted({label for row in _rows(list_file) for label in row["labels"]}))


def split_sizes(list_file: str, test_split: str) -> dict[str, int]:
    """Return the number of recordings in each split; parameters as `recordings`."""
    splits = [row["split"] for row in recordings(list_file, test_split)]
    return {split: splits.count(split) for split in SPLITS}


def class_sizes(list_file: str, test_split: str) -> dict[str, Counter[str]]:
    """Count, for each split, the recordings that carry each label; parameters as `recordings`."""
    rows = recordings(list_file, test_split)
    return count_labels((recording["split"], recording["labels"]) for recording in rows)


def negative_sizes(list_file: str, test_split: str) -> dict[str, Counter[str]]:
    """Count, for each split, the recordings in which each class was looked for and not heard.

    Those count in which that is so for a part of the recording; parameters as `recordings`.
    """
    rows = recordings(list_file, test_split)
    return count_labels((row["split"], {name for name, _, _ in row["negatives"]}) for row in rows)


@lru_cache
def recordings(list_file: str, test_split: str) -> tuple[dict[str, Any], ...]:
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
        or of its events), events (label, onset and offset in seconds, for labels with times),
        negatives (the same for classes that were not heard; from 0 to infinity for all of the
        recording) and group.

    Raises
    ------
    UserError
        Naming the line, when the list is malformed.
    """
    found: dict[str, dict[str, Any]] = {}
    for row in _rows(list_file):
        first = {name: row[name] for name in ("file", "split", "group")}
        first |= {"id": row["file"], "labels": [], "events": [], "negatives": [], "timed": None}
        recording = found.setdefault(row["file"], first)
        _add(recording, row)
    for recording in found.values():
        recording["labels"] = list(dict.fromkeys(recording["labels"]))
        del recording["timed"]
    named = {file: recording["split"] for file, recording in found.items()}
    groups = {file: recording["group"] for file, recording in found.items()}
    for file, split in name_splits(named, test_split, list_file, "recording", groups).items():
        found[file]["split"] = split
    return tuple(found.values())


def _add(recording: dict[str, Any], row: dict[str, Any]) -> None:
    """Add a row of the list to its recording."""
    for column in ("split", "group"):
        if recording[column] and row[column] and recording[column] != row[column]:
            raise UserError(
                f"{row['where']}: {row['file']!r} is in the {column}s {recording[column]!r} and "
                f"{row[column]!r}: name one of them."
            )
        recording[column] = recording[column] or row[column]
    timed = row["times"] is not None
    if row["labels"] and recording["timed"] not in (None, timed):
        raise UserError(
            f"{row['where']}: {row['file']!r} has labels with and without onset and offset: give "
            "them in all of its rows, or in none."
        )
    if row["labels"]:
        recording["timed"] = timed
    recording["labels"] += row["labels"]
    if timed:
        recording["events"] += [(label, *row["times"]) for label in row["labels"]]
    span = row["times"] or (0.0, math.inf)
    recording["negatives"] += [(name, *span) for name in row["negatives"]]
    if recording["timed"] is False:
        # Events are exceptions from negatives, but labels of the whole recording contradict them.
        refuse_both(
            f"{row['where']}: in {row['file']!r}",
            recording["labels"],
            (name for name, _, _ in recording["negatives"]),
        )


@lru_cache
def _rows(list_file: str) -> tuple[dict[str, Any], ...]:
    """Return the rows of the list."""
    try:
        lines = read_lines(list_file)
        _, names = next(lines, (1, []))
        header = _header(list_file, names)
        rows = [
            _row(f"{list_file}, line {number}", header, line)
            for number, line in lines
            if any(value.strip() for value in line)
        ]
    except UnicodeDecodeError:
        raise UserError(f"{list_file} is not text in UTF-8: save it as UTF-8.") from None
    except OSError as error:
        raise UserError(
            f"dataset.list: {list_file} cannot be read ({error.strerror}): give the path of the "
            "list of recordings, relative to the study's folder or the working directory."
        ) from None
    except csv.Error as error:
        raise UserError(
            f"{list_file}, {error}: close the quotes, and double quotes inside a value."
        ) from None
    if not rows:
        raise UserError(f"{list_file} lists no recordings: add a row for each.")
    return tuple(rows)


def _header(list_file: str, names: list[str]) -> list[str]:
    header = [name.strip().lower() for name in names]
    for column in COLUMNS:
        if header.count(column) > 1:
            raise UserError(f"{list_file} has two columns {column}: remove or rename one of them.")
    times = {"onset", "offset"}
    needed = ("file", "labels", *(sorted(times) if times & set(header) else ()))
    for column in needed:
        if column not in header:
            found = ", ".join(filter(None, header)) or "none"
            raise UserError(
                f"{list_file} has no column {column}; its columns, separated by commas, must "
                "include file and labels, and may include split, group, negatives, and onset with "
                f"offset (found: {found})."
            )
    return header


def _row(where: str, header: list[str], line: list[str]) -> dict[str, Any]:
    if len(line) != len(header):
        raise UserError(
            f"{where} has {len(line)} values, the header has {len(header)}: quote values that "
            "contain a comma."
        )
    values = dict(zip(header, line, strict=True))
    path = PurePosixPath(values["file"])
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise UserError(
            f"{where}: file is {values['file']!r}, but must be a path inside the folder."
        )
    labels, negatives = label_names(values["labels"]), label_names(values.get("negatives", ""))
    refuse_both(where, labels, negatives)
    return {
        "where": where,
        "file": str(path),  # without a leading ./ so that a file is one recording
        "labels": labels,
        "negatives": negatives,
        "split": values.get("split", "").strip(),
        "group": values.get("group", "").strip(),
        "times": _times(where, values),
    }


def _times(where: str, values: dict[str, str]) -> tuple[float, float] | None:
    texts = [values.get(column, "").strip() for column in ("onset", "offset")]
    if texts == ["", ""]:
        return None
    try:
        onset, offset = map(float, texts)
    except ValueError:
        onset, offset = math.nan, math.nan
    if not 0 <= onset < offset < math.inf:
        raise UserError(
            f"{where}: onset is {texts[0]!r} and offset is {texts[1]!r}, but they must be numbers "
            "of seconds, the onset below the offset."
        )
    return onset, offset


DATASET = OwnDataset(
    kind="spectrograms",
    study_keys=("list", "folder"),
    read_classes=read_classes,
    class_sizes=class_sizes,
    negative_sizes=negative_sizes,
    recordings=recordings,
    split_sizes=split_sizes,
)
