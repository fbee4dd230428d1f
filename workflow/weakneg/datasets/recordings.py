"""A person's own recordings: a folder of sound files, and a list that says what is in them.

The list is a CSV file with a header and, for each recording, one row or several:

- `file`: path in the folder;
- `labels`: names of classes, separated by semicolons; empty where a recording has none of them;
- `split` (optional): "train" or "test", or the names of folds, of which the study's test_split is
  the test split. Without it, a quarter of the recordings is the test split, drawn by their names;
- `group` (optional): what recordings have in common, such as the night or the animal. A group is
  never on both sides of a split, nor is a recording that is cut into clips;
- `onset`, `offset` (optional, seconds): where in the recording the labels of the row are heard. A
  clip that is cut from the recording carries the labels that it overlaps. Without them the labels
  are those of the whole.

Other columns are not read. The id of a recording is its `file`.
"""

import csv
import math
from collections import Counter
from functools import lru_cache
from pathlib import PurePosixPath

from weakneg.datasets import OwnDataset
from weakneg.datasets.own_lists import SPLITS, count_labels, label_names, name_splits
from weakneg.errors import UserError
from weakneg.io.csv import read_lines

COLUMNS = ("file", "labels", "split", "group", "onset", "offset")


def read_classes(list_file: str) -> tuple[str, ...]:
    """The names of all classes in the list, in alphabetical order."""
    return tuple(sorted({label for row in _rows(list_file) for label in row["labels"]}))


def split_sizes(list_file: str, test_split: str) -> dict[str, int]:
    """Number of recordings of each split."""
    splits = [row["split"] for row in recordings(list_file, test_split)]
    return {split: splits.count(split) for split in SPLITS}


def class_sizes(list_file: str, test_split: str) -> dict[str, Counter]:
    """Of each split: class name -> number of recordings that carry the label."""
    rows = recordings(list_file, test_split)
    return count_labels((recording["split"], recording["labels"]) for recording in rows)


@lru_cache
def recordings(list_file: str, test_split: str) -> tuple[dict, ...]:
    """A dictionary per recording, in the order of the list: id, split, file, labels, events, group.

    labels : of the whole recording, or those of its events; events : (label, onset, offset) of
        those with times, seconds

    Raises UserError, naming the line, when the list is not as it must be.
    """
    found: dict[str, dict] = {}
    for row in _rows(list_file):
        first = {name: row[name] for name in ("file", "split", "group")}
        first |= {"id": row["file"], "labels": [], "events": [], "timed": None}
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


def _add(recording: dict, row: dict) -> None:
    """Add what a row of the list says about its recording."""
    for column in ("split", "group"):
        if recording[column] and row[column] and recording[column] != row[column]:
            raise UserError(
                f"{row['where']}: {row['file']!r} is in the {column}s {recording[column]!r} and "
                f"{row[column]!r}: a recording belongs to one."
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


@lru_cache
def _rows(list_file: str) -> tuple[dict, ...]:
    """The rows of the list, one by one."""
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
        raise UserError(f"{list_file} is not text in UTF-8: save it as such.") from None
    except OSError as error:
        raise UserError(
            f"dataset.list: {list_file} cannot be read ({error.strerror}): name the list of the "
            "recordings, from the study's folder or the working directory."
        ) from None
    except csv.Error as error:
        raise UserError(
            f"{list_file}, {error}: close the quotes, and double those inside."
        ) from None
    if not rows:
        raise UserError(f"{list_file} lists no recordings.")
    return tuple(rows)


def _header(list_file: str, names: list[str]) -> list[str]:
    header = [name.strip().lower() for name in names]
    for column in COLUMNS:
        if header.count(column) > 1:
            raise UserError(f"{list_file} has two columns {column}: remove or rename one.")
    times = {"onset", "offset"}
    needed = ("file", "labels", *(sorted(times) if times & set(header) else ()))
    for column in needed:
        if column not in header:
            found = ", ".join(filter(None, header)) or "none"
            raise UserError(
                f"{list_file} has no column {column}; its columns, separated by commas, must be "
                f"file and labels, and may be split, group, and onset with offset (found: {found})."
            )
    return header


def _row(where: str, header: list[str], line: list[str]) -> dict:
    if len(line) != len(header):
        raise UserError(
            f"{where} has {len(line)} values, the header has {len(header)}: quote a value that "
            "holds a comma."
        )
    values = dict(zip(header, line, strict=True))
    path = PurePosixPath(values["file"])
    if not path.name or path.is_absolute() or ".." in path.parts:
        raise UserError(
            f"{where}: file is {values['file']!r}, but must be a path inside of the folder."
        )
    return {
        "where": where,
        "file": str(path),  # without a ./ before it: one file is one recording
        "labels": label_names(values["labels"]),
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
            f"{where}: onset is {texts[0]!r} and offset {texts[1]!r}, but they must be seconds, "
            "the first below the second."
        )
    return onset, offset


DATASET = OwnDataset(
    kind="spectrograms",
    study_keys=("list", "folder"),
    read_classes=read_classes,
    class_sizes=class_sizes,
    recordings=recordings,
    split_sizes=split_sizes,
)
