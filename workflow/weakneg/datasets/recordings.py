"""A person's own recordings: a folder of sound files, and a list that says what is in them.

The list is a CSV file with a header and, for each recording, one row or several:

- `file`: path in the folder;
- `labels`: names of classes, separated by semicolons; empty where a recording has none of them;
- `split` (optional): "train" or "test". Without it, a quarter of the recordings is the test split,
  drawn by their names;
- `onset`, `offset` (optional, seconds): where in the recording the labels of the row are heard. A
  clip that is cut from the recording carries the labels that it overlaps. Without them the labels
  are those of the whole.
"""

import csv
import hashlib
import os
from functools import lru_cache
from pathlib import Path, PurePosixPath

from weakneg.datasets.local_copy import DATA_VARIABLE
from weakneg.errors import UserError

UNIT = "spectrogram"
FILES: tuple[str, ...] = ()

COLUMNS = ("file", "labels", "split", "onset", "offset")
LABEL_SEPARATOR = ";"


def classes(list_file: str) -> tuple[str, ...]:
    """The names of all classes in the list, in alphabetical order."""
    return tuple(sorted({label for row in _rows(list_file) for label in row["labels"]}))


def split_sizes(list_file: str) -> dict[str, int]:
    """Number of recordings of each split."""
    splits = [row["split"] for row in _by_file(list_file)]
    return {split: splits.count(split) for split in ("train", "test")}


def recordings(list_file: str) -> list[dict]:
    """A dictionary per recording, in the order of the list: id, split, file, labels, events.

    labels : of the whole recording; events : (label, onset, offset) of those with times, seconds
    """
    return [{"id": row["file"], **row} for row in _by_file(list_file)]


def find_folder(folder: str) -> Path:
    """The folder of the recordings: as named, or else in that of the environment variable.

    Raises UserError when there is none.
    """
    for path in (Path(folder), Path(os.environ.get(DATA_VARIABLE) or os.devnull) / folder):
        if path.is_dir():
            return path
    raise UserError(
        f"dataset.folder: there is no folder {folder}, here or in that of {DATA_VARIABLE}: name "
        "the folder of the recordings."
    )


@lru_cache
def _by_file(list_file: str) -> tuple[dict, ...]:
    found: dict[str, dict] = {}
    for row in _rows(list_file):
        first = {"file": row["file"], "split": row["split"], "labels": [], "events": []}
        recording = found.setdefault(row["file"], first)
        if recording["split"] != row["split"]:
            raise UserError(
                f"{row['where']}: {row['file']!r} is in both splits; a recording belongs to one."
            )
        if row["times"] is None:
            recording["labels"] += row["labels"]
        else:
            recording["events"] += [(label, *row["times"]) for label in row["labels"]]
    for recording in found.values():
        recording["labels"] = list(dict.fromkeys(recording["labels"]))
    return tuple(found.values())


@lru_cache
def _rows(list_file: str) -> tuple[dict, ...]:
    try:
        with open(list_file, newline="", encoding="utf-8-sig") as file:  # spreadsheets write a mark
            lines = list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"dataset.list: {list_file} cannot be read ({reason}).") from None
    header = [name.strip() for name in lines[0]] if lines else []
    for column in COLUMNS[:2]:
        if column not in header:
            raise UserError(
                f"{list_file} has no column {column}; it needs file and labels, and may have "
                "split, onset and offset."
            )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        if not any(value.strip() for value in line):
            continue
        where = f"{list_file}, line {number}"
        if len(line) != len(header):
            raise UserError(
                f"{where} has {len(line)} values, the header has {len(header)}: quote a value that "
                "holds a comma."
            )
        rows.append(_row(where, dict(zip(header, line, strict=True))))
    if not rows:
        raise UserError(f"{list_file} lists no recordings.")
    return tuple(rows)


def _row(where: str, values: dict[str, str]) -> dict:
    file = values["file"].strip()
    path = PurePosixPath(file)
    if not file or path.is_absolute() or ".." in path.parts:
        raise UserError(f"{where}: file is {file!r}, but must be a path inside of the folder.")
    labels = [label.strip() for label in values["labels"].split(LABEL_SEPARATOR)]
    split = values.get("split", "").strip() or _drawn_split(file)
    if split not in ("train", "test"):
        raise UserError(f"{where}: split is {split!r}, allowed are train and test.")
    return {
        "where": where,
        "file": file,
        "labels": [label for label in labels if label],
        "split": split,
        "times": _times(where, values),
    }


def _times(where: str, values: dict[str, str]) -> tuple[float, float] | None:
    texts = [values.get(column, "").strip() for column in ("onset", "offset")]
    if texts == ["", ""]:
        return None
    try:
        onset, offset = map(float, texts)
    except ValueError:
        onset, offset = 1.0, 0.0
    if not 0 <= onset < offset:
        raise UserError(
            f"{where}: onset {texts[0]!r} and offset {texts[1]!r} must be seconds, the first below "
            "the second."
        )
    return onset, offset


def _drawn_split(file: str) -> str:
    # By the name alone: a recording that is added moves no other one.
    return "test" if hashlib.sha256(file.encode()).digest()[0] < 64 else "train"
